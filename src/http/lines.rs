//! The lines, and how well each of them carries. Spec: `protocol-spec/http.md`, Lines.

use axum::extract::Path;
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Map, Number, Value, json};

use super::ask::Query;
use super::events::pairs;
use super::problem::{self, Problem};
use super::reply::{Object, ok};
use super::{App, State};
use crate::device::{Decimal, LineName};
use crate::hub::quality::{DeviceQuality, HOURS_MAX, QualityView};
use crate::hub::{Given, LineHealth, Request};
use crate::json as views;
use crate::source::{Commands, Source};

fn about(health: &LineHealth) -> Value {
    let mut view = json!({ "line": health.line.as_str(), "dialect": health.dialect });
    if let (Value::Object(view), Value::Object(about)) = (&mut view, views::about_line(health)) {
        view.extend(about);
    }
    view
}

pub(super) async fn list<S: Source + Commands>(State(app): State<App<S>>) -> Response {
    let lines: Vec<Value> = app.source.lines().iter().map(|health| about(health)).collect();
    ok(&Object::default().with("lines", lines))
}

pub(super) async fn quality<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let line = find(&app.source, &name)?;
    let pairs = pairs(&uri);
    let hours = Query(&pairs).number("hours", 1, HOURS_MAX as u64)?.unwrap_or(HOURS_MAX as u64);
    let hours = u8::try_from(hours).unwrap_or(u8::MAX);
    let Given::Quality(view) = app.source.request(Request::Quality { line, hours }).await? else {
        unreachable!("the hub answers the question for quality with it");
    };
    Ok(ok(&told(&view)))
}

/// A line by its name in a path.
pub(super) fn find<S: Commands>(source: &S, name: &str) -> Result<LineName, Problem> {
    let lines = source.lines();
    if let Some(health) = lines.iter().find(|health| health.line.as_str() == name) {
        return Ok(health.line.clone());
    }
    let known: Vec<&str> = lines.iter().map(|health| health.line.as_str()).collect();
    let detail = format!("no line is called `{name}`; there are: {}", known.join(", "));
    Err(Problem::new(&problem::UNKNOWN_LINE, detail))
}

fn told(view: &QualityView) -> Value {
    let hours = view.hours.iter().map(|(start, counts)| {
        json!({ "t": views::time(*start), "heard": counts.heard, "malformed": counts.malformed,
            "unanswered": counts.unanswered })
    });
    json!({
        "line": view.line.as_str(),
        "hours": hours.collect::<Vec<_>>(),
        "devices": view.devices.iter().map(device).collect::<Vec<_>>(),
        "links": view.devices.iter().filter(|of| of.heard > 0).map(link).collect::<Vec<_>>(),
    })
}

fn device(of: &DeviceQuality) -> Value {
    let mut view = json!({
        "device": of.device.as_str(), "heard": of.heard, "expected": of.expected, "missed": of.missed,
        "attempts": of.attempts, "last_heard": of.last_heard_unix_ms.map(views::time),
    });
    let told = [("snr_db", of.snr_tenths), ("level_db", of.level_tenths), ("hops", of.hops_tenths)];
    for (name, tenths) in told {
        put(&mut view, name, tenths);
    }
    view
}

/// Nobody tells yet what sockets hear of each other: what the gateway hears of each.
fn link(of: &DeviceQuality) -> Value {
    let mut view = json!({ "from": of.device.as_str(), "to": "gateway", "seen": of.heard });
    put(&mut view, "snr_db", of.snr_tenths);
    view
}

/// Adds a figure in tenths as an exact number; what was not told is absent.
fn put(view: &mut Value, name: &str, tenths: Option<i32>) {
    let number = tenths
        .and_then(|value| Decimal { value: value.into(), digits: 1 }.to_string().parse::<Number>().ok());
    if let (Some(number), Value::Object(view)) = (number, view) {
        let view: &mut Map<String, Value> = view;
        view.insert(name.to_owned(), number.into());
    }
}
