//! `plugline quality`: how well a line carries, hour by hour and device by device.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::locate::Gateway;
use super::sockets::printable;

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// What `quality` was asked.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the line
    line: String,
    /// Over so many hours, 1 … 24
    #[arg(long, default_value_t = 24)]
    hours: u8,
    #[command(flatten)]
    gateway: Gateway,
}

/// Prints it.
///
/// # Errors
/// When the gateway cannot be asked or nothing can be written.
pub async fn run(asked: &Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let client = asked.gateway.client()?;
    let path = format!("/v1/lines/{}/quality?hours={}", asked.line, asked.hours);
    let told = client.get(&path, Duration::ZERO).await?.good()?;
    if asked.gateway.json {
        writeln!(out, "{told}")?;
    } else {
        write!(out, "{}", text(&told))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(told: &Value) -> String {
    let list = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    let hours = list("hours")
        .into_iter()
        .map(|hour| ["t", "heard", "malformed", "unanswered"].map(|name| cell(&hour[name])).to_vec());
    let devices = list("devices").into_iter().map(|device| {
        let names = ["device", "heard", "expected", "missed", "attempts", "snr_db", "level_db", "hops"];
        names.map(|name| cell(&device[name])).to_vec()
    });
    let hours = table(&["HOUR", "HEARD", "MALFORMED", "UNANSWERED"], hours);
    let titles = ["DEVICE", "HEARD", "EXPECTED", "MISSED", "ATTEMPTS", "SNR DB", "LEVEL", "HOPS"];
    format!("{hours}\n{}", table(&titles, devices))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => UNKNOWN.to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = titles.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(index, (cell, width))| match index {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hours_and_devices_stand_in_columns_and_what_nobody_tells_is_a_dash() {
        let told = json!({
            "hours": [{ "t": "2026-11-20T10:00:00.000Z", "heard": 120, "malformed": 1, "unanswered": 0 }],
            "devices": [{ "device": "plugline_02a0", "heard": 60, "expected": 60, "missed": 0, "attempts": 2,
                "snr_db": 18.5 }],
        });
        assert_eq!(
            text(&told),
            "HOUR                      HEARD  MALFORMED  UNANSWERED\n\
             2026-11-20T10:00:00.000Z    120          1           0\n\n\
             DEVICE         HEARD  EXPECTED  MISSED  ATTEMPTS  SNR DB  LEVEL  HOPS\n\
             plugline_02a0     60        60       0         2    18.5      -     -\n"
        );
    }
}
