//! `plugline token` and `plugline audit`: who may use the gateway, and who changed what, by the HTTP API.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::locate::Gateway;
use super::sockets::printable;
use super::switch::{find, id, known};

/// What stands where there is nothing to tell.
const NOTHING: &str = "-";

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// All tokens, without their texts
    List {
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Make a token; its text is printed this once
    Add {
        /// What to call it: who or what will hold it
        name: String,
        /// What it may do: read, switch, manage, admin; each includes those before it
        #[arg(long, default_value = "switch")]
        scope: String,
        /// Bind it to this device or group, by id or name; repeat for several
        #[arg(long = "device", value_name = "DEVICE")]
        devices: Vec<String>,
        /// Let it end after so many days
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Make another in its place; the old one ends in a day
    Rotate {
        /// Its id, or its name where no other has it
        token: String,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
    /// End a token and its sessions now
    Remove {
        /// Its id, or its name where no other has it
        token: String,
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
}

/// Arguments of `plugline audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// How many changes, 1 … 1000
    #[arg(long, default_value_t = 20)]
    limit: u16,
    #[command(flatten)]
    gateway: Gateway,
}

/// Does it and prints what came of it.
///
/// # Errors
/// When it is refused, with the gateway's reason, or the gateway cannot be asked.
pub async fn run(verb: &Verb, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::List { gateway } => {
            let tokens = all(&gateway.client()?).await?;
            if gateway.json {
                writeln!(out, "{}", Value::from(tokens))?;
            } else {
                tokens.iter().try_for_each(|token| writeln!(out, "{}", line(token)))?;
            }
        }
        Verb::Add { name, scope, devices, days, gateway } => {
            let client = gateway.client()?;
            let mut body = json!({ "name": name, "scope": scope });
            if !devices.is_empty() {
                let known = known(&client).await?;
                let ids = devices.iter().map(|device| find(&known, device).map(id).map(str::to_owned));
                body["devices"] = ids.collect::<anyhow::Result<Vec<_>>>()?.into();
            }
            if let Some(days) = days {
                body["expires_in_s"] = (u64::from(*days) * 86_400).into();
            }
            let made = client.post("/v1/tokens", &body, Duration::ZERO).await?.good()?;
            show(&made, gateway.json, out)?;
        }
        Verb::Rotate { token, gateway } => {
            let client = gateway.client()?;
            let path = format!("/v1/tokens/{}/rotate", pick(&all(&client).await?, token)?);
            let made = client.post(&path, &json!({}), Duration::ZERO).await?.good()?;
            show(&made, gateway.json, out)?;
        }
        Verb::Remove { token, gateway } => {
            let client = gateway.client()?;
            let id = pick(&all(&client).await?, token)?;
            client.delete(&format!("/v1/tokens/{id}")).await?.good()?;
            if gateway.json {
                writeln!(out, "{}", json!({ "id": id, "removed": true }))?;
            } else {
                writeln!(out, "{id}: removed")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints who changed what, the newest first.
///
/// # Errors
/// When the gateway cannot be asked.
pub async fn audit(arguments: &AuditArguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/audit?limit={}", arguments.limit);
    let answer = arguments.gateway.client()?.get(&path, Duration::ZERO).await?.good()?;
    let entries = answer["entries"].as_array().cloned().unwrap_or_default();
    if arguments.gateway.json {
        writeln!(out, "{}", Value::from(entries))?;
        return Ok(ExitCode::SUCCESS);
    }
    for entry in &entries {
        let by = entry["by"]["name"].as_str().or(entry["by"].as_str());
        let words = [entry["t"].as_str(), by, entry["action"].as_str(), entry["target"].as_str()];
        let words = words.into_iter().chain([entry["outcome"].as_str()]).flatten().map(printable);
        writeln!(out, "{}", words.collect::<Vec<_>>().join("  "))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(client: &Client) -> anyhow::Result<Vec<Value>> {
    let answer = client.get("/v1/tokens", Duration::ZERO).await?.good()?;
    Ok(answer["tokens"].as_array().cloned().unwrap_or_default())
}

/// The id of the token with this id, or the one with this name.
fn pick(tokens: &[Value], wanted: &str) -> anyhow::Result<String> {
    let id = |token: &Value| token["id"].as_str().map(str::to_owned);
    let by_id = tokens.iter().find(|token| token["id"] == wanted);
    let mut named = tokens.iter().filter(|token| token["name"] == wanted);
    let found = match (by_id, named.next(), named.next()) {
        (Some(token), ..) | (None, Some(token), None) => id(token),
        (None, Some(_), Some(_)) => bail!("several tokens are called `{wanted}`; give its id"),
        (None, None, _) => None,
    };
    found.ok_or_else(|| anyhow!("no token `{wanted}`; `plugline token list` shows all"))
}

fn show(made: &Value, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{made}")?;
    } else {
        writeln!(out, "{}", line(made))?;
        writeln!(out, "{}", made["token"].as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn line(token: &Value) -> String {
    let word = |name: &str| printable(token[name].as_str().unwrap_or(NOTHING));
    let devices = token["devices"].as_array().map_or_else(
        || "all devices".to_owned(),
        |ids| ids.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
    );
    let end = ["retires_at", "expires_at"].into_iter().find_map(|name| token[name].as_str());
    let end = end.map(|end| format!("  ends {end}")).unwrap_or_default();
    let scope = token["scopes"][0].as_str().unwrap_or(NOTHING);
    format!("{}  {}  {scope}  {devices}  last used {}{end}", word("id"), word("name"), word("last_used_at"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_id_or_by_a_name_that_no_other_has() {
        let tokens = [
            json!({ "id": "tok_a", "name": "Tablet" }),
            json!({ "id": "tok_b", "name": "Tablet" }),
            json!({ "id": "tok_c", "name": "tok_a" }),
        ];
        assert_eq!(pick(&tokens, "tok_a").expect("by id"), "tok_a");
        assert!(pick(&tokens, "Tablet").expect_err("two").to_string().contains("several"));
        assert!(pick(&tokens, "Phone").expect_err("none").to_string().contains("no token"));
    }

    #[test]
    fn a_line_tells_what_a_token_may_and_when_it_ends() {
        let token = json!({ "id": "tok_a", "name": "Tablet\u{1b}", "scopes": ["switch"], "devices": ["lamp"],
            "last_used_at": null, "expires_at": "2026-12-01T00:00:00.000Z" });
        assert_eq!(line(&token), "tok_a  Tablet?  switch  lamp  last used -  ends 2026-12-01T00:00:00.000Z");
    }
}
