//! Finding the running gateway: by its address, or by the file that it leaves in its state folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::cli::client::Client;
use crate::cli::tls::Trust;
use crate::run::CLI_FILE;

/// Which gateway to talk to.
#[derive(Debug, Args)]
pub struct Gateway {
    /// Address of the gateway's HTTP API [default: found by the state folder]
    #[arg(long, value_name = "URL", env = "PLUGLINE_URL")]
    pub url: Option<String>,
    /// State folder of the running gateway [default: the configuration's]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// SHA-256 of the gateway's certificate, for an `https://` URL; it prints it at its start
    #[arg(long, value_name = "SHA256", env = "PLUGLINE_FINGERPRINT", requires = "url")]
    pub fingerprint: Option<String>,
    /// PEM file with the CA of the gateway's certificate, for an `https://` URL
    #[arg(long, value_name = "FILE", requires = "url", conflicts_with = "fingerprint")]
    pub ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Gateway {
    /// A client of that gateway.
    ///
    /// # Errors
    /// When no running gateway is found, with the way out.
    pub fn client(&self) -> anyhow::Result<Client> {
        let trust = match (&self.fingerprint, &self.ca_file) {
            (Some(fingerprint), _) => Some(Trust::pinned(fingerprint)?),
            (None, Some(file)) => Some(Trust::by_ca(file)?),
            (None, None) => None,
        };
        let url = match (&self.url, &self.state) {
            (Some(url), _) => url.clone(),
            (None, Some(state)) => url_in(state)?,
            (None, None) => url_in(&state_folder())?,
        };
        match trust {
            Some(trust) => Client::trusting(&url, Some(trust)),
            None => Client::new(&url),
        }
    }
}

fn state_folder() -> PathBuf {
    let given = std::env::var_os(super::CONFIG_VARIABLE).map(PathBuf::from);
    let config =
        super::gateway::find(given.as_deref()).ok().and_then(|(_, text)| super::gateway::parse(&text).ok());
    config.map_or_else(|| PathBuf::from(crate::config::DEFAULT_STATE_DIR), |config| config.store_dir)
}

fn url_in(state: &Path) -> anyhow::Result<String> {
    let file = state.join(CLI_FILE);
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!("no gateway runs with the state folder {}; give --url or --state", state.display())
    })?;
    let url = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!url.is_empty(), "{} is empty; start the gateway again", file.display());
    Ok(url.to_owned())
}
