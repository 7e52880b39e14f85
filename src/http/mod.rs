//! The HTTP API: routes, settings, and what every handler holds. Generic over [`Source`] and [`Commands`], so a
//! relay can offer the same. It refuses to know lines, brokers and disks. Spec: `protocol-spec/http.md`.
//!
//! A request: [`serve`] accepts and limits connections → the router here → one file per resource
//! (`events`, `devices`, `commands`, `health`). Refusals of all of them are [`problem`]s.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;

pub mod ask;
mod commands;
mod connection;
pub mod cursor;
mod devices;
mod events;
mod fields;
mod health;
mod joining;
mod manage;
mod pen;
mod poll;
pub mod problem;
mod progress;
mod reply;
mod serve;
mod sse;
mod wish;

pub use serve::serve;

use crate::source::{Commands, Source};
use problem::Problem;

/// Where the snapshot is.
pub const SNAPSHOT: &str = "/v1/snapshot";

/// What can be told to the server, with the figures of the contract as defaults; tests shorten the times.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version of the program, as `/v1/gateway` shows it.
    pub version: Arc<str>,
    /// When the gateway started, milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
    /// Connections held at once; one more is answered 503.
    pub connections: usize,
    /// A request's head must be complete after this time, also on a kept connection.
    pub head_time: Duration,
    /// A write that makes no progress for this long closes the connection.
    pub stall: Duration,
    /// After the first event of a wait, others that belong to it get this long.
    pub company: Duration,
    /// After this much silence a held answer gets a space and a stream a comment.
    pub silence: Duration,
    /// A stream without a new id for this long gets a bookmark.
    pub bookmark: Duration,
    /// Middle of a stream's life; each stream draws 80 … 120 % of it.
    pub life: Duration,
    /// What open requests get to end in when the gateway stops.
    pub grace: Duration,
}

/// Connections held at once by default: ten times a busy house, at about 5 KB each.
pub const CONNECTIONS: usize = 1000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            started_unix_ms: 0,
            connections: CONNECTIONS,
            head_time: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            company: Duration::from_millis(20),
            silence: Duration::from_secs(15),
            bookmark: Duration::from_mins(1),
            life: Duration::from_mins(10),
            grace: Duration::from_secs(3),
        }
    }
}

/// What every handler holds.
#[derive(Clone)]
struct App<S> {
    source: S,
    settings: Arc<Settings>,
    stop: watch::Receiver<bool>,
}

/// Ready when the server stops, or when nobody is left who could stop it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn router<S: Source + Commands>(app: App<S>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/v1/gateway", get(devices::gateway::<S>))
        .route("/v1/devices", get(devices::list::<S>).post(manage::add::<S>))
        .route(
            "/v1/devices/{id}",
            get(devices::one::<S>).patch(manage::change::<S>).delete(manage::remove::<S>),
        )
        .route("/v1/devices/{id}/replace", post(manage::replace::<S>))
        .route("/v1/devices/{id}/commands", post(commands::create::<S>))
        .route("/v1/joining", get(joining::list::<S>).post(joining::open::<S>).delete(joining::close::<S>))
        .route("/v1/commands/{id}", get(commands::show::<S>).delete(commands::cancel::<S>))
        .route("/v1/events", get(events::show::<S>))
        .route(SNAPSHOT, get(devices::snapshot::<S>))
        .route("/livez", get(health::live::<S>))
        .route("/healthz", get(health::health::<S>))
        .route("/problems/{name}", get(problem_page))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(app)
}

const INDEX: &str = "\
Plugline gateway. What there is:

GET    /v1/gateway                  the gateway and its lines
GET    /v1/devices                  all devices
POST   /v1/devices                  add one: {\"line\":\"insteon\",\"address\":\"1A.77.7B\"}
GET    /v1/devices/{id}             one device
PATCH  /v1/devices/{id}             {\"name\":\"Kettle\",\"options\":{…}}
DELETE /v1/devices/{id}             forget it
POST   /v1/devices/{id}/replace     other hardware in its place: {\"address\":\"2C.0D.11\"}
GET    /v1/joining                  joining windows; POST {\"seconds\":60} opens one, DELETE closes it
POST   /v1/devices/{id}/commands    {\"command\":\"switch\",\"args\":{\"on\":true}}
GET    /v1/commands/{id}            a command and its outcome; ?wait=S waits for it
DELETE /v1/commands/{id}            take a queued command back
GET    /v1/events                   the feed; ?after=CURSOR&wait=S, or Accept: text/event-stream
GET    /v1/snapshot                 everything as it is now, and the cursor to go on from
GET    /livez  /healthz             health
GET    /problems/{name}             what a problem means
";

async fn index() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], INDEX).into_response()
}

async fn problem_page(Path(name): Path<String>) -> Result<Response, Problem> {
    problem::page(&name)
        .ok_or_else(|| Problem::new(&problem::NOT_FOUND, format!("no problem is called `{name}`")))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(&problem::NOT_FOUND, format!("`{}` is not a path of this gateway", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(&problem::METHOD_NOT_ALLOWED, format!("{method} is not for `{}`", uri.path()))
}
