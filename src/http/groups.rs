//! Groups: listed, made, changed, removed. They are commanded as devices are. Spec: `protocol-spec/http.md`, Groups.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::fields::{missing, object, only, wrong};
use super::manage::{asked, created, text};
use super::problem::{self, Problem};
use super::reply::{Object, ok, read_json};
use super::{App, State};
use crate::device::{Device, DeviceId};
use crate::hub::Request;
use crate::json as views;
use crate::source::{Commands, Source};

pub(super) async fn list<S: Source + Commands>(State(app): State<App<S>>) -> Response {
    let devices = app.source.devices();
    let groups = devices.iter().filter(|device| device.members.is_some());
    ok(&Object::default().list("groups", groups.map(|group| views::device(group)).collect()))
}

pub(super) async fn one<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    find(&app.source, &id).map(|group| ok(&views::device(&group)))
}

pub(super) async fn create<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &["name", "members"])?;
    let name = text(body, "name", &json!("text"))?;
    let members = members(body)?.ok_or_else(|| missing("members", json!(MEMBERS)))?;
    let group = asked(&app.source, Request::AddGroup { name, members }).await?;
    Ok(created("groups", &group))
}

pub(super) async fn change<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let group = find(&app.source, &id)?.id.clone();
    let body = read_json(&headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &["name", "members"])?;
    if body.is_empty() {
        return Err(missing("name", json!(["name", "members"])));
    }
    let name = body.get("name").map(|_| text(body, "name", &json!("text"))).transpose()?;
    let members = members(body)?;
    let group = asked(&app.source, Request::ChangeGroup { group, name, members }).await?;
    Ok(ok(&views::device(&group)))
}

pub(super) async fn remove<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let group = find(&app.source, &id)?.id.clone();
    app.source.request(Request::RemoveGroup(group)).await?;
    Ok(StatusCode::NO_CONTENT)
}

const MEMBERS: &str = "a list of ids of devices";

fn members(body: &Map<String, Value>) -> Result<Option<Vec<DeviceId>>, Problem> {
    let Some(value) = body.get("members") else { return Ok(None) };
    let bad = |value| wrong("members", value, json!(MEMBERS));
    let ids = value.as_array().ok_or_else(|| bad(value))?.iter();
    ids.map(|id| id.as_str().and_then(DeviceId::parse).ok_or_else(|| bad(id)))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn find<S: Commands>(source: &S, id: &str) -> Result<Arc<Device>, Problem> {
    let group = DeviceId::parse(id).and_then(|id| source.device(&id));
    group.filter(|device| device.members.is_some()).ok_or_else(|| {
        let detail = format!("no group `{id}` is in the registry; GET /v1/groups lists them");
        Problem::new(&problem::UNKNOWN_GROUP, detail)
    })
}
