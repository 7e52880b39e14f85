//! The registry, the gateway and the snapshot, as they are now. Spec: `protocol-spec/http.md`, Resources.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use super::problem::{self, Problem};
use super::reply::{Object, ok, texts};
use super::{App, State};
use crate::device::{Device, DeviceId};
use crate::json;
use crate::source::{Commands, Source};

/// A device by the text of its id.
pub(super) fn find<S: Commands>(source: &S, id: &str) -> Result<Arc<Device>, Problem> {
    let unknown = || {
        let detail = format!("no device `{id}` is in the registry; GET /v1/devices lists them");
        Problem::new(&problem::UNKNOWN_DEVICE, detail)
    };
    DeviceId::parse(id).and_then(|id| source.device(&id)).ok_or_else(unknown)
}

fn devices<S: Commands>(source: &S) -> Vec<Box<RawValue>> {
    source.devices().iter().map(|device| json::device(device)).collect()
}

pub(super) async fn list<S: Source + Commands>(State(app): State<App<S>>) -> Response {
    ok(&Object::default().list("devices", devices(&app.source)))
}

pub(super) async fn one<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    find(&app.source, &id).map(|device| ok(&json::device(&device)))
}

/// Every line by its name.
pub(super) fn lines<S: Commands>(source: &S) -> Object {
    source
        .lines()
        .iter()
        .fold(Object::default(), |all, health| all.with(health.line.as_str(), json::line(health)))
}

fn about<S: Source + Commands>(app: &App<S>) -> Object {
    let (identity, span) = (app.source.identity(), app.source.span());
    let feed = Object::default()
        .with("epoch", identity.epoch.as_str())
        .with("oldest", json::cursor(identity, span.oldest))
        .with("latest", json::cursor(identity, span.head));
    Object::default()
        .with("id", identity.gateway.as_str())
        .with("version", &*app.settings.version)
        .with("started_at", json::time(app.settings.started_unix_ms))
        .object("feed", feed)
        .object(
            "lines",
            app.source.lines().iter().fold(Object::default(), |all, health| {
                all.with(health.line.as_str(), json::about_line(health))
            }),
        )
}

pub(super) async fn gateway<S: Source + Commands>(State(app): State<App<S>>) -> Response {
    ok(&about(&app))
}

pub(super) async fn snapshot<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
) -> Response {
    // The cursor first: what happens while the rest is read comes again in the feed, and is never missed.
    let cursor = json::cursor(app.source.identity(), app.source.span().head);
    let tag = format!("\"{cursor}\"");
    let etag = HeaderValue::from_str(&tag).expect("a cursor and quotes are a header");
    let same = texts(&headers, header::IF_NONE_MATCH)
        .flat_map(|header| header.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    if same {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let mut response = ok(&picture(&app, &cursor));
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// The Snapshot object; the cursor was taken before.
pub(super) fn picture<S: Source + Commands>(app: &App<S>, cursor: &str) -> Object {
    let commands = app.source.open_commands();
    let commands: Vec<_> = commands.iter().map(|command| json::command(command)).collect();
    let taken_at = jiff::Timestamp::now().as_millisecond();
    Object::default()
        .with("cursor", cursor)
        .with("taken_at", json::time(taken_at))
        .object("gateway", about(app))
        .list("devices", devices(&app.source))
        .with("commands", commands)
}
