//! Commands: taken in, looked at, waited for, taken back. Spec: `protocol-spec/http.md`, Commands.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::ask::{BadParameter, Query, Wait};
use super::devices;
use super::events::{pairs, prefer};
use super::problem::{self, Problem};
use super::reply::{applied, json, read_json, texts};
use super::{App, State, stopped, wish};
use crate::device::CommandId;
use crate::hub::command::{Command, Idempotency, ReplyTo};
use crate::hub::{Given, NewCommand, Refused, Request};
use crate::json as views;
use crate::source::{Commands, Source};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest `Idempotency-Key`: it is kept with its command.
const KEY_MAX: usize = 255;

pub(super) async fn create<S: Source + Commands>(
    State(mut app): State<App<S>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let device = devices::find(&app.source, &id)?;
    let pairs = pairs(&uri);
    let wait = Wait::parse(Query(&pairs), prefer(&headers))?;
    let key = key(&headers)?;
    let body = read_json(&headers, body).await?;
    let (wish, ttl) = wish::parse(&body)?;
    app.limits.command(&device.id)?;
    // serde_json sorts the members of an object: one spelling for all orders.
    let idempotency = key.map(|key| Idempotency { key, body: body.to_string().into() });
    let request = Request::Command(NewCommand {
        device: device.id.clone(),
        wish,
        ttl,
        requested_by: app.source.by().to_string().into(),
        idempotency,
        reply_to: ReplyTo::default(),
    });
    let Given::Command { command: accepted, replayed } = app.source.request(request).await? else {
        unreachable!("the hub answers a command with the command");
    };
    let command = if wait.time.is_zero() {
        accepted
    } else {
        app.after(&accepted.id, None, wait.time).await.unwrap_or(accepted)
    };
    let status =
        if command.state.settled() && !wait.time.is_zero() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = shown(status, &command);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/commands/{}", command.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    applied(&mut response, wait.preferred_s);
    Ok(response)
}

pub(super) async fn show<S: Source + Commands>(
    State(mut app): State<App<S>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = command_id(&id)?;
    let pairs = pairs(&uri);
    let wait = Wait::parse(Query(&pairs), prefer(&headers))?;
    let unknown = || Problem::from(Refused::UnknownCommand(id.clone()));
    let now = app.source.command(&id).ok_or_else(unknown)?;
    let conditional = headers.contains_key(header::IF_NONE_MATCH);
    let known = known(&headers, now.version);
    let command = match (known, conditional) {
        (true, _) => app.after(&id, Some(now.version), wait.time).await.ok_or_else(unknown)?,
        (false, true) => now.clone(),
        (false, false) if wait.time.is_zero() => now.clone(),
        (false, false) => app.after(&id, None, wait.time).await.ok_or_else(unknown)?,
    };
    let mut response = if known && command.version == now.version {
        (StatusCode::NOT_MODIFIED, [(header::ETAG, etag(&command))]).into_response()
    } else {
        shown(StatusCode::OK, &command)
    };
    applied(&mut response, wait.preferred_s);
    Ok(response)
}

pub(super) async fn cancel<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.source.request(Request::Cancel(command_id(&id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl<S: Commands> App<S> {
    /// The command as it is after the wait, which ends early when the server stops.
    async fn after(&mut self, id: &CommandId, version: Option<u32>, wait: Duration) -> Option<Arc<Command>> {
        tokio::select! {
            command = self.source.command_after(id, version, wait) => command,
            () = stopped(&mut self.stop) => self.source.command(id),
        }
    }
}

fn command_id(text: &str) -> Result<CommandId, Problem> {
    let unknown = || Problem::new(&problem::UNKNOWN_COMMAND, format!("`{text}` is not the id of a command"));
    CommandId::parse(text).ok_or_else(unknown)
}

fn shown(status: StatusCode, command: &Command) -> Response {
    let mut response = json(status, views::text(&views::command(command)));
    response.headers_mut().insert(header::ETAG, etag(command));
    response
}

fn etag(command: &Command) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", command.version)).expect("digits and quotes are a header")
}

/// `If-None-Match` names this version.
fn known(headers: &HeaderMap, version: u32) -> bool {
    let version = format!("\"{version}\"");
    texts(headers, header::IF_NONE_MATCH)
        .flat_map(|header| header.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == version)
}

/// The `Idempotency-Key`, with or without quotes.
fn key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if bare.is_empty() || bare.len() > KEY_MAX {
        let got = bare.chars().take(40).collect();
        let wanted = "1 … 255 characters of printable ASCII, quoted or not";
        return Err(BadParameter { field: "Idempotency-Key", got, wanted }.into());
    }
    Ok(Some(bare.into()))
}
