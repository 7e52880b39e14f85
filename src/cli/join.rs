//! `plugline join`: opens a joining window and tells what comes, until it closes.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::locate::Gateway;
use super::sockets::printable;
use super::switch::{find, known};

/// Each look at the feed is held this long by the gateway.
const LOOK_S: u64 = 20;

/// What to let join.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the line; needed only where devices can join several and no code tells
    line: Option<String>,
    /// How long, 1 … 600 s
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only the device with this code on its label, linked without touching it
    #[arg(long)]
    code: Option<String>,
    /// Which gateway
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Success when a device joined.
///
/// # Errors
/// When the window is refused, or the gateway cannot be asked.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let client = arguments.gateway.client()?;
    let start = client.get("/v1/events?after=now", Duration::ZERO).await?.good()?;
    let cursor = cursor_of(&start)?;
    let mut body = json!({ "seconds": arguments.seconds });
    for (field, given) in [("line", &arguments.line), ("code", &arguments.code)] {
        if let Some(given) = given {
            body[field] = given.as_str().into();
        }
    }
    let window = client.post("/v1/joining", &body, Duration::ZERO).await?.good()?;
    let line = window["line"].as_str().context("the gateway opened a window without a line")?.to_owned();
    if !arguments.gateway.json {
        writeln!(out, "{line} is open for {} s{}", arguments.seconds, what_to_do(&window))?;
        out.flush()?;
    }
    let joined = tokio::select! {
        joined = follow(&client, &line, cursor, arguments.gateway.json, out) => joined?,
        _ = tokio::signal::ctrl_c() => {
            client.delete(&format!("/v1/joining?line={line}")).await?.good()?;
            eprintln!("{line} is closed");
            return Ok(ExitCode::FAILURE);
        }
    };
    if joined == 0 && !arguments.gateway.json {
        writeln!(out, "nothing joined")?;
    }
    Ok(if joined > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn what_to_do(window: &Value) -> String {
    match window["code"].as_str() {
        Some(code) => format!(": linking {code}"),
        None => ": hold the button of the device until it blinks or beeps; Ctrl-C closes".to_owned(),
    }
}

fn cursor_of(answer: &Value) -> anyhow::Result<String> {
    Ok(answer["cursor"].as_str().context("the feed's answer has no cursor")?.to_owned())
}

/// Tells of the window until it is closed; how many devices joined.
async fn follow(
    client: &Client,
    line: &str,
    mut cursor: String,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    let mut joined = 0;
    loop {
        let path = format!("/v1/events?after={cursor}&wait={LOOK_S}&kind=gateway");
        let answer = client.get(&path, Duration::from_secs(LOOK_S)).await?.good()?;
        cursor = cursor_of(&answer)?;
        let events = answer["events"].as_array().cloned().unwrap_or_default();
        let ours = events.iter().filter(|event| {
            event["data"]["event"] == "joining" && event["data"]["line"].as_str() == Some(line)
        });
        for event in ours {
            let state = event["data"]["state"].as_str().unwrap_or_default();
            joined += usize::from(state == "joined");
            if json {
                writeln!(out, "{event}")?;
            } else if let Some(told) = tell(client, &event["data"], state).await? {
                writeln!(out, "{told}")?;
            }
            out.flush()?;
            if state == "closed" {
                return Ok(joined);
            }
        }
    }
}

async fn tell(client: &Client, data: &Value, state: &str) -> anyhow::Result<Option<String>> {
    Ok(match state {
        "joined" => {
            let id = data["device"].as_str().unwrap_or_default();
            let devices = known(client).await?;
            let name = find(&devices, id).ok().and_then(|device| device["name"].as_str()).unwrap_or(id);
            Some(format!("joined: {} ({id})", printable(name)))
        }
        "failed" => {
            Some(format!("not yet: {}", printable(data["error"]["detail"].as_str().unwrap_or_default())))
        }
        _ => None,
    })
}
