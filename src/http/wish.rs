//! The body of a command request, field by field. Refuses what it does not know, so that a misspelt `ttl_s` is
//! not silently the default. Spec: `protocol-spec/http.md`, Commands.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::fields::{missing, object, only, wrong};
use super::problem::Problem;
use crate::hub::Wish;
use crate::hub::command::{Action, IDENTIFY_DEFAULT_S, IDENTIFY_MAX_S};
use crate::json::whole;

/// How long a command may wait to be sent unless told otherwise.
const TTL_DEFAULT_S: u64 = 30;
/// Longest wait to be sent: a day.
pub(super) const TTL_MAX_S: u64 = 86_400;
const COMMANDS: [&str; 4] = ["switch", "toggle", "read", "identify"];

/// What is wanted and how long it may wait.
///
/// # Errors
/// A [`Problem`] that names the field and what it may be.
pub(super) fn parse(body: &Value) -> Result<(Wish, Duration), Problem> {
    let body = object(body, "body")?;
    only(body, "", &["command", "args", "ttl_s"])?;
    let wanted = || Value::from(COMMANDS.as_slice());
    let command = body.get("command").ok_or_else(|| missing("command", wanted()))?;
    let empty = Value::Object(Map::new());
    let args = object(body.get("args").unwrap_or(&empty), "args")?;
    let wish = match command.as_str() {
        Some("switch") => Wish::Do(Action::Switch { on: on(args)? }),
        Some("toggle") => only(args, "args.", &[]).map(|()| Wish::Toggle)?,
        Some("read") => only(args, "args.", &[]).map(|()| Wish::Do(Action::Read))?,
        Some("identify") => Wish::Do(Action::Identify { seconds: identify(args)? }),
        _ => return Err(wrong("command", command, wanted())),
    };
    let ttl_s = match body.get("ttl_s") {
        None => TTL_DEFAULT_S,
        Some(value) => number("ttl_s", value, TTL_MAX_S)?,
    };
    Ok((wish, Duration::from_secs(ttl_s)))
}

fn on(args: &Map<String, Value>) -> Result<bool, Problem> {
    only(args, "args.", &["on"])?;
    let value = args.get("on").ok_or_else(|| missing("args.on", json!([true, false])))?;
    value.as_bool().ok_or_else(|| wrong("args.on", value, json!([true, false])))
}

fn identify(args: &Map<String, Value>) -> Result<u16, Problem> {
    only(args, "args.", &["seconds"])?;
    let Some(value) = args.get("seconds") else { return Ok(IDENTIFY_DEFAULT_S) };
    // The range fits 16 bits.
    number("args.seconds", value, IDENTIFY_MAX_S.into())
        .map(|seconds| u16::try_from(seconds).unwrap_or(u16::MAX))
}

fn number(field: &str, value: &Value, max: u64) -> Result<u64, Problem> {
    let fits = whole(value).filter(|number| (1..=max).contains(number));
    fits.ok_or_else(|| wrong(field, value, range(max)))
}

fn range(max: u64) -> Value {
    json!({ "min": 1, "max": max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_bodies_become_wishes() {
        let good = |body: Value| parse(&body).expect("good");
        let switch = Wish::Do(Action::Switch { on: true });
        assert_eq!(
            good(json!({"command": "switch", "args": {"on": true}})),
            (switch, Duration::from_secs(30))
        );
        assert_eq!(good(json!({"command": "toggle", "ttl_s": 1})), (Wish::Toggle, Duration::from_secs(1)));
        let read = (Wish::Do(Action::Read), Duration::from_secs(86_400));
        assert_eq!(good(json!({"command": "read", "args": {}, "ttl_s": 86_400})), read);
        let identify = Wish::Do(Action::Identify { seconds: 30 });
        assert_eq!(good(json!({"command": "identify", "args": {"seconds": 30}})).0, identify);
    }

    #[test]
    fn a_wrong_field_is_named_with_what_it_may_be() {
        let of = |body: Value| -> (Value, Value) {
            let told: Value =
                serde_json::from_str(&parse(&body).expect_err("wrong").body()).expect("a problem");
            (told["field"].clone(), told["allowed"].clone())
        };
        let seconds = |max: u32| json!({"min": 1, "max": max});
        let on = json!([true, false]);
        assert_eq!(of(json!([])), (json!("body"), json!("an object")));
        assert_eq!(of(json!({})).0, "command");
        assert_eq!(of(json!({"command": "explode"})), (json!("command"), json!(COMMANDS)));
        assert_eq!(of(json!({"command": 1})).0, "command");
        assert_eq!(of(json!({"command": "switch"})), (json!("args.on"), on.clone()));
        assert_eq!(of(json!({"command": "switch", "args": {"on": "yes"}})), (json!("args.on"), on));
        assert_eq!(of(json!({"command": "switch", "args": []})).0, "args");
        assert_eq!(of(json!({"command": "read", "args": {"x": 1}})), (json!("args.x"), json!([])));
        assert_eq!(of(json!({"command": "identify", "args": {"seconds": 31}})).1, seconds(30));
        assert_eq!(of(json!({"command": "read", "ttl": 5})).0, "ttl");
        for ttl in [json!(0), json!(86_401), json!(-1), json!(1.5), json!("30"), json!(null)] {
            assert_eq!(of(json!({"command": "read", "ttl_s": ttl})), (json!("ttl_s"), seconds(86_400)));
        }
    }

    #[test]
    fn a_long_value_is_not_sent_back_whole() {
        let long = parse(&json!({"command": "ä".repeat(10_000)})).expect_err("wrong").body();
        assert!(long.len() < 600, "{}", long.len());
    }
}
