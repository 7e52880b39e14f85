//! `plugline run`: the gateway until it is told to stop.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::access::TokenText;
use crate::cli::ConfigFile;
use crate::config::{Config, ConfigError};
use crate::run::Addresses;
use crate::upkeep::Configuration;

/// Where the configuration is looked for when nobody says.
const PLACES: [&str; 2] = ["./plugline.toml", "/etc/plugline/plugline.toml"];

/// Finds and reads the configuration file.
///
/// # Errors
/// When there is none, with the places looked at, or it cannot be read.
pub fn find(given: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let path =
        match given {
            Some(path) => path.to_owned(),
            None => PLACES.iter().map(PathBuf::from).find(|path| path.exists()).with_context(|| {
                format!("no configuration in {}; give --config FILE", PLACES.join(" or "))
            })?,
        };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok((path, text))
}

/// Reads and validates the configuration.
///
/// # Errors
/// As [`find`], and [`crate::config::ConfigError`] behind the file's name.
pub fn load(file: &ConfigFile) -> anyhow::Result<(PathBuf, Config)> {
    let (path, text) = find(file.config.as_deref())?;
    let config = parse(&text).with_context(|| path.display().to_string())?;
    Ok((path, config))
}

/// Validates a configuration's text with this process's environment and files.
///
/// # Errors
/// [`ConfigError`].
pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, environment(), &|path| std::fs::read_to_string(path))
}

/// The variables of this process.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    // Anybody's variables may hold bytes that are no text; what is damaged in one of ours is refused where it is used.
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (lossy(name), lossy(value)))
}

/// Runs the gateway until SIGINT or SIGTERM.
///
/// # Errors
/// As [`load`] and [`crate::run::run`].
pub async fn run(file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let (path, text) = find(file.config.as_deref())?;
    let mut config = parse(&text).with_context(|| path.display().to_string())?;
    config.shows_first_token = true;
    let configuration = Configuration::of_file(path.clone(), text, environment());
    let (ready, up) = oneshot::channel::<Addresses>();
    tokio::spawn(async move {
        if let Ok(addresses) = up.await {
            if let Some(token) = &addresses.first_token {
                show(token);
            }
            tracing::info!(config = %path.display(), http = %addresses.http, mqtt = %addresses.mqtt, "running");
        }
    });
    crate::run::keep(configuration, config, ready, told_to_stop()?).await?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the first token, once. Not by the log: that is kept, and read by others.
fn show(token: &TokenText) {
    let text = format!(
        "Admin token of this gateway, shown only now: {}\n\
         Keep it; it is needed from other machines. `plugline token` makes others and removes this one.\n",
        token.expose()
    );
    // Standard output may be closed; then there is nobody to show it to, and `plugline token rotate` gives another.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
