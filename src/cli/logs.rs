//! Logs: levels per module by `PLUGLINE_LOG`, for people or as JSON by `PLUGLINE_LOG_FORMAT=json`; the last lines also
//! for `GET /v1/log`.

use std::fmt::Write as _;
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use crate::upkeep::logbook::{self, Logbook};

/// What is logged unless `PLUGLINE_LOG` says otherwise. The libraries of the brokers speak of every client.
const DEFAULT: &str = "info,mqtt5=error,rumqttc=error,sled=warn";

/// Starts logging to standard error and into the logbook of this process.
pub fn start() {
    let filter = EnvFilter::try_from_env("PLUGLINE_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    let book = Book(logbook::of_this_process().clone());
    let both = Registry::default().with(filter).with(book);
    let started = match std::env::var("PLUGLINE_LOG_FORMAT").as_deref() {
        Ok("json") => tracing::subscriber::set_global_default(both.with(logs.json())),
        _ => tracing::subscriber::set_global_default(both.with(logs.compact())),
    };
    // A second start keeps the first subscriber; tests start several gateways in one process.
    drop(started);
}

/// Writes what is logged into the logbook.
struct Book(Logbook);

impl<S: Subscriber> Layer<S> for Book {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        let level = *about.level();
        // Libraries may speak of what passes through them.
        if !about.target().starts_with("plugline") && level > Level::WARN {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        self.0.add(unix_ms(), word(level), about.target(), &(said.message + &said.fields));
    }
}

#[expect(clippy::disallowed_methods, reason = "a line of the log says when it was written")]
fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing into memory does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logbook_holds_the_words_and_the_fields_but_no_chatter_of_libraries() {
        let book = Logbook::default();
        let logs = Registry::default().with(Book(book.clone()));
        tracing::subscriber::with_default(logs, || {
            tracing::info!(port = %"/dev/x", tries = 3, "open");
            tracing::debug!(target: "rumqttc", "packet with a password");
            tracing::warn!(target: "sled", "slow");
        });
        let kept = book.after(0, 10);
        let kept: Vec<_> = kept.iter().map(|line| (line.level, &*line.target, &*line.message)).collect();
        let wanted =
            [("info", "plugline::cli::logs::tests", "open port=/dev/x tries=3"), ("warn", "sled", "slow")];
        assert_eq!(kept, wanted);
    }
}
