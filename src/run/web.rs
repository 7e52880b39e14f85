//! What the HTTP API is told of the machine and the configuration: the names that are us, and the certificate.

use std::net::SocketAddr;

use anyhow::Context;

use crate::access::ticket::Key;
use crate::config::{Config, HttpTls};
use crate::http;
use crate::http::guard::Rules;
use crate::http::guard::host::Hosts;
use crate::http::tls::{Files, Keys};

/// The part of the settings that both decide.
///
/// # Errors
/// When the certificate cannot be used, or made.
pub(super) fn settings(config: &Config, bound: SocketAddr, tickets: Key) -> anyhow::Result<http::Settings> {
    let hosts = Hosts::new(hostname().as_deref(), &config.http.names);
    let files = match &config.http.tls {
        HttpTls::Off => None,
        HttpTls::Files { cert, key } => Some(Files { cert: cert.clone(), key: key.clone() }),
        HttpTls::SelfSigned => {
            let made = Files::own(&config.store_dir, hosts.iter(), bound.ip());
            Some(made.context("making a certificate for the HTTP API")?)
        }
    };
    let tls = files.map(Keys::open).transpose().map_err(anyhow::Error::msg).context("TLS of the HTTP API")?;
    if let Some(keys) = &tls {
        tracing::info!(sha256 = keys.fingerprint(), "the HTTP API shows this certificate");
    }
    Ok(http::Settings {
        guard: Rules {
            hosts,
            origins: config.http.cors_origins.clone(),
            proxies: config.http.proxies.clone(),
        },
        tls,
        // A name or a proxy is there for strangers.
        public: !config.http.names.is_empty() || !config.http.proxies.is_empty(),
        ticket_key: tickets,
        limits: config.http.limits,
        connections: config.http_connections.unwrap_or(http::CONNECTIONS),
        ..http::Settings::default()
    })
}

/// Where the command line finds the API, and by what it knows it.
pub(super) fn url(settings: &http::Settings, bound: SocketAddr) -> String {
    match &settings.tls {
        None => format!("http://{bound}"),
        Some(keys) => format!("https://{bound}/#sha256={}", keys.fingerprint()),
    }
}

/// What this machine calls itself; read anew at each start.
fn hostname() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(text.trim_end().to_owned())
}
