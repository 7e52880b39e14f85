//! Everything that the doctor asks a running gateway, and what it was not told.

use std::time::Duration;

use serde_json::Value;

use crate::cli::client::Client;

/// An answer, or why there is none.
pub(super) type Told = Result<Value, String>;

/// What a gateway told.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) health: Value,
    pub(super) gateway: Told,
    pub(super) lines: Told,
    /// By the line's name.
    pub(super) quality: Vec<(String, Told)>,
    pub(super) devices: Told,
    pub(super) config: Told,
    pub(super) log: Told,
    pub(super) metrics: Told,
    /// Names of tokens, to be hidden; nothing of them is shown.
    pub(super) tokens: Told,
}

impl Asked {
    /// Asks for everything, one after the other.
    ///
    /// # Errors
    /// When nobody answers at all.
    pub(super) async fn of(client: &Client) -> anyhow::Result<Self> {
        let health = client.get("/healthz", Duration::ZERO).await?.good()?;
        let lines = told(client, "/v1/lines").await;
        let mut quality = Vec::new();
        for name in entries(&lines, "lines").iter().filter_map(|line| line["line"].as_str()) {
            let path = format!("/v1/lines/{name}/quality");
            quality.push((name.to_owned(), told(client, &path).await));
        }
        Ok(Self {
            health,
            gateway: told(client, "/v1/gateway").await,
            lines,
            quality,
            devices: told(client, "/v1/devices").await,
            config: told(client, "/v1/config").await,
            log: told(client, "/v1/log?limit=1000").await,
            metrics: told(client, "/metrics").await,
            tokens: told(client, "/v1/tokens").await,
        })
    }

    /// The entries of a list.
    pub(super) fn devices(&self) -> &[Value] {
        entries(&self.devices, "devices")
    }
}

/// The list of that name in an answer; empty without one.
pub(super) fn entries<'a>(told: &'a Told, name: &str) -> &'a [Value] {
    told.as_ref().ok().and_then(|told| told[name].as_array()).map_or(&[], Vec::as_slice)
}

async fn told(client: &Client, path: &str) -> Told {
    let answer = client.get(path, Duration::ZERO).await.and_then(crate::cli::client::Answer::good);
    answer.map_err(|error| format!("{error:#}"))
}
