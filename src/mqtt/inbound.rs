//! What comes in: payloads of `set` and `request`, judged. Pure.
//!
//! A retained command is a hazard: it would switch again at every connect. It is refused whatever it says.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::device::{Device, DeviceId};
use crate::hub::command::{Action, ReplyTo};
use crate::hub::{LineHealth, NewCommand, Refused, Wish};
use crate::json;
use crate::source::Part;

use super::publish::Message;
use super::topics::{Leaf, Topic, Topics};

/// How long a command may wait to be sent when nobody says.
const TTL_DEFAULT_S: u32 = 30;
/// Longest time that a command may wait: a day.
const TTL_MAX_S: u32 = 86_400;
/// Longest `transaction`, correlation data and response topic, in bytes: they are kept with the command on disk.
const REPLY_MAX: usize = 1024;
/// Largest answer, in bytes: below the packet limit of 1 MiB with room for topic and properties.
const ANSWER_MAX: usize = 1_000_000;

/// A message from the broker, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inbound<'a> {
    /// Its payload.
    pub payload: &'a [u8],
    /// It was published retained.
    pub retain: bool,
    /// MQTT 5 message expiry, seconds.
    pub expiry_s: Option<u32>,
    /// MQTT 5 response topic.
    pub response_topic: Option<&'a str>,
    /// MQTT 5 correlation data.
    pub correlation: Option<&'a [u8]>,
}

/// Not done, and why: told on `result` and to the response topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Stable word for programs.
    pub code: &'static str,
    /// One sentence for people.
    pub detail: String,
    /// Where it goes besides `result`.
    pub reply_to: ReplyTo,
}

impl Rejection {
    /// The hub refused.
    #[must_use]
    pub fn refused(refused: &Refused, reply_to: ReplyTo) -> Self {
        let code = match refused {
            Refused::UnknownDevice(_) => "unknown_device",
            Refused::NotSupported { .. } => "not_supported",
            Refused::StateUnknown(_) => "state_unknown",
            Refused::QueueFull { .. } => "queue_full",
            Refused::StoreBroken => "store_broken",
            Refused::Stopping => "stopping",
            _ => "refused",
        };
        Self { code, detail: refused.to_string(), reply_to }
    }

    /// Too many commands wait to be taken in.
    #[must_use]
    pub fn busy(reply_to: ReplyTo) -> Self {
        let detail = "too many commands wait to be taken in; send this one again".to_owned();
        Self { code: "busy", detail, reply_to }
    }

    /// The messages that tell of it.
    #[must_use]
    pub fn messages(&self, topics: &Topics, device: &DeviceId, unix_ms: i64) -> Vec<Message> {
        let mut view = json!({
            "event_type": "failed", "outcome": "not_applied",
            "error": { "code": self.code, "detail": self.detail }, "t": json::time(unix_ms),
        });
        if let Some(transaction) = &self.reply_to.transaction {
            view["transaction"] = (**transaction).into();
        }
        let own = Message::passing(topics.device(device, Leaf::Result), view.to_string());
        std::iter::once(own).chain(answer_to(&self.reply_to, &view)).collect()
    }
}

fn answer_to(reply_to: &ReplyTo, view: &Value) -> Option<Message> {
    let topic = reply_to.response_topic.as_ref()?.to_string();
    let correlation = reply_to.correlation.clone();
    Some(Message { correlation, ..Message::passing(topic, view.to_string()) })
}

/// Judges a message on `device/{id}/set`. `Ok(None)`: an empty retained one, by which somebody takes a retained
/// command back.
///
/// # Errors
/// [`Rejection`] with what to tell.
pub fn set(
    topics: &Topics,
    device: &DeviceId,
    message: Inbound<'_>,
) -> Result<Option<NewCommand>, Rejection> {
    if message.retain && message.payload.is_empty() {
        return Ok(None);
    }
    let fields = fields(message.payload);
    let (reply_to, problem) = reply_to(topics, message, fields.as_ref());
    let reject = |(code, detail)| Rejection { code, detail, reply_to: reply_to.clone() };
    if message.retain {
        return Err(reject((
            "retained",
            "a retained command would act again at every connect; publish it without retain".into(),
        )));
    }
    if let Some(problem) = problem {
        return Err(reject(problem));
    }
    let (wish, ttl_s) = match message.payload {
        b"ON" => (Wish::Do(Action::Switch { on: true }), None),
        b"OFF" => (Wish::Do(Action::Switch { on: false }), None),
        b"TOGGLE" => (Wish::Toggle, None),
        _ => fields
            .as_ref()
            .ok_or_else(|| not_understood(message.payload))
            .and_then(wish_of)
            .map_err(reject)?,
    };
    let ttl_s = ttl_s.or(message.expiry_s).unwrap_or(TTL_DEFAULT_S).clamp(1, TTL_MAX_S);
    Ok(Some(NewCommand {
        device: device.clone(),
        wish,
        ttl: Duration::from_secs(ttl_s.into()),
        requested_by: "mqtt".into(),
        idempotency: None,
        reply_to,
    }))
}

type Problem = (&'static str, String);

fn fields(payload: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

fn not_understood(payload: &[u8]) -> Problem {
    let shown: String = String::from_utf8_lossy(payload).chars().take(40).collect();
    let detail =
        format!(r#"payload `{shown}`: want ON, OFF, TOGGLE or {{"on":true,"ttl_s":30,"transaction":"…"}}"#);
    ("bad_payload", detail)
}

fn wish_of(fields: &Map<String, Value>) -> Result<(Wish, Option<u32>), Problem> {
    let wrong = |field: &str, want: &str| {
        let got = fields.get(field).map_or_else(|| "nothing".to_owned(), Value::to_string);
        ("bad_payload", format!("field `{field}`: want {want}, got {got}"))
    };
    if let Some(stranger) = fields.keys().find(|key| !["on", "ttl_s", "transaction"].contains(&key.as_str()))
    {
        return Err((
            "bad_payload",
            format!("field `{stranger}` is not known: want `on`, `ttl_s`, `transaction`"),
        ));
    }
    let on = fields.get("on").and_then(Value::as_bool).ok_or_else(|| wrong("on", "true or false"))?;
    let ttl_s = match fields.get("ttl_s") {
        None => None,
        Some(value) => {
            let seconds = value.as_u64().and_then(|n| u32::try_from(n).ok());
            let fits = seconds.filter(|n| (1..=TTL_MAX_S).contains(n));
            Some(fits.ok_or_else(|| wrong("ttl_s", "a whole number, 1 … 86400"))?)
        }
    };
    Ok((Wish::Do(Action::Switch { on }), ttl_s))
}

/// Where an answer to this message goes, and what is wrong with that.
fn reply_to(
    topics: &Topics,
    message: Inbound<'_>,
    fields: Option<&Map<String, Value>>,
) -> (ReplyTo, Option<Problem>) {
    let mut problem = None;
    let mut kept = |good: bool, field: &str, want: &str| {
        if !good {
            problem = Some(("bad_reply", format!("{field}: want {want}")));
        }
        good
    };
    let transaction = match fields.and_then(|fields| fields.get("transaction")) {
        Some(Value::String(text)) if kept(text.len() <= REPLY_MAX, "transaction", "at most 1024 bytes") => {
            Some(text.as_str().into())
        }
        Some(Value::String(_)) | None => None,
        Some(_) => {
            kept(false, "transaction", "a text");
            None
        }
    };
    let response_topic = message.response_topic.filter(|topic| {
        let good = topic.len() <= REPLY_MAX && topics.may_answer_on(topic);
        kept(good, "response topic", "a plain topic of at most 1024 bytes, outside the gateway's own")
    });
    let correlation = message
        .correlation
        .filter(|data| kept(data.len() <= REPLY_MAX, "correlation data", "at most 1024 bytes"));
    let reply = ReplyTo {
        transaction,
        response_topic: response_topic.map(Into::into),
        correlation: correlation.map(Into::into),
    };
    (reply, problem)
}

/// What a request may be answered from.
pub struct View {
    /// All devices.
    pub devices: Vec<Arc<Device>>,
    /// All lines.
    pub lines: Vec<Arc<LineHealth>>,
    /// All parts.
    pub parts: Vec<(&'static str, Part)>,
}

/// Answers a message on `request/{verb}`; nothing for an empty retained one.
#[must_use]
pub fn request(
    topics: &Topics,
    verb: &Arc<str>,
    message: Inbound<'_>,
    view: impl FnOnce() -> View,
) -> Vec<Message> {
    if message.retain && message.payload.is_empty() {
        return Vec::new();
    }
    let fields = match message.payload.is_empty() {
        true => Some(Map::new()),
        false => fields(message.payload),
    };
    let (reply_to, problem) = reply_to(topics, message, fields.as_ref());
    let answer = match (message.retain, fields, problem) {
        (true, ..) => {
            Err(("retained", "a retained request would be asked again at every connect".to_owned()))
        }
        (_, None, _) => Err(("bad_payload", "want a JSON object or nothing".to_owned())),
        (_, _, Some(problem)) => Err(problem),
        _ => answer(verb, view),
    };
    let mut shown = match answer {
        Ok(data) => json!({ "status": "ok", "data": data }),
        Err((code, detail)) => json!({ "status": "error", "error": { "code": code, "detail": detail } }),
    };
    if let Some(transaction) = &reply_to.transaction {
        shown["transaction"] = (**transaction).into();
    }
    let own = Message::passing(topics.name(&Topic::Response(Arc::clone(verb))), shown.to_string());
    std::iter::once(own).chain(answer_to(&reply_to, &shown)).collect()
}

fn answer(verb: &str, view: impl FnOnce() -> View) -> Result<Value, Problem> {
    let data = match verb {
        "devices" => devices(&view().devices),
        "health" => health(&view()),
        "permit_join" | "rename" | "options" | "groups" => {
            return Err(("not_supported", format!("`{verb}` is not there yet over MQTT")));
        }
        _ => return Err(("unknown_verb", format!("`{verb}`: want devices or health"))),
    };
    match data.to_string().len() <= ANSWER_MAX {
        true => Ok(data),
        false => {
            Err(("too_large", "the answer is larger than a packet; ask GET /v1/devices over HTTP".into()))
        }
    }
}

fn devices(devices: &[Arc<Device>]) -> Value {
    let shown = devices.iter().map(|device| serde_json::from_str(json::device(device).get()));
    json!({ "devices": shown.collect::<Result<Vec<Value>, _>>().unwrap_or_default() })
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
    use super::*;
    use crate::device::GatewayId;

    fn topics() -> Topics {
        Topics::new("p", "ha", &GatewayId::parse("gw_aaaaaaaaaa").expect("an id"))
    }

    fn judge(message: Inbound<'_>) -> Result<Option<NewCommand>, Rejection> {
        set(&topics(), &DeviceId::parse("a").expect("an id"), message)
    }

    fn plain(payload: &str) -> Inbound<'_> {
        Inbound { payload: payload.as_bytes(), ..Inbound::default() }
    }

    fn command(payload: &str) -> NewCommand {
        judge(plain(payload)).expect("understood").expect("a command")
    }

    #[test]
    fn words_and_objects_mean_the_same() {
        assert_eq!(command("ON").wish, Wish::Do(Action::Switch { on: true }));
        assert_eq!(command(r#"{"on":false}"#).wish, Wish::Do(Action::Switch { on: false }));
        assert_eq!(command("TOGGLE").wish, Wish::Toggle);
        let full = command(r#"{"on":true,"ttl_s":5,"transaction":"t1"}"#);
        assert_eq!(full.ttl, Duration::from_secs(5));
        assert_eq!(full.reply_to.transaction.as_deref(), Some("t1"));
    }

    #[test]
    fn the_payloads_time_to_live_beats_the_messages_and_that_beats_the_default() {
        let ttl = |payload, expiry_s| {
            let message = Inbound { expiry_s, ..plain(payload) };
            judge(message).expect("understood").expect("a command").ttl.as_secs()
        };
        assert_eq!(ttl(r#"{"on":true,"ttl_s":5}"#, Some(9)), 5);
        assert_eq!(ttl("ON", Some(9)), 9);
        assert_eq!(ttl("ON", Some(u32::MAX)), 86_400);
        assert_eq!(ttl("ON", None), 30);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_field_and_wish() {
        for (payload, word) in [
            ("on", "ON, OFF"),
            ("", "ON, OFF"),
            ("true", "ON, OFF"),
            (r#"{"on":1}"#, "`on`: want true or false, got 1"),
            (r#"{"ttl_s":1}"#, "`on`: want true or false, got nothing"),
            (r#"{"on":true,"ttl_s":0}"#, "`ttl_s`"),
            (r#"{"on":true,"ttl_s":86401}"#, "`ttl_s`"),
            (r#"{"on":true,"ttl":5}"#, "`ttl` is not known"),
            (r#"{"on":true,"transaction":5}"#, "transaction: want a text"),
        ] {
            let rejection = judge(plain(payload)).expect_err(payload);
            assert!(rejection.detail.contains(word), "{payload}: {}", rejection.detail);
        }
    }

    #[test]
    fn a_retained_command_is_refused_and_taking_it_back_is_silent() {
        let retained = |payload| judge(Inbound { retain: true, ..plain(payload) });
        assert_eq!(retained("ON").expect_err("refused").code, "retained");
        assert_eq!(retained(""), Ok(None));
    }

    #[test]
    fn an_answer_is_not_sent_where_it_could_be_believed() {
        let message = Inbound { response_topic: Some("p/status"), correlation: Some(b"c"), ..plain("ON") };
        let rejection = judge(message).expect_err("refused");
        assert_eq!(rejection.code, "bad_reply");
        assert_eq!(rejection.reply_to.response_topic, None);
        let sent = rejection.messages(&topics(), &DeviceId::parse("a").expect("an id"), 0);
        assert_eq!(sent.iter().map(|m| m.topic.as_str()).collect::<Vec<_>>(), ["p/device/a/result"]);
    }

    fn ask(verb: &str, message: Inbound<'_>) -> Vec<(String, Value)> {
        let view =
            || View { devices: Vec::new(), lines: Vec::new(), parts: vec![("store", Part::Good("".into()))] };
        let sent = request(&topics(), &verb.into(), message, view);
        sent.into_iter().map(|m| (m.topic, serde_json::from_str(&m.payload).expect("JSON"))).collect()
    }

    #[test]
    fn requests_are_answered_on_their_own_topic_and_where_the_asker_wishes() {
        let message = Inbound { response_topic: Some("mine"), ..plain(r#"{"transaction":"7"}"#) };
        let answers = ask("health", message);
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
    fn verbs_to_come_unknown_verbs_and_retained_requests_are_plain_errors() {
        let code = |verb, message| ask(verb, message)[0].1["error"]["code"].clone();
        assert_eq!(code("permit_join", plain("{}")), "not_supported");
        assert_eq!(code("dance", plain("")), "unknown_verb");
        assert_eq!(code("devices", plain("[]")), "bad_payload");
        assert_eq!(code("devices", Inbound { retain: true, ..plain("{}") }), "retained");
    }
}
