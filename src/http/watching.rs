//! Looking at a line: its frames as they pass, and recordings as downloads. Spec: `protocol-spec/http.md`, A line, live.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::ask::{BadParameter, Query};
use super::events::pairs;
use super::pen::{self, Pen};
use super::problem::{self, Problem};
use super::{App, State, lines, stopped};
use crate::frames::{Fields, Interpreter, kind};
use crate::json as views;
use crate::line::DecodedFrame;
use crate::port::pcap::{self, Packet};
use crate::port::recording::{Entry, Header, What};
use crate::port::watch::{Seen, WATCHERS_MAX, Watch, Watcher};
use crate::source::{Commands, Source};

/// How long somebody looks unless asked otherwise, and at most, s.
const SECONDS_DEFAULT: u64 = 60;
const SECONDS_MAX: u64 = 600;

/// A line that is looked at, and until when.
struct Look<S> {
    app: App<S>,
    watch: Watch,
    watcher: Watcher,
    interpreter: Interpreter,
    until: Instant,
}

impl<S: Source + Commands> Look<S> {
    fn new(app: App<S>, line: &str, query: Query<'_>) -> Result<Self, Problem> {
        let seconds = query.number("seconds", 1, SECONDS_MAX)?.unwrap_or(SECONDS_DEFAULT);
        let name = lines::find(&app.source, line)?;
        let watch = app.settings.watches.iter().find(|watch| *watch.line == *name.as_str()).cloned();
        let unknown = || Problem::new(&problem::UNKNOWN_LINE, format!("`{line}` has no port to look at"));
        let watch = watch.ok_or_else(unknown)?;
        let full =
            || Problem::new(&problem::TOO_MANY_WATCHERS, format!("{WATCHERS_MAX} look at the line already"));
        let watcher = watch.look().ok_or_else(full)?;
        let interpreter = Interpreter::new(watch.dialect).ok_or_else(unknown)?;
        Ok(Self { app, watch, watcher, interpreter, until: Instant::now() + Duration::from_secs(seconds) })
    }

    /// What passed next; `None` when it is enough.
    async fn next(&mut self) -> Option<Result<Arc<Seen>, u64>> {
        tokio::select! {
            biased;
            () = stopped(&mut self.app.stop) => None,
            () = sleep_until(self.until) => None,
            seen = self.watcher.next() => seen,
        }
    }

    fn port_is_open(&self) -> bool {
        let lines = self.app.source.lines();
        lines.iter().any(|health| health.line.as_str() == &*self.watch.line && health.port.is_ok())
    }
}

pub(super) async fn live<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(line): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let look = Look::new(app, &line, Query(&pairs(&uri)))?;
    let mut response = Response::default();
    pen::body(&mut response, |pen| look.stream(pen));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

impl<S: Source + Commands> Look<S> {
    async fn stream(mut self, mut pen: Pen) -> io::Result<()> {
        pen.put(":\n\n").await;
        loop {
            let silence = self.app.settings.silence;
            match tokio::time::timeout(silence, self.next()).await {
                Err(_) => pen.put(":\n\n").await,
                Ok(None) => break,
                Ok(Some(Err(missed))) => {
                    pen.put(event("missed", &json!({ "count": missed }).to_string())).await
                }
                Ok(Some(Ok(seen))) => pen.put(self.told(&seen)).await,
            }
        }
        pen.put(event("end", "{}")).await;
        Ok(())
    }

    /// The events of what passed: a frame each, or what became of the port.
    fn told(&mut self, seen: &Seen) -> String {
        let t = views::time(i64::try_from(seen.at.as_millis()).unwrap_or(i64::MAX));
        match &seen.what {
            What::From(bytes) => {
                let frames = self.interpreter.frames(bytes);
                frames
                    .iter()
                    .map(|(bytes, decoded)| event("frame", &frame((&t, "in"), bytes, decoded)))
                    .collect()
            }
            What::To(bytes) => event("frame", &frame((&t, "out"), bytes, &self.interpreter.one(bytes))),
            What::Open => event("port", &json!({ "t": t, "open": true }).to_string()),
            What::Lost(why) => event("port", &json!({ "t": t, "open": false, "error": why }).to_string()),
            What::Missed(count) => event("missed", &json!({ "count": count }).to_string()),
        }
    }
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn frame((t, way): (&str, &str), bytes: &[u8], decoded: &DecodedFrame) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let fields = views::text(&Fields(decoded));
    format!(
        "{{\"t\":\"{t}\",\"way\":\"{way}\",\"hex\":\"{hex}\",\"kind\":\"{}\",\"fields\":{fields}}}",
        kind(decoded)
    )
}

/// The form of a recording.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Pcap,
}

pub(super) async fn capture<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(line): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    let form = match pairs.iter().find(|(name, _)| name == "format").map(|(_, value)| value.as_str()) {
        None | Some("text") => Form::Text,
        Some("pcap") => Form::Pcap,
        Some(other) => {
            return Err(
                BadParameter { field: "format", got: other.to_owned(), wanted: "`text` or `pcap`" }.into()
            );
        }
    };
    let look = Look::new(app, &line, Query(&pairs))?;
    let (kind, ending) = match form {
        Form::Text => ("text/plain; charset=utf-8", "txt"),
        Form::Pcap => ("application/vnd.tcpdump.pcap", "pcap"),
    };
    let mut response = Response::default();
    pen::body(&mut response, |pen| look.record(form, pen));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(named) = HeaderValue::from_str(&format!("attachment; filename=\"{line}.{ending}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, named);
    }
    Ok(response)
}

impl<S: Source + Commands> Look<S> {
    async fn record(mut self, form: Form, mut pen: Pen) -> io::Result<()> {
        let now = jiff::Timestamp::now();
        let start = Duration::from_micros(u64::try_from(now.as_microsecond()).unwrap_or_default());
        let mut last = Duration::ZERO;
        pen.put(self.beginning(form, views::time(now.as_millisecond()))).await;
        while let Some(next) = self.next().await {
            let (at, what) = match next {
                // The clock may have been set back.
                Ok(seen) => (seen.at.saturating_sub(start).max(last), seen.what.clone()),
                Err(missed) => (last, What::Missed(missed)),
            };
            last = at;
            let piece = match form {
                Form::Text => Entry { at, what }.to_string().into_bytes(),
                Form::Pcap => self.packet(start + at, &what),
            };
            pen.put(piece).await;
        }
        Ok(())
    }

    fn beginning(&self, form: Form, start: String) -> Vec<u8> {
        if form == Form::Pcap {
            return pcap::HEADER.to_vec();
        }
        let Watch { line, dialect, port, .. } = &self.watch;
        let header =
            Header { start, line: line.to_string(), dialect: (*dialect).to_owned(), port: port.to_string() };
        let mut text = header.to_string();
        if self.port_is_open() {
            // A recording that is replayed begins with an open port.
            text.push_str(&Entry { at: Duration::ZERO, what: What::Open }.to_string());
        }
        text.into_bytes()
    }

    fn packet(&mut self, at: Duration, what: &What) -> Vec<u8> {
        let (received, info, bytes): (bool, String, &[u8]) = match what {
            What::From(bytes) => (true, self.interpreter.received(bytes), bytes),
            What::To(bytes) => (false, self.interpreter.written(bytes), bytes),
            What::Missed(count) => {
                (true, format!("{count} entries are missing here: the reader was too slow"), &[])
            }
            What::Open | What::Lost(_) => return Vec::new(),
        };
        let mut packet = Vec::new();
        Packet { at, received, protocol: self.watch.dialect, info: &info, bytes }.append(&mut packet);
        packet
    }
}
