//! `plugline sockets`: the registry as a table for people or as JSON.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::Client;

const TITLES: [&str; 7] = ["NAME", "ID", "RELAY", "POWER", "ENERGY", "ONLINE", "LAST SEEN"];
/// What stands where nothing was heard yet.
const UNKNOWN: &str = "-";

/// Prints all devices.
///
/// # Errors
/// When the gateway cannot be asked or nothing can be written.
pub async fn run(client: &Client, json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let answer = client.get("/v1/devices", Duration::ZERO).await?.good()?;
    let devices = answer["devices"].as_array().cloned().unwrap_or_default();
    if json {
        writeln!(out, "{}", Value::from(devices))?;
    } else if devices.is_empty() {
        writeln!(out, "No sockets yet.")?;
    } else {
        write!(out, "{}", table(&devices))?;
    }
    if !json {
        let gateway = client.get("/v1/gateway", Duration::ZERO).await?.good()?;
        write!(out, "{}", foreign(&gateway["lines"]))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who else is heard, and how to take one in.
fn foreign(lines: &Value) -> String {
    let mut told = String::new();
    for (line, about) in lines.as_object().into_iter().flatten() {
        let heard = about["foreign"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // Keys are on the label; an address alone lets nobody in.
        let by_label = about["joins"].as_array().is_some_and(|ways| ways.iter().any(|way| way == "label"));
        for address in heard.map(printable) {
            told.push_str(&match by_label {
                true => format!("asks to join: {address}; plugline join {line} --code CODE-ON-ITS-LABEL\n"),
                false => format!("heard and not added: plugline add {line} {address}\n"),
            });
        }
    }
    told
}

fn table(devices: &[Value]) -> String {
    let rows: Vec<[String; 7]> =
        std::iter::once(TITLES.map(str::to_owned)).chain(devices.iter().map(row)).collect();
    let widths: [usize; 7] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn line(row: &[String; 7], widths: &[usize; 7]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

fn row(device: &Value) -> [String; 7] {
    let text = |value: &Value| printable(value.as_str().unwrap_or(UNKNOWN));
    let quantity = |name: &str, unit: &str| match &device["last_reading"][name] {
        Value::Number(number) => format!("{number} {unit}"),
        _ => UNKNOWN.to_owned(),
    };
    [
        text(&device["name"]),
        text(&device["id"]),
        word(&device["state"]["relay"], "on", "off"),
        quantity("power_w", "W"),
        quantity("energy_kwh", "kWh"),
        word(&device["online"], "yes", "no"),
        text(&device["last_seen"]),
    ]
}

fn word(value: &Value, yes: &str, no: &str) -> String {
    value.as_bool().map_or(UNKNOWN, |value| if value { yes } else { no }).to_owned()
}

/// Names come from outside; control characters in them would move the terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_is_heard_and_not_added_is_told_with_the_way_to_add_it() {
        let lines = json!({ "insteon": { "foreign": ["2c0d11"] }, "dlt645": { "foreign": [] } });
        assert_eq!(foreign(&lines), "heard and not added: plugline add insteon 2c0d11\n");
        let lines = json!({ "cellar": { "foreign": ["02a0"], "joins": ["label"] } });
        assert_eq!(foreign(&lines), "asks to join: 02a0; plugline join cellar --code CODE-ON-ITS-LABEL\n");
    }

    #[test]
    fn columns_line_up_and_what_was_not_heard_is_a_dash() {
        let devices = [
            json!({"name": "Kettle", "id": "dlt645_1", "state": {"relay": true}, "online": true,
                "last_seen": "2026-11-18T11:06:40.123Z", "last_reading": {"power_w": 41.7, "energy_kwh": 0.26}}),
            json!({"name": "Lamp\u{1b}[2J", "id": "dlt645_2", "state": {"relay": null}, "online": null,
                "last_seen": null, "last_reading": null}),
        ];
        assert_eq!(
            table(&devices),
            "NAME      ID        RELAY  POWER   ENERGY    ONLINE  LAST SEEN\n\
             Kettle    dlt645_1  on     41.7 W  0.26 kWh  yes     2026-11-18T11:06:40.123Z\n\
             Lamp?[2J  dlt645_2  -      -       -         -       -\n"
        );
    }
}
