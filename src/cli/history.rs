//! `plugline readings` and `energy`: what a socket measured, and what it consumed each day.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::locate::Gateway;
use super::switch::{find, id, known};
use crate::device::DeviceId;

/// What `readings` was asked.
#[derive(Debug, Args)]
pub struct Readings {
    /// Its id, or its name; the id of a removed socket answers while its readings are kept
    device: String,
    /// From this time on, such as 2026-11-20T10:00:00+01:00 [default: a day before --to]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// One row for each so many seconds: the mean of what is instantaneous, the last of totals
    #[arg(long, value_name = "SECONDS")]
    step: Option<u64>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    gateway: Gateway,
}

/// The id of a device by its id or name; an id of which the registry knows nothing is taken as it is.
pub(super) async fn id_of(client: &Client, word: &str) -> anyhow::Result<String> {
    let devices = known(client).await?;
    match find(&devices, word) {
        Ok(device) => Ok(id(device).to_owned()),
        Err(_) if DeviceId::parse(word).is_some() => Ok(word.to_owned()),
        Err(error) => Err(error),
    }
}

/// Prints the readings, page by page.
///
/// # Errors
/// When the gateway cannot be asked or nothing can be written.
pub async fn readings(asked: &Readings, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let client = asked.gateway.client()?;
    let id = id_of(&client, &asked.device).await?;
    let step = asked.step.map(|step| step.to_string());
    let pairs = [("from", &asked.from), ("to", &asked.to), ("step_s", &step)];
    let query: Vec<String> = pairs
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", encoded(value))))
        .collect();
    let mut path = Some(format!("/v1/devices/{id}/readings?{}", query.join("&")));
    let mut first = true;
    while let Some(asked_path) = path {
        let page = client.get(&asked_path, Duration::ZERO).await?.good()?;
        if asked.gateway.json {
            writeln!(out, "{page}")?;
        } else {
            write!(out, "{}", table(&page, asked.csv, first))?;
        }
        first = false;
        path = page["next"].as_str().map(str::to_owned);
    }
    Ok(ExitCode::SUCCESS)
}

/// What `energy` was asked.
#[derive(Debug, Args)]
pub struct Energy {
    /// Its id, or its name; the id of a removed socket answers too
    device: String,
    /// How many days, 1 … 400
    #[arg(long, default_value_t = 30)]
    days: u16,
    #[command(flatten)]
    gateway: Gateway,
}

/// Prints what was consumed each day.
///
/// # Errors
/// When the gateway cannot be asked or nothing can be written.
pub async fn energy(asked: &Energy, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let client = asked.gateway.client()?;
    let id = id_of(&client, &asked.device).await?;
    let path = format!("/v1/devices/{id}/energy?days={}", asked.days);
    let told = client.get(&path, Duration::ZERO).await?.good()?;
    if asked.gateway.json {
        writeln!(out, "{told}")?;
    } else {
        write!(out, "{}", days(&told))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn days(told: &Value) -> String {
    let days = told["days"].as_array().into_iter().flatten();
    let lines = days.map(|day| {
        let figure = |name: &str, way: &str| match &day[name] {
            Value::Number(kwh) => format!("  {:>12} kWh{way}", kwh.to_string()),
            _ => String::new(),
        };
        let remark = |name: &str| if day[name] == true { format!("  {name}") } else { String::new() };
        let date = day["date"].as_str().unwrap_or_default();
        let (energy, export) = (figure("energy_kwh", ""), figure("energy_export_kwh", " exported"));
        format!("{date}{energy}{export}{}{}\n", remark("partial"), remark("estimated"))
    });
    let lines: String = lines.collect();
    if lines.is_empty() { "Nothing is known of these days.\n".to_owned() } else { lines }
}

/// The characters that a time may have and a query may not.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let spelt = value.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    spelt.collect()
}

/// A page as lines. Columns of a table are as wide as a time and never move, so that pages line up.
fn table(page: &Value, csv: bool, head: bool) -> String {
    let names = page["columns"].as_array().into_iter().flatten();
    let titles = names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    let rows = page["rows"].as_array().into_iter().flatten().map(|row| {
        let cells = row.as_array().into_iter().flatten();
        cells.map(|cell| cell_text(cell, csv)).collect::<Vec<_>>()
    });
    let all = head.then_some(titles).into_iter().chain(rows);
    all.map(|cells| line(&cells, csv)).collect()
}

fn cell_text(cell: &Value, csv: bool) -> String {
    match cell {
        Value::Null if csv => String::new(),
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn line(cells: &[String], csv: bool) -> String {
    if csv {
        return format!("{}\r\n", cells.join(","));
    }
    let wide: Vec<String> = cells
        .iter()
        .enumerate()
        .map(|(index, cell)| if index == 0 { format!("{cell:<24}") } else { format!("{cell:>17}") })
        .collect();
    format!("{}\n", wide.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_is_missing_is_a_dash_or_nothing_and_never_zero() {
        let page = json!({ "columns": ["t", "power_w", "energy_kwh"],
            "rows": [["2026-11-20T10:00:00.000Z", 41.7, null], ["2026-11-20T10:00:10.000Z", null, 0.26]] });
        assert_eq!(
            table(&page, true, true),
            "t,power_w,energy_kwh\r\n2026-11-20T10:00:00.000Z,41.7,\r\n2026-11-20T10:00:10.000Z,,0.26\r\n"
        );
        assert_eq!(
            table(&page, false, false).lines().next(),
            Some("2026-11-20T10:00:00.000Z               41.7                  -")
        );
    }

    #[test]
    fn days_show_their_figures_and_remarks() {
        let told = json!({ "days": [{ "date": "2026-11-19", "energy_kwh": 1.5, "energy_export_kwh": 0.25 },
            { "date": "2026-11-20", "energy_kwh": 0.5, "partial": true }] });
        assert_eq!(
            days(&told),
            "2026-11-19           1.5 kWh          0.25 kWh exported\n2026-11-20           0.5 kWh  partial\n"
        );
        assert_eq!(days(&json!({ "days": [] })), "Nothing is known of these days.\n");
    }

    #[test]
    fn the_offset_of_a_time_survives_the_query() {
        assert_eq!(encoded("2026-11-20T10:00:00+01:00"), "2026-11-20T10:00:00%2B01:00");
    }
}
