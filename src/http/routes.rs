//! The table of routes: one row for each method and path. Router, index page and the scope that a caller needs come
//! from it, and what else is told of routes; there is no route without a row.

use axum::Router;
use axum::extract::Path;
use axum::handler::Handler;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::Value;

use super::about::{About, Asked, Gives};
use super::forms::Form;
use super::gate::{Gate, pass};
use super::openapi;
use super::problem::{self, Problem};
use super::reply::ok;
use super::who::Need;
use super::{
    App, Root, SNAPSHOT, State, backup, commands, configuration, devices, energy, erase, events, groups,
    health, joining, lines, log, manage, metrics, page, question, readings, session, tokens, watching,
};
use crate::access::Scope;
use crate::source::{Commands, Source};

const OPEN: Need = Need::Nothing;
const READ: Need = Need::Scope(Scope::Read);
const SWITCH: Need = Need::Scope(Scope::Switch);
const MANAGE: Need = Need::Scope(Scope::Manage);
const ADMIN: Need = Need::Scope(Scope::Admin);

const WAIT: Asked = Asked::query("wait", Form::Number, "hold the request so many seconds at most, 0 … 50");
const PREFER: Asked = Asked::header("Prefer", Form::Text, "`wait=25`, where the query has no `wait`");
const KNOWN: Asked =
    Asked::header("If-None-Match", Form::Text, "the `ETag` that is known: 304 while it stands");
const KEY: Asked = Asked::header(
    "Idempotency-Key",
    Form::Key,
    "the same key and body give the same command again, for a day",
);
const LAST: Asked = Asked::header("Last-Event-ID", Form::Last, "wins over `after`; browsers send it");
const LINE: Asked = Asked::query("line", Form::Line, "of this line only");
const STRICT: Asked = Asked::query("strict", Form::Flag, "degraded is 503");
const DAYS: Asked = Asked::query("days", Form::Number, "so many days up to today, 1 … 400");
const AUDIT: Asked = Asked::query("limit", Form::Number, "most entries, 1 … 1000");
const BEFORE: Asked = Asked::query("before", Form::Time, "those measured before").required();
const HOURS: Asked = Asked::query("hours", Form::Number, "over so many hours, 1 … 24");
const LOG: [Asked; 3] = [
    Asked::query("after", Form::Number, "behind this line, `next` of the answer before"),
    WAIT,
    Asked::query("limit", Form::Number, "most lines of an answer"),
];
const SECONDS: Asked = Asked::query("seconds", Form::Number, "so long, 1 … 600; a minute without it");
const LIVE: [Asked; 1] = [SECONDS];
const CAPTURE: [Asked; 2] =
    [SECONDS, Asked::query("format", Form::Words(&["text", "pcap"]), "of the download")];
const READINGS: [Asked; 5] = [
    Asked::query("from", Form::Time, "the first; a day ago without it"),
    Asked::query("to", Form::Time, "up to here; now without it"),
    Asked::query("step_s", Form::Number, "one row for so many seconds"),
    Asked::query("cursor", Form::Place, "of the page before"),
    Asked::query("format", Form::Words(&["json", "csv"]), "wins over Accept"),
];
const EVENTS: [Asked; 9] = [
    Asked::query("after", Form::Start, "a cursor, `earliest` or `now`"),
    WAIT,
    Asked::query("limit", Form::Number, "most events of an answer, 1 … 1000"),
    Asked::query("device", Form::Names, "ids of devices"),
    Asked::query("kind", Form::Names, "kinds of events"),
    Asked::query("strict", Form::Flag, "a stream's unusable cursor is 410"),
    Asked::query("snapshot", Form::Flag, "a stream begins with the snapshot"),
    PREFER,
    LAST,
];

/// A route.
pub(super) struct Row<S> {
    /// What is told of it.
    pub(super) about: About,
    handler: MethodRouter<Root<S>>,
}

impl<S: Send + Sync + Clone + 'static> Row<S> {
    fn new<T: 'static>(
        (method, filter): (Method, MethodFilter),
        path: &'static str,
        need: Need,
        summary: &'static str,
        handler: impl Handler<T, Root<S>>,
    ) -> Self {
        let (body, takes, asks, gives) = (None, None, [].as_slice(), Vec::new());
        let about = About { method, path, need, summary, body, takes, asks, gives };
        Self { about, handler: on(filter, handler) }
    }

    /// It takes a body of this schema, for example this.
    fn takes(mut self, schema: &'static str, example: &'static str) -> Self {
        (self.about.takes, self.about.body) = (Some(schema), Some(example));
        self
    }

    /// What may stand in its query.
    fn asks(mut self, asked: &'static [Asked]) -> Self {
        self.about.asks = asked;
        self
    }

    /// It answers so when it is done.
    fn gives(mut self, gives: Gives) -> Self {
        self.about.gives.push(gives);
        self
    }

    /// It answers with JSON of this schema.
    fn json(self, status: u16, schema: &'static str) -> Self {
        self.gives(Gives::Json(status, schema))
    }
}

/// Functions that make a row of one method.
macro_rules! methods {
    ($($name:ident = $method:ident),*) => {$(
        fn $name<S: Send + Sync + Clone + 'static, T: 'static>(
            path: &'static str,
            need: Need,
            summary: &'static str,
            handler: impl Handler<T, Root<S>>,
        ) -> Row<S> {
            Row::new((Method::$method, MethodFilter::$method), path, need, summary, handler)
        }
    )*};
}

methods!(get = GET, post = POST, patch = PATCH, delete = DELETE);

/// Every route there is, in the order of the index page.
pub(super) fn rows<S: Source + Commands>() -> Vec<Row<S>> {
    [registry(), in_groups(), switching(), feed(), history(), self::lines(), upkeep(), access(), about()]
        .into_iter()
        .flatten()
        .collect()
}

fn registry<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/gateway", READ, "the gateway and its lines", devices::gateway::<S>).json(200, "Gateway"),
        get("/v1/devices", READ, "all devices", devices::list::<S>).json(200, "Devices"),
        post("/v1/devices", MANAGE, "add one", manage::add::<S>)
            .takes("NewDevice", r#"{"line":"insteon","address":"1A.77.7B"}"#)
            .json(201, "Device"),
        get("/v1/devices/{id}", READ, "one device", devices::one::<S>).json(200, "Device"),
        patch("/v1/devices/{id}", MANAGE, "name it, choose its options", manage::change::<S>)
            .takes("DeviceChange", r#"{"name":"Kettle","options":{}}"#)
            .json(200, "Device"),
        delete("/v1/devices/{id}", MANAGE, "forget it", manage::remove::<S>).gives(Gives::Nothing(204)),
        post("/v1/devices/{id}/replace", MANAGE, "other hardware in its place", manage::replace::<S>)
            .takes("Replacement", r#"{"address":"2C.0D.11"}"#)
            .json(200, "Device"),
        get("/v1/joining", READ, "joining windows", joining::list::<S>).asks(&[LINE]).json(200, "Joinings"),
        post("/v1/joining", MANAGE, "open one", joining::open::<S>)
            .takes("NewJoining", r#"{"seconds":60}"#)
            .json(201, "Joining"),
        delete("/v1/joining", MANAGE, "close it", joining::close::<S>)
            .asks(&[LINE])
            .gives(Gives::Nothing(204)),
    ]
}

fn in_groups<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/groups", READ, "all groups", groups::list::<S>).json(200, "Groups"),
        post("/v1/groups", MANAGE, "make one", groups::create::<S>)
            .takes("NewGroup", r#"{"name":"Lamps","members":["insteon_1a777b"]}"#)
            .json(201, "Device"),
        get("/v1/groups/{id}", READ, "one group", groups::one::<S>).json(200, "Device"),
        patch("/v1/groups/{id}", MANAGE, "name it, choose its members", groups::change::<S>)
            .takes("GroupChange", r#"{"name":"Lamps","members":["insteon_1a777b"]}"#)
            .json(200, "Device"),
        delete("/v1/groups/{id}", MANAGE, "forget it; its members stay", groups::remove::<S>)
            .gives(Gives::Nothing(204)),
    ]
}

fn lines<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/lines", READ, "the lines", lines::list::<S>).json(200, "Lines"),
        get("/v1/lines/{line}/quality", READ, "how well one carries; ?hours=N", lines::quality::<S>)
            .asks(&[HOURS])
            .json(200, "Quality"),
        get("/v1/lines/{line}/live", MANAGE, "its frames as they pass; ?seconds=N", watching::live::<S>)
            .asks(&LIVE)
            .gives(Gives::Other(200, "text/event-stream", "each frame as it passes")),
        get("/v1/lines/{line}/capture", MANAGE, "a recording of its port", watching::capture::<S>)
            .asks(&CAPTURE)
            .gives(Gives::Other(200, "text/plain", "a recording"))
            .gives(Gives::Other(200, "application/vnd.tcpdump.pcap", "for Wireshark")),
    ]
}

fn history<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get(
            "/v1/devices/{id}/readings",
            READ,
            "what it measured; ?from=T&to=T&step_s=N, or Accept: text/csv",
            readings::show::<S>,
        )
        .asks(&READINGS)
        .json(200, "Readings")
        .gives(Gives::Other(200, "text/csv", "a line of names, then a line for each reading")),
        delete("/v1/devices/{id}/readings", ADMIN, "erase them", erase::device::<S>).json(200, "Erased"),
        delete("/v1/readings", ADMIN, "erase those of all devices; ?before=T", erase::before::<S>)
            .asks(&[BEFORE])
            .json(200, "Erased"),
        get("/v1/devices/{id}/energy", READ, "what it consumed each day; ?days=N", energy::show::<S>)
            .asks(&[DAYS])
            .json(200, "Energy"),
    ]
}

fn switching<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        post("/v1/devices/{id}/commands", SWITCH, "command it", commands::create::<S>)
            .takes("NewCommand", r#"{"command":"switch","args":{"on":true}}"#)
            .asks(&[WAIT, PREFER, KEY])
            .json(202, "Command")
            .json(200, "Command"),
        get(
            "/v1/commands/{id}",
            READ,
            "a command and its outcome; ?wait=S waits for it",
            commands::show::<S>,
        )
        .asks(&[WAIT, PREFER, KNOWN])
        .json(200, "Command")
        .gives(Gives::Nothing(304)),
        delete("/v1/commands/{id}", SWITCH, "take a queued command back", commands::cancel::<S>)
            .gives(Gives::Nothing(204)),
    ]
}

fn feed<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get(
            "/v1/events",
            READ,
            "the feed; ?after=CURSOR&wait=S, or Accept: text/event-stream",
            events::show::<S>,
        )
        .asks(&EVENTS)
        .json(200, "Events")
        .gives(Gives::Other(
            200,
            "text/event-stream",
            "hello, then each event as id, event and data",
        )),
        post("/v1/events", READ, "the same, for more than a hundred devices", question::show::<S>)
            .takes("EventsQuestion", r#"{"after":"now","wait":25,"device":["dlt645_000000004711"]}"#)
            .json(200, "Events")
            .gives(Gives::Other(200, "text/event-stream", "hello, then each event as id, event and data")),
        get(SNAPSHOT, READ, "everything as it is now, and the cursor to go on from", devices::snapshot::<S>)
            .asks(&[KNOWN])
            .json(200, "Snapshot")
            .gives(Gives::Nothing(304)),
    ]
}

fn upkeep<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/v1/log", MANAGE, "the last lines of the log; ?after=N&wait=S", log::show::<S>)
            .asks(&LOG)
            .json(200, "Log"),
        get("/v1/config", ADMIN, "what the gateway was told", configuration::show::<S>)
            .json(200, "Configuration"),
        patch("/v1/config", ADMIN, "change its file", configuration::change::<S>)
            .takes("ConfigurationChange", r#"{"site":{"timezone":"Europe/Paris"}}"#)
            .json(200, "Configuration"),
        post("/v1/backup", ADMIN, "registry and configuration as one text", backup::make::<S>)
            .takes("BackupWish", r#"{"passphrase":"correct horse"}"#)
            .gives(Gives::Other(200, "text/plain", "the backup")),
        post("/v1/restore", ADMIN, "start anew with such a text", backup::restore::<S>)
            .takes("Restore", r#"{"backup":"plugline-backup 1","passphrase":"correct horse"}"#)
            .json(202, "Restoring"),
        post(
            "/v1/restart",
            ADMIN,
            "start anew with the configuration read again",
            configuration::restart::<S>,
        )
        .json(202, "Restarting"),
    ]
}

fn access<S: Source + Commands>() -> Vec<Row<S>> {
    let none = Gives::Nothing(204);
    vec![
        get("/v1/session", OPEN, "what you may do here", session::show).json(200, "Session"),
        post("/v1/session", OPEN, "sign in with a token, for a cookie", session::open::<S>)
            .takes("SignIn", r#"{"token":"plgu_…"}"#)
            .gives(none),
        delete("/v1/session", OPEN, "sign out", session::close::<S>).gives(none),
        post("/v1/tickets", READ, "a ticket for ?ticket=, for one path and 15 minutes", session::ticket::<S>)
            .takes("NewTicket", r#"{"path":"/v1/events"}"#)
            .json(201, "Ticket"),
        get("/v1/tokens", ADMIN, "all tokens, without their texts", tokens::list::<S>).json(200, "Tokens"),
        post("/v1/tokens", ADMIN, "make one", tokens::add::<S>)
            .takes("NewToken", r#"{"name":"Tablet","scope":"switch","devices":["insteon_1a777b"]}"#)
            .json(201, "MadeToken"),
        get("/v1/tokens/{id}", ADMIN, "one token", tokens::one::<S>).json(200, "Token"),
        delete("/v1/tokens/{id}", ADMIN, "end it now", tokens::remove::<S>).gives(none),
        post("/v1/tokens/{id}/rotate", ADMIN, "another in its place; it ends in a day", tokens::rotate::<S>)
            .json(201, "MadeToken"),
        get("/v1/audit", ADMIN, "who changed what, the newest first", tokens::audit::<S>)
            .asks(&[AUDIT])
            .json(200, "Audit"),
    ]
}

fn about<S: Source + Commands>() -> Vec<Row<S>> {
    vec![
        get("/livez", OPEN, "the event loop turns", health::live::<S>).json(200, "Live"),
        get("/healthz", OPEN, "health of every part", health::health::<S>)
            .asks(&[STRICT])
            .json(200, "Health")
            .json(503, "Health"),
        get("/metrics", READ, "what there is to watch, for Prometheus", metrics::show::<S>)
            .gives(Gives::Other(200, "text/plain", "the text format of Prometheus")),
        get("/problems/{name}", OPEN, "what a problem means", problem_page).gives(Gives::Other(
            200,
            "text/html",
            "a title and a paragraph",
        )),
        get("/openapi.json", OPEN, "this API for programs (OpenAPI 3.1)", description::<S>)
            .json(200, "Document"),
        get("/docs", OPEN, "this API for people, as a page", page::docs)
            .gives(Gives::Other(200, "text/html", "the page"))
            .gives(Gives::Nothing(304)),
        get("/", OPEN, "this list; the page, for browsers", index::<S>)
            .gives(Gives::Other(200, "text/plain", "a line for each route"))
            .gives(Gives::Other(200, "text/html", "the page")),
        get("/ui/{*file}", OPEN, "what the page is made of", page::file)
            .gives(Gives::Other(200, "*/*", "a script, a style, a picture"))
            .gives(Gives::Nothing(304)),
    ]
}

/// All rows as a router.
pub(super) fn router<S: Source + Commands>(root: Root<S>) -> Router {
    let gate = |need| from_fn_with_state(Gate { root: root.clone(), need }, pass::<S>);
    let router = rows::<S>().into_iter().fold(Router::new(), |router, row| {
        // Rows of one path are merged, each with its own method.
        router.route(row.about.path, row.handler.route_layer(gate(row.about.need)))
    });
    router
        .method_not_allowed_fallback(method_not_allowed.layer(gate(OPEN)))
        .fallback(not_found.layer(gate(OPEN)))
        .with_state(root)
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

/// The description of the API.
fn document<S: Source + Commands>(version: &str) -> Value {
    openapi::document(rows::<S>().into_iter().map(|row| row.about), version)
}

async fn description<S: Source + Commands>(State(app): State<App<S>>) -> Response {
    ok(&document::<S>(&app.settings.version))
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
        let open = [
            "/livez",
            "/healthz",
            "/problems/{name}",
            "/openapi.json",
            "/docs",
            "/",
            "/ui/{*file}",
            "/v1/session",
        ];
        for About { method, path, need, .. } in rows::<Door>().into_iter().map(|row| row.about) {
            assert_eq!(need == Need::Nothing, open.contains(&path), "{method} {path}");
            // A question in a body, and leave to read for a quarter of an hour, change nothing.
            let looks = method == Method::GET || ["/v1/events", "/v1/tickets"].contains(&path);
            assert!(looks || need != READ, "{method} {path}");
        }
    }
}
