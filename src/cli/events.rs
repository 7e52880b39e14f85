//! `plugline events`: follows the feed, one line per event, and goes on after a cut where it stopped.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Stream};
use super::sockets::printable;
use super::sse::Message;

/// Pause after the first failed try to connect again; doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Prints events after `since` (a cursor, `earliest` or `now`) until nobody reads them any more.
///
/// # Errors
/// When the first connection fails; later ones are tried again for ever.
pub async fn run(client: &Client, since: &str, json: bool, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    // Anything but letters, digits and dots is refused by the gateway anyway; here it must not change the path.
    let word: String = since.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    anyhow::ensure!(word == since, "`{since}` is not a cursor, `earliest` or `now`");
    let path = format!("/v1/events?after={since}");
    let mut stream = client.stream(&path, None).await?;
    let mut at: Option<String> = None;
    loop {
        let ended = follow(&mut stream, json, out).await;
        at = stream.last_id().map(str::to_owned).or(at);
        match ended {
            Ended::NobodyReads => return Ok(ExitCode::SUCCESS),
            Ended::CannotWrite(error) => return Err(error.into()),
            Ended::Cut => stream = again(client, &path, at.as_deref(), stream.retry_ms()).await,
        }
    }
}

enum Ended {
    /// The connection is over.
    Cut,
    /// Our output was closed: `plugline events | head`.
    NobodyReads,
    CannotWrite(std::io::Error),
}

async fn follow(stream: &mut Stream, json: bool, out: &mut impl Write) -> Ended {
    loop {
        let message = match stream.next().await {
            Ok(Some(message)) => message,
            Ok(None) | Err(_) => return Ended::Cut,
        };
        let written = show(&message, json, out).and_then(|()| out.flush());
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ended::NobodyReads,
            Err(error) => return Ended::CannotWrite(error),
        }
    }
}

async fn again(client: &Client, path: &str, at: Option<&str>, retry_ms: Option<u64>) -> Stream {
    let mut pause = retry_ms.map_or(PAUSE_FIRST, Duration::from_millis).min(PAUSE_FIRST);
    let mut said = false;
    loop {
        tokio::time::sleep(pause).await;
        match client.stream(path, at).await {
            Ok(stream) => {
                if said {
                    eprintln!("connected again");
                }
                return stream;
            }
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    eprintln!("the feed was cut: {error:#}; trying again");
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

fn show(message: &Message, json: bool, out: &mut impl Write) -> std::io::Result<()> {
    match (message.event.as_str(), json) {
        ("hello", _) => Ok(()),
        ("reset", true) => {
            // Not an Event: kept out of what programs read.
            eprintln!("{}", lost(&message.data));
            Ok(())
        }
        ("reset", false) => writeln!(out, "{}", lost(&message.data)),
        (_, true) => writeln!(out, "{}", message.data),
        (_, false) => writeln!(out, "{}", line(&message.data)),
    }
}

/// What a `reset` means, for people.
fn lost(data: &str) -> String {
    let problem: Value = serde_json::from_str(data).unwrap_or(Value::Null);
    let detail = problem["detail"].as_str().unwrap_or("the cursor is outside of what is kept");
    let kept = problem["oldest"].as_str().unwrap_or("?");
    let latest = problem["latest"].as_str().unwrap_or("?");
    printable(&format!(
        "-- events were missed: {detail} Kept are those after {kept}; going on after {latest}."
    ))
}

/// One event for people: time, id, kind, device, data.
fn line(data: &str) -> String {
    let Ok(event) = serde_json::from_str::<Value>(data) else { return printable(data) };
    let word = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let what = match event["kind"].as_str() {
        Some("command") => format!("{} {}", text(&event["data"]["command"]), text(&event["data"]["state"])),
        Some("device") => {
            format!("{} {}", text(&event["data"]["change"]), text(&event["data"]["device"]["name"]))
        }
        _ => members(&event["data"]),
    };
    let flags: Vec<&str> =
        ["late", "estimated", "t_estimated"].into_iter().filter(|flag| event[*flag] == true).collect();
    let flags = if flags.is_empty() { String::new() } else { format!("  [{}]", flags.join(" ")) };
    printable(&format!(
        "{}  {}  {:<12}  {}  {what}{flags}",
        word("t"),
        word("id"),
        word("kind"),
        word("device")
    ))
}

fn members(data: &Value) -> String {
    let members = data.as_object().into_iter().flatten();
    members.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_for_people() {
        let event = r#"{"id":"k3f9q2mz.7","t":"2026-11-18T11:06:40.123Z","kind":"reading","gateway":"gw_a","device":"d","data":{"power_w":41.7},"late":true}"#;
        assert_eq!(
            line(event),
            "2026-11-18T11:06:40.123Z  k3f9q2mz.7  reading       d  power_w=41.7  [late]"
        );
    }

    #[test]
    fn a_reset_says_what_was_lost() {
        let problem = r#"{"detail":"Gone.","oldest":"e.5","latest":"e.9"}"#;
        assert_eq!(
            lost(problem),
            "-- events were missed: Gone. Kept are those after e.5; going on after e.9."
        );
    }
}
