//! `plugline replay`: the whole gateway in front of a recording instead of a port.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tokio::sync::oneshot;

use crate::cli::demo::{StateFolder, quoted};
use crate::cli::{ConfigFile, capture, gateway};
use crate::config::{self, AS_RECORDED, Config, LineConfig, Pace, Place, Shown};
use crate::device::LineName;
use crate::frames;
use crate::port::recording::{Header, What};
use crate::port::replay::Reader;
use crate::run::Addresses;

/// Highest `--speed`; beyond it `--fast` is meant.
const SPEED_MAX: f64 = 100_000.0;

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A recording by `plugline capture`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// So many times the recorded speed
    #[arg(long, value_name = "N", value_parser = speed, conflicts_with = "fast")]
    speed: Option<Pace>,
    /// As fast as it goes
    #[arg(long)]
    fast: bool,
    /// Take the line's options and devices from this configuration [default: every device that the recording shows]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which line of that configuration [default: the recorded one's name, or the only one]
    #[arg(long, value_name = "NAME", requires = "config")]
    line: Option<String>,
    /// Where the HTTP API listens [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0", hide_default_value = true)]
    http: SocketAddr,
    /// Use this broker instead of one of its own; the topics are cleared at the end
    #[arg(long, value_name = "URL")]
    mqtt: Option<String>,
    /// Keep everything in this folder [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print the addresses as one line of JSON
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<Pace, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (0.001..=SPEED_MAX).contains(speed));
    let thousandths = speed.map(|speed| (speed * 1000.0).round());
    // In range, so nothing is cut off.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0.001 … 100000 times 1000 fits"
    )]
    let pace = thousandths.map(|thousandths| Pace::Milli(thousandths as u32));
    pace.ok_or_else(|| format!("a speed is 0.001 … {SPEED_MAX}"))
}

/// Runs the gateway on a recording until Ctrl-C.
///
/// # Errors
/// When the recording, the configuration, the state folder or a listener cannot be used.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let stop = gateway::told_to_stop()?;
    let file = &arguments.file;
    let (header, shown) = survey(file).with_context(|| file.display().to_string())?;
    let mut line = match &arguments.config {
        Some(path) => configured(path, arguments.line.as_deref(), &header)?,
        None => recorded(&header, &shown)?,
    };
    let pace = if arguments.fast { Pace::Fast } else { arguments.speed.unwrap_or(AS_RECORDED) };
    line.port = Place::Replay { file: file.clone(), pace };
    line.capture = None;
    let state = StateFolder::make(arguments.state)?;
    let mut config = around(&state.path, arguments.http, arguments.mqtt.as_deref())?;
    config.lines = vec![line];
    config.mqtt.clear_at_end = true;
    let (ready, up) = oneshot::channel();
    let (file, json) = (file.clone(), arguments.json);
    tokio::spawn(async move {
        if let Ok(addresses) = up.await
            && let Err(error) = announce(&addresses, &file, json)
        {
            tracing::debug!("nobody reads the addresses: {error}");
        }
    });
    crate::run::run(config, ready, stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the whole recording once: whose it is, and which devices it shows.
fn survey(file: &Path) -> anyhow::Result<(Header, Shown)> {
    let mut reader = Reader::open(file)?;
    let (mut decoder, mut dialect) = (None, String::new());
    let mut shown = Shown::new();
    while let Some(entry) = reader.next() {
        let What::From(bytes) = entry?.what else { continue };
        if let (None, Some(header)) = (&decoder, reader.header()) {
            decoder = frames::dialect(&header.dialect).map(|dialect| (dialect.stream)());
            header.dialect.clone_into(&mut dialect);
        }
        let Some(decoder) = &mut decoder else { continue };
        decoder.push(&bytes);
        while let Some(frame) = decoder.next_decoded() {
            frame.iter().for_each(|frame| config::note(&dialect, frame, &mut shown));
        }
    }
    let header = reader.header().context("the header is not whole; is it a recording?")?.clone();
    Ok((header, shown))
}

fn configured(path: &Path, name: Option<&str>, header: &Header) -> anyhow::Result<LineConfig> {
    let (_, mut config) = gateway::load(&ConfigFile { config: Some(path.to_owned()) })?;
    let same = config.lines.iter().any(|line| line.name.as_str() == header.line);
    let index = capture::pick(&config, name.or(same.then_some(&header.line)))?;
    Ok(config.lines.swap_remove(index))
}

/// A line as the recording tells it, with every device that it shows.
fn recorded(header: &Header, shown: &Shown) -> anyhow::Result<LineConfig> {
    let name = LineName::parse(&header.line).map_or(header.dialect.as_str(), |_| header.line.as_str());
    let line = format!(
        "[[line]]\nname = {}\ndialect = {}\nport = \"replay:-\"\n",
        quoted(name),
        quoted(&header.dialect)
    );
    let parse = |text: &str| Config::parse(text, std::iter::empty(), &|path| std::fs::read_to_string(path));
    let empty = parse(&line).context("the recording's header")?;
    // Addresses that mean no one device, as a broadcast's, are not devices.
    let device = |(address, keys): (&String, &String)| {
        format!("[[line.device]]\naddress = {}\n{keys}", quoted(address))
    };
    let devices: String =
        shown.iter().map(device).filter(|device| parse(&format!("{line}{device}")).is_ok()).collect();
    let config = if devices.is_empty() { empty } else { parse(&format!("{line}{devices}"))? };
    config.lines.into_iter().next().context("the recording has no line")
}

fn around(state: &Path, http: SocketAddr, broker: Option<&str>) -> anyhow::Result<Config> {
    let broker = match broker {
        Some(url) => format!("[mqtt]\nbroker = {}\n", quoted(url)),
        None => "[mqtt.embedded]\nlisten = \"127.0.0.1:0\"\n".to_owned(),
    };
    let dir = quoted(&state.display().to_string());
    let text = format!("[http]\nlisten = \"{http}\"\n{broker}[store]\ndir = {dir}\n");
    Ok(Config::parse(&text, std::iter::empty(), &|path| std::fs::read_to_string(path))?)
}

fn announce(addresses: &Addresses, file: &Path, json: bool) -> io::Result<()> {
    let (http, mqtt) = (format!("http://{}", addresses.http), &addresses.mqtt);
    let mut out = io::stdout().lock();
    if json {
        let line = serde_json::json!({ "http": http, "mqtt": mqtt, "file": file.display().to_string() });
        writeln!(out, "{line}")?;
        return out.flush();
    }
    writeln!(out, "Replaying {}.\n\n  HTTP    {http}\n  MQTT    {mqtt}\n", file.display())?;
    writeln!(out, "  curl '{http}/v1/events?after=earliest'\n\nCtrl-C ends it.")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_positive_number_that_is_not_endless() {
        assert_eq!(speed("1"), Ok(AS_RECORDED));
        assert_eq!(speed("0.5"), Ok(Pace::Milli(500)));
        assert_eq!(speed("100000"), Ok(Pace::Milli(100_000_000)));
        for bad in ["0", "-1", "fast", "inf", "NaN", "100001", ""] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }
}
