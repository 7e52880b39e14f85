//! Logs: levels per module by `PLUGLINE_LOG`, for people or as JSON by `PLUGLINE_LOG_FORMAT=json`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged unless `PLUGLINE_LOG` says otherwise. The libraries of the brokers speak of every client.
const DEFAULT: &str = "info,mqtt5=error,rumqttc=error,sled=warn";

/// Starts logging to standard error.
pub fn start() {
    let filter = EnvFilter::try_from_env("PLUGLINE_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false);
    let started = match std::env::var("PLUGLINE_LOG_FORMAT").as_deref() {
        Ok("json") => tracing::subscriber::set_global_default(logs.json().finish()),
        _ => tracing::subscriber::set_global_default(logs.compact().finish()),
    };
    // A second start keeps the first subscriber; tests start several gateways in one process.
    drop(started);
}
