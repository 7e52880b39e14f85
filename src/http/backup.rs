//! Backup and restore. Spec: `protocol-spec/http.md`, The box, and `protocol-spec/backup.md`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::configuration::{beside, note};
use super::fields::{missing, object, only, wrong};
use super::problem::{self, Problem};
use super::reply::{Object, json as answer, read_json_up_to};
use super::{App, State};
use crate::json as views;
use crate::source::{Commands, Source};
use crate::upkeep::Trouble;
use crate::upkeep::backup::{About, BACKUP_MAX};

/// Room for the text as a JSON string beside the other fields.
const BODY_MAX: usize = BACKUP_MAX + 64 * 1024;

pub(super) async fn make<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json_up_to(&headers, body, BODY_MAX).await?;
    let body = object(&body, "body")?;
    only(body, "", &["passphrase"])?;
    let made = views::time(jiff::Timestamp::now().as_millisecond());
    let gateway = app.source.identity().gateway.to_string();
    let name = format!("plugline-{gateway}-{}.backup", &made[..10]);
    let about = About { made, version: app.settings.version.to_string(), gateway };
    let text = app.settings.upkeep.backup(about, passphrase(body)?).await?;
    note(&app.source, "backup").await;
    let mut response = ([(header::CACHE_CONTROL, "no-store")], text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Ok(named) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, named);
    }
    Ok(response)
}

fn passphrase(body: &Map<String, Value>) -> Result<Option<String>, Problem> {
    let Some(value) = body.get("passphrase") else { return Ok(None) };
    let text = value.as_str().filter(|text| !text.is_empty());
    // What came is not said back: it may be one.
    let refused = || wrong("passphrase", &json!("…"), json!("a text that is not empty"));
    text.map(|text| Some(text.to_owned())).ok_or_else(refused)
}

pub(super) async fn restore<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json_up_to(&headers, body, BODY_MAX).await?;
    let body = object(&body, "body")?;
    only(body, "", &["backup", "passphrase", "configuration"])?;
    let text = body.get("backup").ok_or_else(|| missing("backup", json!("the text of a backup")))?;
    let text = text
        .as_str()
        .ok_or_else(|| wrong("backup", &json!("no text"), json!("the text of a backup")))?
        .to_owned();
    let passphrase = passphrase(body)?;
    let configuration = match body.get("configuration") {
        None => false,
        Some(value) => value.as_bool().ok_or_else(|| wrong("configuration", value, json!([true, false])))?,
    };
    let upkeep = app.settings.upkeep.clone();
    let told = beside(move || {
        let state = upkeep.state.clone().ok_or(Trouble::NoFile)?;
        upkeep.restore(&state, &text, passphrase.as_deref(), configuration)
    })
    .await?;
    note(&app.source, "restore").await;
    tracing::info!(gateway = told.gateway, made = told.made, "a backup is restored; starting anew");
    let view = Object::default()
        .with("restarting", true)
        .with("gateway", told.gateway)
        .with("made", told.made)
        .with("devices", told.devices)
        .with("configuration", told.configuration);
    Ok(answer(StatusCode::ACCEPTED, views::text(&view)))
}

impl From<crate::record::backup::Refused> for Problem {
    fn from(refused: crate::record::backup::Refused) -> Self {
        use crate::record::backup::Refused::{NeedsPassphrase, WrongPassphrase};
        let problem = Self::new(&problem::BAD_BACKUP, refused.to_string());
        match refused {
            NeedsPassphrase | WrongPassphrase => problem.with("field", "passphrase"),
            _ => problem.with("field", "backup"),
        }
    }
}
