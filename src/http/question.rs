//! `POST /v1/events`: the question of `GET /v1/events` in a body, for lists that no query can hold. Makes the query of
//! it and knows nothing of the answer. Spec: `protocol-spec/http.md`, Events.

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use serde_json::{Map, Number, Value, json};

use super::fields::{object, only, wrong};
use super::limits::Asker;
use super::problem::Problem;
use super::reply::read_json;
use super::{App, State, events};
use crate::source::{Commands, Source};

const LISTS: [&str; 2] = ["device", "kind"];
const NUMBERS: [&str; 2] = ["wait", "limit"];
const FLAGS: [&str; 2] = ["strict", "snapshot"];

pub(super) async fn show<S: Source + Commands>(
    state: State<App<S>>,
    asker: Extension<Asker>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let query = query(object(&body, "body")?)?;
    let asked = format!("{}?{query}", uri.path());
    let too_long = |_| wrong("device", &Value::from("a list"), json!("fewer names"));
    let mut response = events::show(state, asker, asked.parse().map_err(too_long)?, headers).await?;
    // The next page is asked for by a body, too.
    response.headers_mut().remove(header::LINK);
    Ok(response)
}

fn query(body: &Map<String, Value>) -> Result<String, Problem> {
    only(body, "", &["after", "wait", "limit", "device", "kind", "strict", "snapshot"])?;
    let mut pairs = Vec::new();
    for (field, value) in body {
        let text = match value {
            Value::String(text) if field == "after" => encoded(text),
            Value::Number(number) if NUMBERS.contains(&&**field) => encoded(&decimal(number)),
            Value::Bool(flag) if FLAGS.contains(&&**field) => u8::from(*flag).to_string(),
            Value::Array(names) if LISTS.contains(&&**field) => list(field, names)?,
            other => return Err(wrong(field, other, allowed(field))),
        };
        pairs.push(format!("{field}={text}"));
    }
    Ok(pairs.join("&"))
}

/// As a query has it: `30.0` is a whole number too, whatever its size.
fn decimal(number: &Number) -> String {
    let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
    whole.map_or_else(|| number.to_string(), |float| format!("{float:.0}"))
}

fn allowed(field: &str) -> Value {
    match field {
        "after" => json!("a cursor, `earliest` or `now`"),
        _ if NUMBERS.contains(&field) => json!("a number"),
        _ if FLAGS.contains(&field) => json!([true, false]),
        _ => json!("a list of names"),
    }
}

fn list(field: &str, names: &[Value]) -> Result<String, Problem> {
    let name = |value: &Value| {
        let name = value.as_str().filter(|name| !name.is_empty() && !name.contains(','));
        name.map(encoded).ok_or_else(|| wrong(field, value, allowed(field)))
    };
    let names = names.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err(wrong(field, &json!([]), json!("at least one name")));
    }
    Ok(names.join(","))
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
