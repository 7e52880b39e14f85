//! Reading a JSON body field by field: what is missing, unknown or of the wrong kind is named, with what it may be.

use serde_json::{Map, Value, json};

use super::problem::Problem;

pub(super) fn object<'v>(value: &'v Value, field: &str) -> Result<&'v Map<String, Value>, Problem> {
    value.as_object().ok_or_else(|| wrong(field, value, json!("an object")))
}

pub(super) fn only(object: &Map<String, Value>, prefix: &str, known: &[&str]) -> Result<(), Problem> {
    let Some(name) = object.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    let field = format!("{prefix}{}", excerpt(name));
    Err(Problem::wrong_field(&field, format!("`{field}` is not a field of this request"), known.into()))
}

pub(super) fn missing(field: &str, allowed: Value) -> Problem {
    Problem::wrong_field(field, format!("`{field}` is missing"), allowed)
}

pub(super) fn wrong(field: &str, got: &Value, allowed: Value) -> Problem {
    let detail = format!("`{field}` is {}, wanted {allowed}", excerpt(&got.to_string()));
    Problem::wrong_field(field, detail, allowed)
}

/// Enough of a text to recognise it: a body of 64 KiB is not sent back.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
