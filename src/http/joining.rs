//! Joining windows. Spec: `protocol-spec/http.md`, Joining.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::events::pairs;
use super::fields::{object, only, wrong};
use super::manage::{line_name, text};
use super::problem::Problem;
use super::reply::{Object, ok, read_json};
use super::{App, State};
use crate::device::LineName;
use crate::hub::joining::{JOINING_DEFAULT, JOINING_MAX};
use crate::hub::{Given, Request};
use crate::json as views;
use crate::source::{Commands, Source};

/// The windows of one line or of all; a line that never had one has none.
pub(super) async fn list<S: Source + Commands>(
    State(app): State<App<S>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let line = asked_line(&app.source, &uri)?;
    let lines = app.source.lines();
    let wanted = lines.iter().filter(|health| line.as_ref().is_none_or(|line| *line == health.line));
    let windows = wanted
        .filter_map(|health| health.joining.as_ref().map(|window| views::joining(&health.line, window)));
    Ok(ok(&Object::default().with("joining", windows.collect::<Vec<_>>())))
}

pub(super) async fn open<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let request = opened(&app.source, object(&body, "body")?)?;
    let Given::Joining(line, window) = app.source.request(request).await? else {
        unreachable!("the hub answers an opened window with the window");
    };
    let mut response = (StatusCode::CREATED, ok(&views::joining(&line, &window))).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/joining?line={line}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn opened<S: Commands>(source: &S, body: &Map<String, Value>) -> Result<Request, Problem> {
    only(body, "", &["line", "seconds", "code"])?;
    let line = body.get("line").map(|_| line_name(source, body)).transpose()?;
    let max = JOINING_MAX.as_secs();
    let seconds = match body.get("seconds") {
        None => JOINING_DEFAULT.as_secs(),
        Some(value) => {
            let fits = views::whole(value).filter(|seconds| (1..=max).contains(seconds));
            fits.ok_or_else(|| wrong("seconds", value, json!({ "min": 1, "max": max })))?
        }
    };
    let code = body.get("code").map(|_| text(body, "code", &json!("the code on the label"))).transpose()?;
    Ok(Request::OpenJoining { line, duration: Duration::from_secs(seconds), address: code })
}

pub(super) async fn close<S: Source + Commands>(
    State(app): State<App<S>>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let line = asked_line(&app.source, &uri)?;
    app.source.request(Request::CloseJoining { line }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn asked_line<S: Commands>(source: &S, uri: &Uri) -> Result<Option<LineName>, Problem> {
    let pairs = pairs(uri);
    let Some((_, line)) = pairs.iter().find(|(name, _)| name == "line") else { return Ok(None) };
    let asked: Map<String, Value> = [("line".to_owned(), Value::from(&**line))].into_iter().collect();
    let line = line_name(source, &asked)?;
    let known = source.lines().iter().any(|health| health.line == line);
    known.then_some(Some(line)).ok_or_else(|| {
        let lines: Vec<Arc<str>> = source.lines().iter().map(|health| health.line.as_str().into()).collect();
        wrong("line", &asked["line"], lines.iter().map(|line| Value::from(&**line)).collect())
    })
}
