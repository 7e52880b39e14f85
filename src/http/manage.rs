//! Adding, renaming, replacing and removing devices. Spec: `protocol-spec/http.md`, Devices.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::App;
use super::devices::find;
use super::fields::{missing, object, only, wrong};
use super::problem::Problem;
use super::reply::{ok, read_json};
use crate::device::{Device, DeviceId, LineName};
use crate::hub::{Given, Request};
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
    let mut response = (StatusCode::CREATED, ok(&views::device(&device))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/devices/{}", device.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn added<S: Commands>(source: &S, body: &Map<String, Value>) -> Result<Request, Problem> {
    only(body, "", &["line", "address", "channel", "name"])?;
    let lines: Vec<Value> = source.lines().iter().map(|health| health.line.as_str().into()).collect();
    let line = text(body, "line", &lines.clone().into())?;
    let line = LineName::parse(&line).ok_or_else(|| wrong("line", &body["line"], lines.into()))?;
    let channel = match body.get("channel") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let number =
                value.as_u64().and_then(|number| u8::try_from(number).ok()).filter(|number| *number > 0);
            Some(number.ok_or_else(|| wrong("channel", value, json!({ "min": 1, "max": 255 })))?)
        }
    };
    let address = text(body, "address", &json!("the address on the device"))?;
    let name = body.get("name").map(|_| text(body, "name", &json!("text"))).transpose()?;
    Ok(Request::Add { line, address, channel, name })
}

pub(super) async fn change<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (device, name) = one_text(&app.source, &id, &headers, body, "name").await?;
    let device = asked(&app.source, Request::Rename { device, name }).await?;
    Ok(ok(&views::device(&device)))
}

pub(super) async fn replace<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (device, address) = one_text(&app.source, &id, &headers, body, "address").await?;
    let device = asked(&app.source, Request::Replace { device, address }).await?;
    Ok(ok(&views::device(&device)))
}

/// A device, and the one field that is asked of it.
async fn one_text<S: Commands>(
    source: &S,
    id: &str,
    headers: &HeaderMap,
    body: Body,
    field: &str,
) -> Result<(DeviceId, Arc<str>), Problem> {
    let device = find(source, id)?.id.clone();
    let body = read_json(headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &[field])?;
    Ok((device, text(body, field, &json!("text"))?))
}

pub(super) async fn remove<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let device = find(&app.source, &id)?.id.clone();
    app.source.request(Request::Remove(device)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn asked<S: Commands>(source: &S, request: Request) -> Result<Arc<Device>, Problem> {
    match source.request(request).await? {
        Given::Device(device) => Ok(device),
        other => unreachable!("the hub answers a device's change with the device, not {other:?}"),
    }
}

fn text(body: &Map<String, Value>, field: &str, allowed: &Value) -> Result<Arc<str>, Problem> {
    let value = body.get(field).ok_or_else(|| missing(field, allowed.clone()))?;
    value.as_str().map(Into::into).ok_or_else(|| wrong(field, value, allowed.clone()))
}
