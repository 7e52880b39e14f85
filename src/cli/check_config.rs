//! `plugline check-config`: the configuration validated, nothing started.

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{ConfigFile, gateway};
use crate::config::HttpTls;
use crate::mqtt::BrokerChoice;

/// Says what the configuration means, or where it is wrong.
///
/// # Errors
/// As [`gateway::load`], and when `out` is closed.
pub fn run(file: &ConfigFile, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let (path, config) = gateway::load(file)?;
    writeln!(out, "{}: good", path.display())?;
    for line in &config.lines {
        let devices = match line.device_count() {
            0 if line.discovers() => "devices by discovery".to_owned(),
            1 => "1 device".to_owned(),
            count => format!("{count} devices"),
        };
        writeln!(out, "  line {}: {} on {}, {devices}", line.name, line.dialect.name(), line.port)?;
        if let Some(file) = &line.capture {
            writeln!(out, "    recorded into {}", file.display())?;
        }
    }
    let scheme = if config.http.tls == HttpTls::Off { "http" } else { "https" };
    writeln!(out, "  {scheme}: {}", config.http_listen)?;
    match &config.http.tls {
        HttpTls::Off => {}
        HttpTls::SelfSigned => {
            let state = config.store_dir.display();
            writeln!(
                out,
                "    with a certificate of its own, made once in {state}; its SHA-256 is in the log of each start"
            )?;
        }
        HttpTls::Files { cert, .. } => {
            writeln!(out, "    with {}, read anew when it changes", cert.display())?;
        }
    }
    if !config.http_listen.ip().is_loopback() || !config.http.names.is_empty() {
        writeln!(out, "    everybody is asked for a token, also on this machine")?;
    }
    match &config.mqtt.broker {
        BrokerChoice::Embedded { listen, users } => {
            writeln!(out, "  mqtt: own broker on {listen}, {} users", users.len())?;
        }
        BrokerChoice::External(address) => writeln!(out, "  mqtt: broker at {}", address.url())?,
    }
    writeln!(out, "  state: {}", config.store_dir.display())?;
    Ok(ExitCode::SUCCESS)
}
