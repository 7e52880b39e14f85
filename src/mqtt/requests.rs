//! What comes in on `request/{verb}`: answered from what is shown, or turned into what the hub is asked. Pure.
//!
//! Spec: `protocol-spec/mqtt.md`, Requests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::device::{Device, DeviceId, LineName};
use crate::hub::command::{Action, IDENTIFY_DEFAULT_S, IDENTIFY_MAX_S, ReplyTo};
use crate::hub::joining::{JOINING_DEFAULT, JOINING_MAX};
use crate::hub::{Answer, Choices, Given, LineHealth, NewCommand, Request, Wish};
use crate::json;
use crate::source::Part;

use super::inbound::{Inbound, Problem, answer_to, busy, code, fields, number, only, reply_to, ttl, wrong};
use super::publish::Message;
use super::topics::{Topic, Topics};

/// Largest answer, in bytes: below the packet limit of 1 MiB with room for topic and properties.
const ANSWER_MAX: usize = 1_000_000;

/// What a request may be answered from.
pub struct View {
    /// All devices.
    pub devices: Vec<Arc<Device>>,
    /// All lines.
    pub lines: Vec<Arc<LineHealth>>,
    /// All parts.
    pub parts: Vec<(&'static str, Part)>,
}

/// What becomes of a message on `request/{verb}`.
#[derive(Debug)]
pub enum Judged {
    /// The answer; nothing for an empty retained message, by which somebody takes a retained request back.
    Answer(Vec<Message>),
    /// The hub is to be asked.
    Ask(Box<Question>),
}

/// What the hub is to be asked, and who wants to know.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// For the hub.
    pub request: Request,
    /// For the asker.
    pub asker: Asker,
}

/// Who asked, and where the answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    verb: Arc<str>,
    reply_to: ReplyTo,
}

impl Asker {
    /// What the hub said, as messages.
    #[must_use]
    pub fn told(&self, topics: &Topics, answer: &Answer) -> Vec<Message> {
        let answer = match answer {
            Ok(given) => Ok(shown(given)),
            Err(refused) => Err((code(refused), refused.to_string())),
        };
        self.answer(topics, answer)
    }

    /// Too many commands and requests wait to be taken in.
    #[must_use]
    pub fn busy(&self, topics: &Topics) -> Vec<Message> {
        self.answer(topics, Err(busy()))
    }

    fn answer(&self, topics: &Topics, answer: Result<Option<Value>, Problem>) -> Vec<Message> {
        let mut view = match answer {
            Ok(Some(data)) => json!({ "status": "ok", "data": data }),
            Ok(None) => json!({ "status": "ok" }),
            Err((code, detail)) => json!({ "status": "error", "error": { "code": code, "detail": detail } }),
        };
        if let Some(transaction) = &self.reply_to.transaction {
            view["transaction"] = (**transaction).into();
        }
        let topic = topics.name(&Topic::Response(Arc::clone(&self.verb)));
        let own = Message::passing(topic, view.to_string());
        std::iter::once(own).chain(answer_to(&self.reply_to, &view)).collect()
    }
}

fn shown(given: &Given) -> Option<Value> {
    match given {
        // No verb asks for the others.
        Given::Nothing | Given::Token(_) | Given::Quality(_) | Given::Erased(_) => None,
        Given::Command { command, .. } => Some(json::command(command)),
        Given::Device(device) => Some(plain(device)),
        Given::Joining(line, window) => Some(json::joining(line, window)),
    }
}

fn plain(device: &Device) -> Value {
    serde_json::from_str(json::device(device).get()).unwrap_or_default()
}

/// Judges a message on `request/{verb}`.
#[must_use]
pub fn judge(topics: &Topics, verb: &Arc<str>, message: Inbound<'_>, view: impl FnOnce() -> View) -> Judged {
    if message.retain && message.payload.is_empty() {
        return Judged::Answer(Vec::new());
    }
    let fields = match message.payload.is_empty() {
        true => Some(Map::new()),
        false => fields(message.payload),
    };
    let (reply_to, problem) = reply_to(topics, message, fields.as_ref());
    let asker = Asker { verb: Arc::clone(verb), reply_to };
    let wanted = match (message.retain, &fields, problem) {
        (true, ..) => {
            Err(("retained", "a retained request would be asked again at every connect".to_owned()))
        }
        (_, None, _) => Err(("bad_payload", "want a JSON object or nothing".to_owned())),
        (_, _, Some(problem)) => Err(problem),
        (_, Some(fields), _) => wanted(verb, fields, message, &asker.reply_to),
    };
    let answer = match wanted {
        Ok(Wanted::Hub(request)) => return Judged::Ask(Box::new(Question { request, asker })),
        Ok(Wanted::Devices) => fitting(listed("devices", &view().devices, |_| true)),
        Ok(Wanted::Groups) => fitting(listed("groups", &view().devices, |device| device.members.is_some())),
        Ok(Wanted::Health) => fitting(health(&view())),
        Err(problem) => Err(problem),
    };
    Judged::Answer(asker.answer(topics, answer))
}

/// What a request is for.
enum Wanted {
    Devices,
    Groups,
    Health,
    Hub(Request),
}

fn wanted(
    verb: &str,
    fields: &Map<String, Value>,
    message: Inbound<'_>,
    reply_to: &ReplyTo,
) -> Result<Wanted, Problem> {
    let known: &[&str] = match verb {
        "devices" | "health" => &["transaction"],
        "permit_join" => &["line", "seconds", "code", "transaction"],
        "rename" => &["id", "name", "transaction"],
        "options" => &["id", "options", "transaction"],
        "identify" => &["id", "seconds", "transaction"],
        "groups" => &["action", "id", "name", "members", "transaction"],
        _ => {
            let want = "devices, health, permit_join, rename, options, identify or groups";
            return Err(("unknown_verb", format!("`{verb}`: want {want}")));
        }
    };
    only(fields, known)?;
    Ok(match verb {
        "devices" => Wanted::Devices,
        "health" => Wanted::Health,
        "permit_join" => Wanted::Hub(permit_join(fields)?),
        "groups" => groups(fields)?,
        "identify" => Wanted::Hub(identify(fields, ttl(None, message), reply_to)?),
        "rename" => {
            let name = Some(text(fields, "name", "a text")?.into());
            Wanted::Hub(Request::Change { device: id(fields)?, name, options: Choices::new() })
        }
        _ => {
            let options = options(fields)?;
            Wanted::Hub(Request::Change { device: id(fields)?, name: None, options })
        }
    })
}

fn permit_join(fields: &Map<String, Value>) -> Result<Request, Problem> {
    let line = match fields.get("line") {
        None => None,
        Some(_) => {
            let name = text(fields, "line", "the name of a line")?;
            Some(LineName::parse(name).ok_or_else(|| wrong(fields, "line", "the name of a line"))?)
        }
    };
    let max = u32::try_from(JOINING_MAX.as_secs()).unwrap_or(u32::MAX);
    let seconds = number(fields, "seconds", 0..=max)?.map_or(JOINING_DEFAULT.as_secs(), u64::from);
    let address = match fields.get("code") {
        None => None,
        Some(_) if seconds == 0 => return Err(wrong(fields, "code", "nothing beside `seconds` 0")),
        Some(_) => Some(text(fields, "code", "the code on the label")?.into()),
    };
    Ok(match seconds {
        0 => Request::CloseJoining { line },
        seconds => Request::OpenJoining { line, duration: Duration::from_secs(seconds), address },
    })
}

fn groups(fields: &Map<String, Value>) -> Result<Wanted, Problem> {
    let action = fields.get("action").map_or(Some("list"), Value::as_str);
    let used: &[&str] = match action {
        Some("list") => &[],
        Some("create") => &["name", "members"],
        Some("change") => &["id", "name", "members"],
        Some("remove") => &["id"],
        _ => return Err(wrong(fields, "action", "list, create, change or remove")),
    };
    let used: Vec<&str> = used.iter().chain(&["action", "transaction"]).copied().collect();
    only(fields, &used)?;
    let name = fields.get("name").map(|_| text(fields, "name", "a text")).transpose()?;
    let members = fields.get("members").map(|_| members(fields)).transpose()?;
    Ok(match action {
        Some("create") => Wanted::Hub(Request::AddGroup {
            name: name.ok_or_else(|| wrong(fields, "name", "a text"))?.into(),
            members: members.ok_or_else(|| wrong(fields, "members", MEMBERS))?,
        }),
        Some("change") if name.is_none() && members.is_none() => {
            return Err(wrong(fields, "name", "a text, or `members`"));
        }
        Some("change") => {
            Wanted::Hub(Request::ChangeGroup { group: id(fields)?, name: name.map(Into::into), members })
        }
        Some("remove") => Wanted::Hub(Request::RemoveGroup(id(fields)?)),
        _ => Wanted::Groups,
    })
}

const MEMBERS: &str = "a list of ids of devices";

fn members(fields: &Map<String, Value>) -> Result<Vec<DeviceId>, Problem> {
    let bad = || wrong(fields, "members", MEMBERS);
    let ids = fields.get("members").and_then(Value::as_array).ok_or_else(bad)?;
    ids.iter().map(|id| id.as_str().and_then(DeviceId::parse).ok_or_else(bad)).collect()
}

/// The answer tells that the command was taken in; how it ends is told on `result` alone, so that the asker's topic
/// hears one answer to one request.
fn identify(fields: &Map<String, Value>, ttl: Duration, reply_to: &ReplyTo) -> Result<Request, Problem> {
    let given = number(fields, "seconds", 1..=IDENTIFY_MAX_S.into())?;
    let seconds = given.and_then(|seconds| u16::try_from(seconds).ok()).unwrap_or(IDENTIFY_DEFAULT_S);
    Ok(Request::Command(NewCommand {
        device: id(fields)?,
        wish: Wish::Do(Action::Identify { seconds }),
        ttl,
        requested_by: "mqtt".into(),
        idempotency: None,
        reply_to: ReplyTo { transaction: reply_to.transaction.clone(), ..ReplyTo::default() },
    }))
}

fn options(fields: &Map<String, Value>) -> Result<Choices, Problem> {
    let want = r#"an object, {"option":value}"#;
    let given = fields.get("options").and_then(Value::as_object);
    let given = given.ok_or_else(|| wrong(fields, "options", want))?;
    let choices = given.iter().map(|(name, value)| {
        let refused = || {
            let (code, detail) = wrong(given, name, "true, false, a word or null");
            (code, format!("options: {detail}"))
        };
        Ok((name.as_str().into(), json::choice(value).ok_or_else(refused)?))
    });
    choices.collect()
}

fn id(fields: &Map<String, Value>) -> Result<DeviceId, Problem> {
    let want = "the id of a device";
    DeviceId::parse(text(fields, "id", want)?).ok_or_else(|| wrong(fields, "id", want))
}

fn text<'f>(fields: &'f Map<String, Value>, field: &str, want: &str) -> Result<&'f str, Problem> {
    fields.get(field).and_then(Value::as_str).ok_or_else(|| wrong(fields, field, want))
}

fn fitting(data: Value) -> Result<Option<Value>, Problem> {
    match data.to_string().len() <= ANSWER_MAX {
        true => Ok(Some(data)),
        false => {
            Err(("too_large", "the answer is larger than a packet; ask GET /v1/devices over HTTP".into()))
        }
    }
}

fn listed(name: &str, devices: &[Arc<Device>], wanted: impl Fn(&Device) -> bool) -> Value {
    let shown = devices.iter().filter(|device| wanted(device)).map(|device| plain(device));
    json!({ name: shown.collect::<Vec<_>>() })
}

fn health(view: &View) -> Value {
    let mut parts = Map::new();
    for (name, part) in &view.parts {
        let shown = match part {
            Part::Good(_) => true.into(),
            Part::Broken(why) => (**why).into(),
        };
        parts.insert((*name).to_owned(), shown);
    }
    let lines: Map<String, Value> =
        view.lines.iter().map(|line| (line.line.to_string(), json::line(line))).collect();
    parts.insert("lines".into(), lines.into());
    let parts_good = view.parts.iter().all(|(_, part)| matches!(part, Part::Good(_)));
    let lines_good = view.lines.iter().all(|line| line.port.is_ok() && line.modem != Some(false));
    json!({ "status": if parts_good && lines_good { "ok" } else { "degraded" }, "parts": parts })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::device::GatewayId;
    use crate::device::OptionValue;
    use crate::hub::Refused;

    fn topics() -> Topics {
        Topics::new("p", "ha", &GatewayId::parse("gw_aaaaaaaaaa").expect("an id"))
    }

    fn plainly(payload: &str) -> Inbound<'_> {
        Inbound { payload: payload.as_bytes(), ..Inbound::default() }
    }

    fn judged(verb: &str, message: Inbound<'_>) -> Judged {
        let view =
            || View { devices: Vec::new(), lines: Vec::new(), parts: vec![("store", Part::Good("".into()))] };
        judge(&topics(), &verb.into(), message, view)
    }

    fn read(messages: Vec<Message>) -> Vec<(String, Value)> {
        messages.into_iter().map(|m| (m.topic, serde_json::from_str(&m.payload).expect("JSON"))).collect()
    }

    fn answers(verb: &str, message: Inbound<'_>) -> Vec<(String, Value)> {
        match judged(verb, message) {
            Judged::Answer(messages) => read(messages),
            Judged::Ask(question) => panic!("the hub is asked {question:?}"),
        }
    }

    fn asked(verb: &str, payload: &str) -> Question {
        match judged(verb, plainly(payload)) {
            Judged::Ask(question) => *question,
            Judged::Answer(messages) => panic!("{messages:?}"),
        }
    }

    fn lamp() -> DeviceId {
        DeviceId::parse("lamp").expect("an id")
    }

    #[test]
    fn requests_are_answered_on_their_own_topic_and_where_the_asker_wishes() {
        let message = Inbound { response_topic: Some("mine"), ..plainly(r#"{"transaction":"7"}"#) };
        let answers = answers("health", message);
        assert_eq!(
            answers.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>(),
            ["p/response/health", "mine"]
        );
        for (_, answer) in answers {
            assert_eq!(
                answer,
                json!({
                    "transaction": "7", "status": "ok",
                    "data": {"status": "ok", "parts": {"store": true, "lines": {}}},
                })
            );
        }
    }

    #[test]
    fn unknown_verbs_and_retained_requests_are_plain_errors() {
        let code = |verb, message| answers(verb, message)[0].1["error"]["code"].clone();
        assert_eq!(code("dance", plainly("")), "unknown_verb");
        assert_eq!(code("devices", plainly("[]")), "bad_payload");
        for verb in ["devices", "permit_join", "rename", "options", "identify", "groups"] {
            assert_eq!(code(verb, Inbound { retain: true, ..plainly("{}") }), "retained");
        }
        assert_eq!(answers("identify", Inbound { retain: true, ..plainly("") }), []);
    }

    #[test]
    fn each_verb_becomes_what_the_hub_is_asked() {
        let line = LineName::parse("mains");
        let of = |verb, payload| asked(verb, payload).request;
        let open = |line, seconds, address: Option<&str>| Request::OpenJoining {
            line,
            duration: Duration::from_secs(seconds),
            address: address.map(Into::into),
        };
        assert_eq!(of("permit_join", ""), open(None, 60, None));
        assert_eq!(
            of("permit_join", r#"{"line":"mains","seconds":600,"code":"2C.0D.11"}"#),
            open(line.clone(), 600, Some("2C.0D.11"))
        );
        assert_eq!(of("permit_join", r#"{"line":"mains","seconds":0}"#), Request::CloseJoining { line });
        assert_eq!(
            of("rename", r#"{"id":"lamp","name":"Küche"}"#),
            Request::Change { device: lamp(), name: Some("Küche".into()), options: BTreeMap::new() }
        );
        let options = [
            ("a".into(), Some(OptionValue::Flag(true))),
            ("b".into(), Some(OptionValue::Word("x".into()))),
            ("c".into(), None),
        ];
        assert_eq!(
            of("options", r#"{"id":"lamp","options":{"a":true,"b":"x","c":null}}"#),
            Request::Change { device: lamp(), name: None, options: options.into() }
        );
    }

    #[test]
    fn groups_are_listed_made_changed_and_removed() {
        let of = |payload| asked("groups", payload).request;
        let (group, two) =
            (DeviceId::parse("group_all"), vec![lamp(), DeviceId::parse("fan").expect("an id")]);
        assert_eq!(
            of(r#"{"action":"create","name":"All","members":["lamp","fan"]}"#),
            Request::AddGroup { name: "All".into(), members: two.clone() }
        );
        let group = group.expect("an id");
        assert_eq!(
            of(r#"{"action":"change","id":"group_all","members":["lamp","fan"]}"#),
            Request::ChangeGroup { group: group.clone(), name: None, members: Some(two) }
        );
        assert_eq!(of(r#"{"action":"remove","id":"group_all"}"#), Request::RemoveGroup(group));
        for payload in ["", "{}", r#"{"action":"list"}"#] {
            assert_eq!(answers("groups", plainly(payload))[0].1["data"], json!({ "groups": [] }));
        }
    }

    #[test]
    fn identify_is_a_command_whose_end_is_told_on_result_alone() {
        let message =
            Inbound { response_topic: Some("mine"), ..plainly(r#"{"id":"lamp","transaction":"7"}"#) };
        let Judged::Ask(question) = judged("identify", message) else { panic!("the hub is asked") };
        let Request::Command(command) = question.request else { panic!("a command") };
        assert_eq!(command.wish, Wish::Do(Action::Identify { seconds: 5 }));
        assert_eq!((command.device, command.ttl), (lamp(), Duration::from_secs(30)));
        assert_eq!(
            command.reply_to,
            ReplyTo { transaction: Some("7".into()), response_topic: None, correlation: None }
        );
        assert_eq!(question.asker.reply_to.response_topic.as_deref(), Some("mine"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        for (verb, payload, word) in [
            ("devices", r#"{"id":"lamp"}"#, "`id` is not known: want `transaction`"),
            ("permit_join", r#"{"time":5}"#, "`time` is not known"),
            ("permit_join", r#"{"seconds":601}"#, "`seconds`: want a whole number, 0 … 600, got 601"),
            ("permit_join", r#"{"seconds":0,"code":"x"}"#, "`code`: want nothing beside"),
            ("permit_join", r#"{"line":"A b"}"#, "`line`: want the name of a line"),
            ("permit_join", r#"{"code":7}"#, "`code`: want the code on the label, got 7"),
            ("rename", r#"{"name":"x"}"#, "`id`: want the id of a device, got nothing"),
            ("rename", r#"{"id":"A b","name":"x"}"#, "`id`: want the id of a device"),
            ("rename", r#"{"id":"lamp"}"#, "`name`: want a text, got nothing"),
            ("options", r#"{"id":"lamp"}"#, "`options`: want an object"),
            ("options", r#"{"id":"lamp","options":{"a":1}}"#, "options: field `a`: want true, false"),
            ("groups", r#"{"action":"make"}"#, "`action`: want list, create, change or remove, got \"make\""),
            ("groups", r#"{"name":"x"}"#, "`name` is not known: want `action`, `transaction`"),
            ("groups", r#"{"action":"create","name":"x"}"#, "`members`: want a list of ids"),
            (
                "groups",
                r#"{"action":"create","name":"x","members":["A b"]}"#,
                "`members`: want a list of ids",
            ),
            ("groups", r#"{"action":"change","id":"group_all"}"#, "`name`: want a text, or `members`"),
            ("groups", r#"{"action":"remove"}"#, "`id`: want the id of a device"),
            ("identify", r#"{"id":"lamp","seconds":31}"#, "`seconds`: want a whole number, 1 … 30, got 31"),
            ("identify", r#"{"id":"lamp","transaction":7}"#, "transaction: want a text"),
        ] {
            let error = &answers(verb, plainly(payload))[0].1["error"];
            assert!(error["detail"].as_str().expect("a text").contains(word), "{payload}: {error}");
        }
    }

    #[test]
    fn a_long_value_is_not_sent_back_whole() {
        let payload = json!({ "id": "ä".repeat(100_000) }).to_string();
        let shown = answers("identify", plainly(&payload))[0].1.to_string();
        assert!(shown.len() < 400, "{}", shown.len());
    }

    #[test]
    fn the_hubs_answer_goes_back_in_its_own_words() {
        let asker = asked("rename", r#"{"id":"lamp","name":"x","transaction":"7"}"#).asker;
        let told = |answer: Answer| read(asker.told(&topics(), &answer)).remove(0);
        assert_eq!(
            told(Ok(Given::Nothing)),
            ("p/response/rename".to_owned(), json!({"transaction": "7", "status": "ok"}))
        );
        let (_, refused) = told(Err(Refused::NameTaken(lamp())));
        assert_eq!(refused["error"]["code"], "name_taken");
        assert_eq!(read(asker.busy(&topics()))[0].1["error"]["code"], "busy");
    }
}
