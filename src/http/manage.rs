//! Adding, renaming, replacing and removing devices. Spec: `protocol-spec/http.md`, Devices.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::devices::find;
use super::fields::{missing, object, only, wrong};
use super::problem::Problem;
use super::reply::{ok, read_json};
use super::{App, State};
use crate::device::{Device, LineName};
use crate::hub::{Choices, Given, Request};
use crate::json as views;
use crate::source::{Commands, Source};

pub(super) async fn add<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let request = added(&app.source, object(&body, "body")?)?;
    let device = asked(&app.source, request).await?;
    Ok(created("devices", &device))
}

/// The answer that a device, or a group, is there now.
pub(super) fn created(collection: &str, device: &Device) -> Response {
    let mut response = (StatusCode::CREATED, ok(&views::device(device))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/{collection}/{}", device.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn added<S: Commands>(source: &S, body: &Map<String, Value>) -> Result<Request, Problem> {
    only(body, "", &["line", "address", "channel", "name"])?;
    let line = line_name(source, body)?;
    let channel = match body.get("channel") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let number =
                views::whole(value).and_then(|number| u8::try_from(number).ok()).filter(|number| *number > 0);
            Some(number.ok_or_else(|| wrong("channel", value, json!({ "min": 1, "max": 255 })))?)
        }
    };
    let address = text(body, "address", &json!("the address on the device"))?;
    let name = body.get("name").map(|_| text(body, "name", &json!("text"))).transpose()?;
    Ok(Request::Add { line, address, channel, name })
}

/// The `line` of a body; that there is one of this name is the hub's to say.
pub(super) fn line_name<S: Commands>(source: &S, body: &Map<String, Value>) -> Result<LineName, Problem> {
    let lines: Vec<Value> = source.lines().iter().map(|health| health.line.as_str().into()).collect();
    let line = text(body, "line", &lines.clone().into())?;
    LineName::parse(&line).ok_or_else(|| wrong("line", &body["line"], lines.into()))
}

pub(super) async fn change<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let device = find(&app.source, &id)?.id.clone();
    let body = read_json(&headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &["name", "options"])?;
    let name = body.get("name").map(|_| text(body, "name", &json!("text"))).transpose()?;
    let options = body.get("options").map(options).transpose()?.unwrap_or_default();
    if body.is_empty() {
        return Err(missing("name", json!(["name", "options"])));
    }
    let device = asked(&app.source, Request::Change { device, name, options }).await?;
    Ok(ok(&views::device(&device)))
}

fn options(value: &Value) -> Result<Choices, Problem> {
    let options = object(value, "options")?.iter().map(|(name, value)| {
        let refused = || wrong(&format!("options.{name}"), value, json!("true, false, a word or null"));
        Ok((name.as_str().into(), views::choice(value).ok_or_else(refused)?))
    });
    options.collect()
}

pub(super) async fn replace<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let device = find(&app.source, &id)?.id.clone();
    let body = read_json(&headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &["address"])?;
    let address = text(body, "address", &json!("the address on the new device"))?;
    let device = asked(&app.source, Request::Replace { device, address }).await?;
    Ok(ok(&views::device(&device)))
}

pub(super) async fn remove<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let device = find(&app.source, &id)?.id.clone();
    app.source.request(Request::Remove(device)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn asked<S: Commands>(source: &S, request: Request) -> Result<Arc<Device>, Problem> {
    match source.request(request).await? {
        Given::Device(device) => Ok(device),
        other => unreachable!("the hub answers a device's change with the device, not {other:?}"),
    }
}

pub(super) fn text(body: &Map<String, Value>, field: &str, allowed: &Value) -> Result<Arc<str>, Problem> {
    let value = body.get(field).ok_or_else(|| missing(field, allowed.clone()))?;
    value.as_str().map(Into::into).ok_or_else(|| wrong(field, value, allowed.clone()))
}
