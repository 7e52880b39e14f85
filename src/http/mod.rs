//! The HTTP API: its settings, and what every handler holds. Generic over [`Source`](crate::source::Source) and
//! [`Commands`](crate::source::Commands), so a relay can offer the same. It refuses to know lines, brokers and disks. Spec: `protocol-spec/http.md`.
//!
//! A request: [`serve`] accepts and limits connections → [`guard`] → the router of `routes` → `who` tells who asks and
//! what he may → one file per resource (`events`, `devices`, `commands`, `health`), which sees what he may see (`seen`). Refusals of all of them are [`problem`]s.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::watch;

mod about;
pub mod ask;
mod backup;
mod commands;
mod configuration;
mod connection;
pub mod cursor;
mod devices;
mod energy;
mod erase;
mod events;
mod fields;
mod forms;
mod gate;
mod groups;
pub mod guard;
mod health;
mod http2;
mod joining;
pub mod limits;
mod lines;
mod log;
mod manage;
mod metrics;
mod openapi;
mod page;
mod pen;
mod poll;
pub mod problem;
mod progress;
mod question;
mod readings;
mod reply;
mod routes;
mod seen;
mod serve;
mod session;
mod slow;
mod sse;
mod stream;
pub mod tls;
mod tokens;
mod watching;
mod who;
mod wish;

pub use serve::serve;

use crate::access::ticket::Key;
use crate::port::watch::Watch;
use crate::upkeep::Upkeep;
use seen::Seen;
use who::Caller;

/// Where the snapshot is.
pub const SNAPSHOT: &str = "/v1/snapshot";

/// What can be told to the server, with the figures of the contract as defaults; tests shorten the times.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version of the program, as `/v1/gateway` shows it.
    pub version: Arc<str>,
    /// When the gateway started, milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
    /// Whom requests may be addressed to and which pages may send them.
    pub guard: guard::Rules,
    /// The certificate to show; without one the API is not over TLS.
    pub tls: Option<Arc<tls::Keys>>,
    /// How often renewed files of it are looked for, at most.
    pub tls_look: Duration,
    /// How much one may ask for.
    pub limits: limits::figures::Figures,
    /// The gateway has a name by which it is reached from elsewhere: then everybody is asked for a token.
    pub public: bool,
    /// Makes and checks tickets.
    pub ticket_key: Key,
    /// Connections held at once; one more is answered 503.
    pub connections: usize,
    /// A request's head must be complete after this time, also on a kept connection.
    pub head_time: Duration,
    /// A request's body must be there after this time; nobody types it by hand.
    pub body_time: Duration,
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
    /// The gateway's own affairs.
    pub upkeep: Upkeep,
    /// The lines that can be looked at.
    pub watches: Arc<[Watch]>,
}

/// Connections held at once by default: ten times a busy house, at about 5 KB each.
pub const CONNECTIONS: usize = 1000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            started_unix_ms: 0,
            guard: guard::Rules::default(),
            tls: None,
            tls_look: tls::LOOK,
            limits: limits::figures::Figures::default(),
            public: false,
            ticket_key: Key::default(),
            connections: CONNECTIONS,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            stall: Duration::from_secs(10),
            company: Duration::from_millis(20),
            silence: Duration::from_secs(15),
            bookmark: Duration::from_mins(1),
            life: Duration::from_mins(10),
            grace: Duration::from_secs(3),
            upkeep: Upkeep::default(),
            watches: Arc::default(),
        }
    }
}

/// What the server holds. A handler is given an [`App`] for its caller.
#[derive(Clone)]
struct Root<S> {
    source: S,
    settings: Arc<Settings>,
    limits: Arc<limits::Limits>,
    stop: watch::Receiver<bool>,
    /// The listener is on loopback and nothing is said of a public name: no token is asked for.
    open: bool,
}

/// What a handler holds: the gateway as its caller may see it.
#[derive(Clone)]
struct App<S> {
    source: Seen<S>,
    settings: Arc<Settings>,
    limits: Arc<limits::Limits>,
    stop: watch::Receiver<bool>,
}

/// Gives a handler its [`App`]. Stands in the place of axum's own, which knows nothing of callers and does not fit here.
struct State<T>(T);

impl<S: Clone + Send + Sync + 'static> FromRequestParts<Root<S>> for State<App<S>> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, root: &Root<S>) -> Result<Self, Infallible> {
        let who = parts.extensions.get().unwrap_or(&Caller::Stranger).principal();
        Ok(Self(App {
            source: Seen::new(root.source.clone(), who),
            settings: Arc::clone(&root.settings),
            limits: Arc::clone(&root.limits),
            stop: root.stop.clone(),
        }))
    }
}

/// Ready when the server stops, or when nobody is left who could stop it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
