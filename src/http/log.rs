//! `GET /v1/log`: the last lines of the log. Spec: `protocol-spec/http.md`, The box.

use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};

use super::ask::{Query, WAIT_MAX_S};
use super::events::pairs;
use super::problem::Problem;
use super::reply::{Object, ok};
use super::stopped;
use super::{App, State};
use crate::json::time;
use crate::source::{Commands, Source};
use crate::upkeep::logbook::LINES;

/// Lines of one answer unless asked otherwise.
const LIMIT_DEFAULT: u64 = 200;

pub(super) async fn show<S: Source + Commands>(
    State(mut app): State<App<S>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    let query = Query(&pairs);
    let after = query.number("after", 0, u64::MAX)?;
    let wait = query.number("wait", 0, WAIT_MAX_S)?.unwrap_or(0);
    let limit = query.number("limit", 1, LINES as u64)?.unwrap_or(LIMIT_DEFAULT);
    let book = app.settings.upkeep.logbook.clone();
    // Without a position: the newest ones. A number of another life of the process is ahead of all: from the start.
    let last = book.last();
    let after = after.map_or(last.saturating_sub(limit), |after| if after > last { 0 } else { after });
    if wait > 0 {
        tokio::select! {
            () = stopped(&mut app.stop) => {}
            () = app.source.over() => return Err(Problem::unauthorized("this right is over", true)),
            () = tokio::time::sleep(std::time::Duration::from_secs(wait)) => {}
            () = book.wait(after) => {}
        }
    }
    let lines = book.after(after, usize::try_from(limit).unwrap_or(usize::MAX));
    let next = lines.last().map_or(after, |line| line.n);
    let entries = lines.iter().map(|line| {
        json!({
            "n": line.n, "t": time(line.unix_ms), "level": line.level,
            "target": line.target, "message": line.message,
        })
    });
    Ok(ok(&Object::default().with("entries", entries.collect::<Vec<Value>>()).with("next", next)))
}
