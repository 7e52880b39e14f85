//! The table of routes: one row for each method and path. Router, index page and the scope that a caller needs come
//! from it, and what else is told of routes; there is no route without a row.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::handler::Handler;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::limits::limit;
use super::problem::{self, Problem};
use super::{
    App, SNAPSHOT, commands, configuration, devices, energy, events, groups, health, joining, lines, log,
    manage, metrics, page, question, readings,
};
use crate::access::Scope;
use crate::source::{Commands, Source};

/// What a caller must have to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the handler itself decides what it shows to strangers.
    Nothing,
    /// This scope.
    Scope(Scope),
}

const OPEN: Need = Need::Nothing;
const READ: Need = Need::Scope(Scope::Read);
const SWITCH: Need = Need::Scope(Scope::Switch);
const MANAGE: Need = Need::Scope(Scope::Manage);
const ADMIN: Need = Need::Scope(Scope::Admin);

/// What is told of a route.
#[derive(Clone, Debug)]
pub struct About {
    /// Its method.
    pub method: Method,
    /// Its path, as axum writes it: `/v1/devices/{id}`.
    pub path: &'static str,
    /// What a caller must have.
    pub need: Need,
    /// One line.
    pub summary: &'static str,
    /// An example of a body, where it takes one.
    pub body: Option<&'static str>,
}

/// A route.
pub(super) struct Row<S> {
    /// What is told of it.
    pub(super) about: About,
    handler: MethodRouter<App<S>>,
}

impl<S: Send + Sync + Clone + 'static> Row<S> {
    fn new<T: 'static>(
        (method, filter): (Method, MethodFilter),
        path: &'static str,
        need: Need,
        summary: &'static str,
        handler: impl Handler<T, App<S>>,
    ) -> Self {
        let about = About { method, path, need, summary, body: None };
        Self { about, handler: on(filter, handler) }
    }

    /// With an example of its body.
    fn body(mut self, example: &'static str) -> Self {
        self.about.body = Some(example);
        self
    }
}

/// Functions that make a row of one method.
macro_rules! methods {
    ($($name:ident = $method:ident),*) => {$(
        fn $name<S: Send + Sync + Clone + 'static, T: 'static>(
            path: &'static str,
            need: Need,
            summary: &'static str,
            handler: impl Handler<T, App<S>>,
        ) -> Row<S> {
            Row::new((Method::$method, MethodFilter::$method), path, need, summary, handler)
        }
    )*};
}

methods!(get = GET, post = POST, patch = PATCH, delete = DELETE);

/// Every route there is, in the order of the index page.
pub(super) fn rows<S: Source + Commands>() -> Vec<Row<S>> {
    [registry(), in_groups(), switching(), feed(), history(), self::lines(), upkeep(), about()]
        .into_iter()
        .flatten()
        .collect()
}

fn registry<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/gateway", READ, "the gateway and its lines", devices::gateway::<S>),
        get("/v1/devices", READ, "all devices", devices::list::<S>),
        post("/v1/devices", MANAGE, "add one", manage::add::<S>)
            .body(r#"{"line":"insteon","address":"1A.77.7B"}"#),
        get("/v1/devices/{id}", READ, "one device", devices::one::<S>),
        patch("/v1/devices/{id}", MANAGE, "name it, choose its options", manage::change::<S>)
            .body(r#"{"name":"Kettle","options":{…}}"#),
        delete("/v1/devices/{id}", MANAGE, "forget it", manage::remove::<S>),
        post("/v1/devices/{id}/replace", MANAGE, "other hardware in its place", manage::replace::<S>)
            .body(r#"{"address":"2C.0D.11"}"#),
        get("/v1/joining", READ, "joining windows", joining::list::<S>),
        post("/v1/joining", MANAGE, "open one", joining::open::<S>).body(r#"{"seconds":60}"#),
        delete("/v1/joining", MANAGE, "close it", joining::close::<S>),
    ]
}

fn in_groups<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/groups", READ, "all groups", groups::list::<S>),
        post("/v1/groups", MANAGE, "make one", groups::create::<S>)
            .body(r#"{"name":"Lamps","members":["insteon_1a777b",…]}"#),
        get("/v1/groups/{id}", READ, "one group", groups::one::<S>),
        patch("/v1/groups/{id}", MANAGE, "name it, choose its members", groups::change::<S>)
            .body(r#"{"name":"Lamps","members":[…]}"#),
        delete("/v1/groups/{id}", MANAGE, "forget it; its members stay", groups::remove::<S>),
    ]
}

fn lines<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/lines", READ, "the lines", lines::list::<S>),
        get("/v1/lines/{line}/quality", READ, "how well one carries; ?hours=N", lines::quality::<S>),
    ]
}

fn history<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get(
            "/v1/devices/{id}/readings",
            READ,
            "what it measured; ?from=T&to=T&step_s=N, or Accept: text/csv",
            readings::show::<S>,
        ),
        get("/v1/devices/{id}/energy", READ, "what it consumed each day; ?days=N", energy::show::<S>),
    ]
}

fn switching<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        post("/v1/devices/{id}/commands", SWITCH, "command it", commands::create::<S>)
            .body(r#"{"command":"switch","args":{"on":true}}"#),
        get(
            "/v1/commands/{id}",
            READ,
            "a command and its outcome; ?wait=S waits for it",
            commands::show::<S>,
        ),
        delete("/v1/commands/{id}", SWITCH, "take a queued command back", commands::cancel::<S>),
    ]
}

fn feed<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get(
            "/v1/events",
            READ,
            "the feed; ?after=CURSOR&wait=S, or Accept: text/event-stream",
            events::show::<S>,
        ),
        post("/v1/events", READ, "the same, for more than a hundred devices", question::show::<S>)
            .body(r#"{"after":"now","wait":25,"device":["dlt645_1",…]}"#),
        get(SNAPSHOT, READ, "everything as it is now, and the cursor to go on from", devices::snapshot::<S>),
    ]
}

fn upkeep<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/log", MANAGE, "the last lines of the log; ?after=N&wait=S", log::show::<S>),
        get("/v1/config", ADMIN, "what the gateway was told", configuration::show::<S>),
        patch("/v1/config", ADMIN, "change its file", configuration::change::<S>)
            .body(r#"{"site":{"timezone":"Europe/Paris"}}"#),
        post(
            "/v1/restart",
            ADMIN,
            "start anew with the configuration read again",
            configuration::restart::<S>,
        ),
    ]
}

fn about<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/livez", OPEN, "the event loop turns", health::live::<S>),
        get("/healthz", OPEN, "health of every part", health::health::<S>),
        get("/metrics", READ, "what there is to watch, for Prometheus", metrics::show::<S>),
        get("/problems/{name}", OPEN, "what a problem means", problem_page),
        get("/", OPEN, "this list; the page, for browsers", index::<S>),
        get("/ui/{*file}", OPEN, "what the page is made of", page::file),
    ]
}

/// All rows as a router.
pub(super) fn router<S: Source + Commands>(app: App<S>) -> Router {
    let router = rows::<S>().into_iter().fold(Router::new(), |router, row| {
        // Rows of one path are merged, each with its own method.
        router.route(row.about.path, row.handler)
    });
    let limits = from_fn_with_state(Arc::clone(&app.limits), limit);
    router.method_not_allowed_fallback(method_not_allowed).fallback(not_found).layer(limits).with_state(app)
}

/// What the index page says, a line for each row.
fn index_text(rows: impl IntoIterator<Item = About>) -> String {
    let mut text = "Plugline gateway. What there is:\n\n".to_owned();
    for About { method, path, summary, body, .. } in rows {
        let body = body.map(|body| format!(": {body}")).unwrap_or_default();
        text.push_str(&format!("{:<6} {path:<32} {summary}{body}\n", method.as_str()));
    }
    text
}

async fn index<S: Source + Commands>(headers: HeaderMap) -> Response {
    if page::wanted(&headers) {
        return page::index(&headers);
    }
    let text = index_text(rows::<S>().into_iter().map(|row| row.about));
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::VARY, "accept")];
    (headers, text).into_response()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Door;

    #[test]
    fn each_method_of_a_path_has_one_row_and_a_line_about_it() {
        let mut seen = std::collections::BTreeSet::new();
        for About { method, path, summary, .. } in rows::<Door>().into_iter().map(|row| row.about) {
            assert!(seen.insert((method.to_string(), path)), "{method} {path} stands twice");
            assert!(!summary.is_empty() && !summary.contains('\n') && summary.len() < 80, "{summary}");
        }
    }

    #[test]
    fn only_what_tells_strangers_nothing_needs_nothing_and_no_change_is_made_with_a_scope_to_read() {
        let open = ["/livez", "/healthz", "/problems/{name}", "/", "/ui/{*file}"];
        for About { method, path, need, .. } in rows::<Door>().into_iter().map(|row| row.about) {
            assert_eq!(need == Need::Nothing, open.contains(&path), "{method} {path}");
            assert!(method == Method::GET || need != READ, "{method} {path}");
        }
    }
}
