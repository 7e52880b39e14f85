//! Configuration and restart. Spec: `protocol-spec/http.md`, The box.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};

use super::fields::object;
use super::problem::{self, Problem};
use super::reply::{Object, json, ok, read_json};
use super::{App, State};
use crate::hub::{AccessRequest, Request};
use crate::json as views;
use crate::source::{Commands, Source};
use crate::upkeep::{Configuration, Trouble, Upkeep};

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        let detail = trouble.to_string();
        match trouble {
            Trouble::NoFile => Self::new(&problem::NO_CONFIGURATION, detail),
            Trouble::File { .. } => Self::new(&problem::FILE_TROUBLE, detail),
            Trouble::Wrong(error) => {
                let problem = Self::new(&problem::WRONG_CONFIGURATION, detail);
                match error.position {
                    Some((line, column)) => problem.with("line", line).with("column", column),
                    None => problem,
                }
            }
            Trouble::Backup(refused) => refused.into(),
            Trouble::Stopping => Self::new(&problem::STOPPING, detail),
            Trouble::Change(_) | Trouble::Elsewhere { .. } | Trouble::Address { .. } => {
                Self::new(&problem::WRONG_CONFIGURATION, detail)
            }
            Trouble::Overridden { key, .. } => Self::new(&problem::OVERRIDDEN, detail).with("field", key),
        }
    }
}

/// Writes down who did something to the box. What is done is done, also when that fails: the list says less then.
pub(super) async fn note<S: Commands>(source: &S, action: &'static str) {
    let noted =
        source.request(Request::Access(AccessRequest::Note { action: action.into(), target: None })).await;
    if let Err(refused) = noted {
        tracing::warn!(action, "not in the list of changes: {refused}");
    }
}

/// Does what looks into files where that may take its time.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::new(&problem::FILE_TROUBLE, error.to_string()))?.map_err(Problem::from)
}

pub(super) async fn show<S: Source + Commands>(State(app): State<App<S>>) -> Result<Response, Problem> {
    view(&app.settings.upkeep).await
}

async fn view(upkeep: &Upkeep) -> Result<Response, Problem> {
    let configuration: Arc<Configuration> = Arc::clone(&upkeep.configuration);
    let view = beside(move || configuration.view()).await?;
    let overridden: Map<String, Value> =
        view.overridden.into_iter().map(|(key, variable)| (key, variable.into())).collect();
    let view = Object::default()
        .with("file", view.file.map(|file| file.display().to_string()))
        .with("values", view.values)
        .with("overridden", overridden)
        .with("restart_needed", view.restart_needed);
    Ok(ok(&view))
}

pub(super) async fn change<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let changes = object(&body, "body")?.clone();
    let configuration = Arc::clone(&app.settings.upkeep.configuration);
    beside(move || configuration.change(&changes)).await?;
    note(&app.source, "config.change").await;
    tracing::info!("the configuration was changed; it counts from the next start on");
    view(&app.settings.upkeep).await
}

pub(super) async fn restart<S: Source + Commands>(State(app): State<App<S>>) -> Result<Response, Problem> {
    let upkeep = app.settings.upkeep.clone();
    beside(move || upkeep.restart()).await?;
    note(&app.source, "restart").await;
    tracing::info!("a restart was asked for");
    Ok(json(StatusCode::ACCEPTED, views::text(&Object::default().with("restarting", true))))
}
