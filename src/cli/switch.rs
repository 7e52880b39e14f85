//! `plugline on`, `off`, `read` and `identify`: commands to devices by id or name, and how each ended.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::client::Client;
use super::groups::name_of;
use super::sockets::printable;

/// Each look at a command is held this long by the gateway.
const LOOK_S: u64 = 50;
/// Looks before giving up on a command; it expires by itself after 30 s unless sent, and settles soon after.
const LOOKS: usize = 6;
const SETTLED: [&str; 5] = ["confirmed", "failed", "expired", "superseded", "cancelled"];

/// What is wanted of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Close the relay.
    On,
    /// Open the relay.
    Off,
    /// Ask for every quantity now.
    Read,
    /// Make it show itself.
    Identify {
        /// How long.
        seconds: u16,
    },
}

impl Wanted {
    fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Read => "read",
            Self::Identify { .. } => "identify",
        }
    }

    fn body(self) -> Value {
        match self {
            Self::On => json!({ "command": "switch", "args": { "on": true } }),
            Self::Off => json!({ "command": "switch", "args": { "on": false } }),
            Self::Read => json!({ "command": "read" }),
            Self::Identify { seconds } => json!({ "command": "identify", "args": { "seconds": seconds } }),
        }
    }
}

/// Commands `devices` and waits for the outcomes; success when all were confirmed.
///
/// # Errors
/// When a device is not known (then nothing was commanded), or the gateway cannot be asked.
pub async fn run(
    client: &Client,
    wanted_of_each: Wanted,
    devices: &[String],
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let known = known(client).await?;
    // All names first: a misspelt third one must not leave two switched.
    let wanted = devices.iter().map(|word| find(&known, word)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut commands = Vec::new();
    for device in &wanted {
        let path = format!("/v1/devices/{}/commands", id(device));
        let body = wanted_of_each.body();
        commands.push(client.post(&path, &body, Duration::ZERO).await.and_then(super::client::Answer::good));
    }
    let mut all_confirmed = true;
    for (device, command) in wanted.iter().zip(commands) {
        let ended = match command {
            Ok(command) => outcome(client, command).await,
            Err(error) => Err(error),
        };
        let members = ended.as_ref().ok().filter(|_| !json).map(|command| command["members"].clone());
        all_confirmed &= tell(device, wanted_of_each, ended, json, out)?;
        for member in members.iter().filter_map(Value::as_array).flatten() {
            let name = name_of(&known, member["device"].as_str().unwrap_or_default());
            writeln!(out, "  {name}: {}", end(member))?;
        }
    }
    Ok(if all_confirmed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All devices of the gateway.
pub(super) async fn known(client: &Client) -> anyhow::Result<Vec<Value>> {
    let answer = client.get("/v1/devices", Duration::ZERO).await?.good()?;
    Ok(answer["devices"].as_array().cloned().unwrap_or_default())
}

pub(super) fn id(device: &Value) -> &str {
    device["id"].as_str().unwrap_or_default()
}

/// A device by its id, or by its name where no other has it.
pub(super) fn find<'d>(known: &'d [Value], word: &str) -> anyhow::Result<&'d Value> {
    if let Some(device) = known.iter().find(|device| id(device) == word) {
        return Ok(device);
    }
    let named: Vec<&Value> = known.iter().filter(|device| device["name"].as_str() == Some(word)).collect();
    match named.as_slice() {
        [one] => Ok(one),
        [] => bail!("no socket has the id or the name `{word}`; `plugline sockets` lists them"),
        many => {
            let ids: Vec<&str> = many.iter().map(|device| id(device)).collect();
            bail!("{} sockets are called `{word}`; say which by its id: {}", many.len(), ids.join(", "))
        }
    }
}

/// Waits until the command has settled.
async fn outcome(client: &Client, mut command: Value) -> anyhow::Result<Value> {
    let id = command["id"].as_str().context("the gateway accepted a command without an id")?.to_owned();
    for _ in 0..LOOKS {
        if SETTLED.iter().any(|state| command["state"] == *state) {
            break;
        }
        let path = format!("/v1/commands/{id}?wait={LOOK_S}");
        command = client.get(&path, Duration::from_secs(LOOK_S)).await?.good()?;
    }
    Ok(command)
}

/// Prints how one ended; `true` when it was confirmed.
fn tell(
    device: &Value,
    wanted: Wanted,
    ended: anyhow::Result<Value>,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let name = printable(device["name"].as_str().unwrap_or_default());
    let label = format!("{name} ({})", id(device));
    let command = match ended {
        Ok(command) => command,
        Err(error) => {
            eprintln!("{label}: {error:#}");
            return Ok(false);
        }
    };
    let confirmed = command["state"] == "confirmed";
    if json {
        writeln!(out, "{command}")?;
        return Ok(confirmed);
    }
    writeln!(out, "{label}: {} {}", wanted.word(), end(&command))?;
    Ok(confirmed)
}

/// How a command, or a member's part of one, stands, and why.
fn end(command: &Value) -> String {
    let state = command["state"].as_str().unwrap_or("in an unknown state");
    let why = command["error"]["detail"].as_str().map(|detail| format!(": {}", printable(detail)));
    format!("{state}{}{}", doubt(command), why.unwrap_or_default())
}

/// What a failure means for the relay.
fn doubt(command: &Value) -> &'static str {
    match command["outcome"].as_str() {
        Some("not_applied") => ", surely not done",
        Some("unknown") => ", perhaps done",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_id_or_by_a_name_that_only_it_has() {
        let known = [
            json!({"id": "a", "name": "Lamp"}),
            json!({"id": "b", "name": "Lamp"}),
            json!({"id": "c", "name": "a"}),
        ];
        assert_eq!(id(find(&known, "b").expect("by id")), "b");
        assert_eq!(id(find(&known, "a").expect("an id beats a name")), "a");
        let twice = find(&known, "Lamp").expect_err("two of them").to_string();
        assert!(twice.contains("a, b"), "{twice}");
        assert!(find(&known, "lamp").is_err());
    }
}
