//! Finding the running gateway: by its address, or by the file that it leaves in its state folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::cli::client::Client;
use crate::cli::tls::Trust;
use crate::run::CLI_FILE;

/// Holds a token; not an argument, which other users of the machine could see.
const TOKEN_VARIABLE: &str = "PLUGLINE_TOKEN";

/// Which gateway to talk to.
#[derive(Clone, Debug, Args)]
pub struct Gateway {
    /// Address of the gateway's HTTP API [default: found by the state folder]
    #[arg(long, value_name = "URL", env = "PLUGLINE_URL")]
    pub url: Option<String>,
    /// File whose first line is a token for it [default: $PLUGLINE_TOKEN, or found by the state folder]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
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
        let given = self.given_token()?;
        let (url, found) = match (&self.url, &self.state) {
            (Some(url), _) => (url.clone(), None),
            (None, Some(state)) => left_in(state)?,
            (None, None) => left_in(&state_folder())?,
        };
        let client = match trust {
            Some(trust) => Client::trusting(&url, Some(trust)),
            None => Client::new(&url),
        }?;
        match given.or(found) {
            Some(token) => client.with_token(&token),
            None => Ok(client),
        }
    }

    /// The token that the caller names.
    fn given_token(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.token_file else {
            return Ok(std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()));
        };
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let token = text.lines().next().unwrap_or_default().trim();
        anyhow::ensure!(!token.is_empty(), "{} is empty; its first line is the token", file.display());
        Ok(Some(token.to_owned()))
    }
}

fn state_folder() -> PathBuf {
    let given = std::env::var_os(super::CONFIG_VARIABLE).map(PathBuf::from);
    let config =
        super::gateway::find(given.as_deref()).ok().and_then(|(_, text)| super::gateway::parse(&text).ok());
    config.map_or_else(|| PathBuf::from(crate::config::DEFAULT_STATE_DIR), |config| config.store_dir)
}

/// Address and token that a running gateway left in its state folder.
fn left_in(state: &Path) -> anyhow::Result<(String, Option<String>)> {
    let file = state.join(CLI_FILE);
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!("no gateway runs with the state folder {}; give --url or --state", state.display())
    })?;
    let mut lines = text.lines();
    let url = lines.next().unwrap_or_default();
    anyhow::ensure!(!url.is_empty(), "{} is empty; start the gateway again", file.display());
    Ok((url.to_owned(), lines.next().map(str::to_owned)))
}
