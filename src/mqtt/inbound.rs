//! What comes in: payloads of `set`, judged, and what they share with requests. Pure.
//!
//! A retained command is a hazard: it would switch again at every connect. It is refused whatever it says.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::device::DeviceId;
use crate::hub::command::{Action, ReplyTo};
use crate::hub::{NewCommand, Refused, Wish};
use crate::json;

use super::publish::Message;
use super::topics::{Leaf, Topics};

/// How long a command may wait to be sent when nobody says.
const TTL_DEFAULT_S: u32 = 30;
/// Longest time that a command may wait: a day.
const TTL_MAX_S: u32 = 86_400;
/// Longest `transaction`, correlation data and response topic, in bytes: they are kept with the command on disk.
const REPLY_MAX: usize = 1024;
/// Characters of a wrong value that are said back: enough to recognise it.
const SHOWN: usize = 40;

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
        Self { code: code(refused), detail: refused.to_string(), reply_to }
    }

    /// Too many commands wait to be taken in.
    #[must_use]
    pub fn busy(reply_to: ReplyTo) -> Self {
        let (code, detail) = busy();
        Self { code, detail, reply_to }
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

/// The stable word for a refusal of the hub: one each.
#[must_use]
pub fn code(refused: &Refused) -> &'static str {
    match refused {
        Refused::UnknownDevice(_) => "unknown_device",
        Refused::UnknownCommand(_) => "unknown_command",
        Refused::NotSupported { .. } => "not_supported",
        Refused::StateUnknown(_) => "state_unknown",
        Refused::QueueFull { .. } => "queue_full",
        Refused::KeyReused(_) => "key_reused",
        Refused::UnknownLine { .. } => "unknown_line",
        Refused::BadAddress(_) => "bad_address",
        Refused::AddressTaken(_) => "address_taken",
        Refused::BadName { .. } => "bad_name",
        Refused::NameTaken(_) => "name_taken",
        Refused::FewerCapabilities { .. } => "fewer_capabilities",
        Refused::BadOption { .. } => "bad_option",
        Refused::WhichLine { .. } => "which_line",
        Refused::NoJoining(_) => "no_joining",
        Refused::NoJoinByAddress(_) => "no_joining_by_code",
        Refused::InConfiguration(_) => "in_configuration",
        Refused::UnknownGroup(_) => "unknown_group",
        Refused::BadMembers { .. } => "bad_members",
        Refused::TooManyGroups { .. } => "too_many_groups",
        Refused::EmptyGroup(_) => "empty_group",
        Refused::IsGroup(_) => "is_group",
        Refused::LineGone(_) => "line_gone",
        Refused::NotQueued(_) => "not_queued",
        // Tokens are a matter of HTTP; nothing of the broker asks for these.
        Refused::UnknownToken(_) => "unknown_token",
        Refused::TooManyTokens { .. } => "too_many_tokens",
        Refused::TokenRetires(_) => "token_retires",
        Refused::OutOfReach => "out_of_reach",
        Refused::StoreBroken => "store_broken",
        Refused::NotErased(_) => "not_erased",
        Refused::Stopping => "stopping",
    }
}

/// Too much waits to be asked of the hub.
pub(super) fn busy() -> Problem {
    ("busy", "too many commands wait to be taken in; send this one again".to_owned())
}

/// The same on the response topic that the asker named.
pub(super) fn answer_to(reply_to: &ReplyTo, view: &Value) -> Option<Message> {
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
    Ok(Some(NewCommand {
        device: device.clone(),
        wish,
        ttl: ttl(ttl_s, message),
        requested_by: "mqtt".into(),
        idempotency: None,
        reply_to,
    }))
}

/// How long a command may wait to be sent: as its payload says, else its message, else the default.
pub(super) fn ttl(asked_s: Option<u32>, message: Inbound<'_>) -> Duration {
    let seconds = asked_s.or(message.expiry_s).unwrap_or(TTL_DEFAULT_S);
    Duration::from_secs(seconds.clamp(1, TTL_MAX_S).into())
}

/// A stable word, and a sentence.
pub(super) type Problem = (&'static str, String);

pub(super) fn fields(payload: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// Nothing but these fields, so that a misspelt `ttl_s` is not overlooked.
pub(super) fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), Problem> {
    let Some(stranger) = fields.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let stranger = excerpt(stranger);
    Err(("bad_payload", format!("field `{stranger}` is not known: want {}", known.join(", "))))
}

/// The field is missing or of the wrong kind.
pub(super) fn wrong(fields: &Map<String, Value>, field: &str, want: &str) -> Problem {
    let got = fields.get(field).map_or_else(|| "nothing".to_owned(), |got| excerpt(&got.to_string()));
    ("bad_payload", format!("field `{field}`: want {want}, got {got}"))
}

/// A whole number of a range; `None` when it is not there.
pub(super) fn number(
    fields: &Map<String, Value>,
    field: &str,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, Problem> {
    let Some(value) = fields.get(field) else { return Ok(None) };
    let fits = json::whole(value).and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
    let want = || format!("a whole number, {} … {}", range.start(), range.end());
    fits.map(Some).ok_or_else(|| wrong(fields, field, &want()))
}

fn excerpt(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

fn not_understood(payload: &[u8]) -> Problem {
    let shown = excerpt(&String::from_utf8_lossy(payload));
    let detail =
        format!(r#"payload `{shown}`: want ON, OFF, TOGGLE or {{"on":true,"ttl_s":30,"transaction":"…"}}"#);
    ("bad_payload", detail)
}

fn wish_of(fields: &Map<String, Value>) -> Result<(Wish, Option<u32>), Problem> {
    only(fields, &["on", "ttl_s", "transaction"])?;
    let on = fields.get("on").and_then(Value::as_bool);
    let on = on.ok_or_else(|| wrong(fields, "on", "true or false"))?;
    let ttl_s = number(fields, "ttl_s", 1..=TTL_MAX_S)?;
    Ok((Wish::Do(Action::Switch { on }), ttl_s))
}

/// Where an answer to this message goes, and what is wrong with that.
pub(super) fn reply_to(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{CommandId, GatewayId, LineName};
    use crate::line::BadAddress;

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

    const SPEC: &str = include_str!("../../protocol-spec/mqtt.md");

    fn refusals() -> Vec<Refused> {
        let (device, command) =
            (DeviceId::parse("a").expect("an id"), CommandId::parse(COMMAND).expect("an id"));
        let line = LineName::parse("mains").expect("a name");
        vec![
            Refused::UnknownDevice(device.clone()),
            Refused::UnknownCommand(command.clone()),
            Refused::NotSupported { device: device.clone(), command: "switch" },
            Refused::StateUnknown(device.clone()),
            Refused::QueueFull { device: device.clone(), limit: 50 },
            Refused::KeyReused(device.clone()),
            Refused::UnknownLine { line: line.clone(), known: String::new() },
            Refused::BadAddress(BadAddress { given: "x".into(), want: "six digits" }),
            Refused::AddressTaken(device.clone()),
            Refused::BadName { max: 64 },
            Refused::NameTaken(device.clone()),
            Refused::FewerCapabilities { device: device.clone(), missing: String::new() },
            Refused::BadOption { option: "x".into(), what: String::new(), allowed: Vec::new() },
            Refused::WhichLine { known: String::new() },
            Refused::NoJoining(line.clone()),
            Refused::NoJoinByAddress(line),
            Refused::InConfiguration(device.clone()),
            Refused::UnknownGroup(device.clone()),
            Refused::BadMembers { what: String::new() },
            Refused::TooManyGroups { limit: 64 },
            Refused::EmptyGroup(device.clone()),
            Refused::IsGroup(device.clone()),
            Refused::LineGone(device),
            Refused::NotQueued(command),
            Refused::StoreBroken,
            Refused::Stopping,
        ]
    }

    const COMMAND: &str = "cmd_01jd0000000000000000000000";

    #[test]
    fn every_refusal_has_a_word_of_its_own() {
        let words: Vec<&str> = refusals().iter().map(code).collect();
        for (index, word) in words.iter().enumerate() {
            assert!(!words[..index].contains(word), "{word}");
        }
        // What no command and no request over MQTT can meet is not in its specification.
        let elsewhere = [
            "unknown_command",
            "key_reused",
            "address_taken",
            "fewer_capabilities",
            "in_configuration",
            "not_queued",
        ];
        for word in words {
            assert_eq!(SPEC.contains(&format!("`{word}`")), !elsewhere.contains(&word), "{word}");
        }
    }
}
