//! `plugline add`, `rename`, `options`, `replace` and `remove`: the registry, by the HTTP API.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value, json};

use clap::Subcommand;

use super::client::Client;
use super::locate::Gateway;
use super::sockets::printable;
use super::switch::{find, id, known};

/// What can be done to the registry.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Register a device that is on a line
    Add {
        /// Name of the line
        line: String,
        /// Address on the device
        address: String,
        /// What to call it
        #[arg(long)]
        name: Option<String>,
        /// Which relay of a thing with several, from 1
        #[arg(long)]
        channel: Option<u8>,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Give a socket another name
    Rename {
        /// Its id, or its name
        device: String,
        /// The new name
        name: String,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Choose options of a socket, or show those that are chosen
    Options {
        /// Its id, or its name
        device: String,
        /// `NAME=VALUE` each; `NAME=` takes a choice back. GET /v1/gateway lists what there is for each line
        #[arg(value_name = "NAME=VALUE", value_parser = choice)]
        choices: Vec<(String, Value)>,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Put other hardware in a socket's place; id, name and energy total stay
    Replace {
        /// Its id, or its name
        device: String,
        /// Address on the new hardware
        address: String,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Forget a socket
    Remove {
        /// Its id, or its name
        device: String,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
}

/// Does it, and prints the device as it is then.
///
/// # Errors
/// When it is refused, with the gateway's reason, or the gateway cannot be asked.
pub async fn run(verb: &Verb, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let gateway = match verb {
        Verb::Add { gateway, .. }
        | Verb::Rename { gateway, .. }
        | Verb::Options { gateway, .. }
        | Verb::Replace { gateway, .. }
        | Verb::Remove { gateway, .. } => gateway,
    };
    let client = gateway.client()?;
    let (device, done) = match verb {
        Verb::Add { line, address, name, channel, .. } => {
            let mut body = json!({ "line": line, "address": address });
            if let Some(name) = name {
                body["name"] = name.as_str().into();
            }
            if let Some(channel) = channel {
                body["channel"] = (*channel).into();
            }
            (client.post("/v1/devices", &body, Duration::ZERO).await?.good()?, "added")
        }
        Verb::Rename { device, name, .. } => {
            let path = path_of(&client, device).await?;
            (client.patch(&path, &json!({ "name": name })).await?.good()?, "renamed")
        }
        Verb::Options { device, choices, .. } => {
            let path = path_of(&client, device).await?;
            let options: Map<String, Value> = choices.iter().cloned().collect();
            let device = if options.is_empty() {
                client.get(&path, Duration::ZERO).await?.good()?
            } else {
                client.patch(&path, &json!({ "options": options })).await?.good()?
            };
            return tell_options(&device, gateway.json, out);
        }
        Verb::Replace { device, address, .. } => {
            let path = format!("{}/replace", path_of(&client, device).await?);
            (client.post(&path, &json!({ "address": address }), Duration::ZERO).await?.good()?, "replaced")
        }
        Verb::Remove { device, .. } => {
            let devices = known(&client).await?;
            let device = find(&devices, device)?.clone();
            client.delete(&format!("/v1/devices/{}", id(&device))).await?.good()?;
            (device, "removed")
        }
    };
    tell(&device, done, gateway.json, out)
}

async fn path_of(client: &Client, device: &str) -> anyhow::Result<String> {
    let devices = known(client).await?;
    Ok(format!("/v1/devices/{}", id(find(&devices, device)?)))
}

/// `relay=false`, `kind=dual`; without a value, the choice is taken back.
fn choice(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    let value = match value {
        "" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        word => Value::from(word),
    };
    Ok((name.to_owned(), value))
}

fn tell_options(device: &Value, json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    if json {
        writeln!(out, "{device}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = printable(device["name"].as_str().unwrap_or_default());
    let options = device["options"].as_object().cloned().unwrap_or_default();
    let told: Vec<String> = options
        .iter()
        .map(|(name, value)| {
            format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), printable))
        })
        .collect();
    let told = if told.is_empty() { "none chosen".to_owned() } else { told.join(" ") };
    writeln!(out, "{name} ({}): {told}", id(device))?;
    Ok(ExitCode::SUCCESS)
}

fn tell(device: &Value, done: &str, json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    if json {
        writeln!(out, "{device}")?;
    } else {
        let name = printable(device["name"].as_str().unwrap_or_default());
        let address = device["address"].as_str().unwrap_or_default();
        writeln!(out, "{name} ({}) at {address}: {done}", id(device))?;
    }
    Ok(ExitCode::SUCCESS)
}
