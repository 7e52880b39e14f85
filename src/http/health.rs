//! Health for supervisors (`/livez`) and for people and monitors (`/healthz`). Spec: `protocol-spec/http.md`, Health.

use std::time::Duration;

use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::ask::Query;
use super::devices::lines;
use super::events::pairs;
use super::problem::{self, Problem};
use super::reply::{Object, json, ok};
use super::{App, State};
use crate::hub::Request;
use crate::json as views;
use crate::source::{Commands, Part, Source};

/// The loop turns many times a second; one that needs longer than this is stuck.
const PING_TIME: Duration = Duration::from_secs(2);

pub(super) async fn live<S: Source + Commands>(State(app): State<App<S>>) -> Result<Response, Problem> {
    let dead = |why: String| Problem::new(&problem::NOT_LIVE, why);
    tokio::time::timeout(PING_TIME, app.source.request(Request::Ping))
        .await
        .map_err(|_| dead(format!("no answer within {PING_TIME:?}")))?
        .map_err(|refused| dead(refused.to_string()))?;
    Ok(ok(&Object::default().with("status", "ok")))
}

pub(super) async fn health<S: Source + Commands>(
    State(app): State<App<S>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    let strict = Query(&pairs).flag("strict")?;
    let told = app.source.parts();
    let lines_good = app.source.lines().iter().all(|line| line.port.is_ok() && line.modem != Some(false));
    let parts_good = told.iter().all(|(_, part)| matches!(part, Part::Good(_)));
    let good = lines_good && parts_good;
    let status = if strict && !good { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let view = Object::default().with("status", if good { "ok" } else { "degraded" });
    if app.source.who().reach.is_some() {
        // Strangers, and those bound to devices, are told no more.
        return Ok(json(status, views::text(&view)));
    }
    let (mut parts, mut details) = (Object::default(), Object::default());
    for (name, part) in told {
        let (works, words) = match part {
            Part::Good(words) => (true, words),
            Part::Broken(words) => (false, words),
        };
        parts = parts.with(name, works);
        details = details.with(name, &*words);
    }
    let view = view.object("parts", parts.object("lines", lines(&app.source))).object("details", details);
    let view = match &app.settings.tls {
        Some(keys) => view.object("tls", Object::default().with("sha256", keys.fingerprint())),
        None => view,
    };
    Ok(json(status, views::text(&view)))
}
