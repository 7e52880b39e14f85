//! `plugline check-config`: the configuration validated, nothing started.

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{ConfigFile, gateway};
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
    writeln!(out, "  http: {}", config.http_listen)?;
    match &config.mqtt.broker {
        BrokerChoice::Embedded { listen, users } => {
            writeln!(out, "  mqtt: own broker on {listen}, {} users", users.len())?;
        }
        BrokerChoice::External(address) => writeln!(out, "  mqtt: broker at {}", address.url())?,
    }
    writeln!(out, "  state: {}", config.store_dir.display())?;
    Ok(ExitCode::SUCCESS)
}
