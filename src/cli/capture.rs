//! `plugline capture`: the gateway with what passes one port written into a file, until Ctrl-C.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

use crate::cli::{ConfigFile, gateway};
use crate::config::Config;
use crate::frames::Interpreter;
use crate::port::pcap::{self, Packet};
use crate::port::recording::{Header, What};
use crate::port::replay::Reader;

/// Arguments of the verb.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The recording; a file that exists is not overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
    /// Which line [default: the only one]
    #[arg(long, value_name = "NAME")]
    line: Option<String>,
    /// When it ends, write the same for Wireshark into this file
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// End by itself after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// Runs the gateway and records one of its lines.
///
/// # Errors
/// As [`gateway::run`]; when the line is not known, or the file exists or cannot be made.
pub async fn run(arguments: Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let (_, mut config) = gateway::load(&arguments.config)?;
    let index = pick(&config, arguments.line.as_deref())?;
    let file = arguments.file;
    make(&file)?;
    if let Some(pcap) = &arguments.pcap {
        make(pcap).inspect_err(|_| forget(&file))?;
    }
    let line = &mut config.lines[index];
    writeln!(out, "Recording line {} on {} into {}; Ctrl-C ends it.", line.name, line.port, file.display())?;
    out.flush()?;
    line.capture = Some(file.clone());
    let told = gateway::told_to_stop()?;
    let over = async move {
        match arguments.seconds {
            Some(seconds) => tokio::select! {
                () = told => {}
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            },
            None => told.await,
        }
    };
    let (ready, _) = oneshot::channel();
    let ended = crate::run::run(config, ready, over).await;
    ended.inspect_err(|_| forget(&file))?;
    let (from, to) = count(&file).with_context(|| file.display().to_string())?;
    writeln!(out, "{from} chunks from the line and {to} to it are in {}.", file.display())?;
    if let Some(pcap) = &arguments.pcap {
        let packets = export(&file, pcap).with_context(|| pcap.display().to_string())?;
        writeln!(out, "{packets} packets for Wireshark are in {}.", pcap.display())?;
    }
    writeln!(out, "Passwords of meters are among them. `plugline replay` plays it.")?;
    Ok(ExitCode::SUCCESS)
}

/// The line that is meant.
///
/// # Errors
/// When it is not there, or none is named among several.
pub(super) fn pick(config: &Config, name: Option<&str>) -> anyhow::Result<usize> {
    let names: Vec<&str> = config.lines.iter().map(|line| line.name.as_str()).collect();
    let listed = names.join(", ");
    match name {
        Some(name) => {
            let found = names.iter().position(|known| *known == name);
            found.with_context(|| format!("no line is called `{name}`; there are: {listed}"))
        }
        None if names.len() == 1 => Ok(0),
        None if names.is_empty() => anyhow::bail!("the configuration has no line"),
        None => anyhow::bail!("which line? Give --line NAME; there are: {listed}"),
    }
}

/// Makes the file, empty, so that what stands in the way is known before anything starts.
fn make(file: &Path) -> anyhow::Result<()> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    made.map(drop).with_context(|| file.display().to_string())
}

/// Removes what [`make`] made, and only that.
fn forget(file: &Path) {
    if std::fs::metadata(file).is_ok_and(|found| found.len() == 0) {
        // It is empty; that it stays harms nobody.
        let _ = std::fs::remove_file(file);
    }
}

/// Writes a recording for Wireshark; gives the packets.
fn export(recording: &Path, to: &Path) -> anyhow::Result<u64> {
    let mut reader = Reader::open(recording)?;
    let mut file = BufWriter::new(std::fs::OpenOptions::new().write(true).open(to)?);
    file.write_all(&pcap::HEADER)?;
    let (mut packets, mut packet) = (0, Vec::new());
    let mut about: Option<(Duration, String, Interpreter)> = None;
    while let Some(entry) = reader.next() {
        let entry = entry?;
        let (start, protocol, interpreter) = match &mut about {
            Some(about) => about,
            none => none.insert(about_of(reader.header().context("a recording begins with its header")?)?),
        };
        let (received, info, bytes) = match &entry.what {
            What::From(bytes) => (true, interpreter.received(bytes), bytes),
            What::To(bytes) => (false, interpreter.written(bytes), bytes),
            What::Open | What::Lost(_) | What::Missed(_) => continue,
        };
        packet.clear();
        Packet { at: *start + entry.at, received, protocol, info: &info, bytes }.append(&mut packet);
        file.write_all(&packet)?;
        packets += 1;
    }
    file.flush()?;
    Ok(packets)
}

/// When it began, its dialect, and who understands that.
fn about_of(header: &Header) -> anyhow::Result<(Duration, String, Interpreter)> {
    let start: jiff::Timestamp = header.start.parse().context("`start` of the recording")?;
    let start = Duration::from_micros(u64::try_from(start.as_microsecond()).unwrap_or_default());
    let interpreter = Interpreter::new(&header.dialect).context("a recording of an unknown dialect")?;
    Ok((start, header.dialect.clone(), interpreter))
}

/// Chunks from the line and to it.
fn count(file: &Path) -> std::io::Result<(u64, u64)> {
    let (mut from, mut to) = (0, 0);
    for entry in Reader::open(file)? {
        match entry?.what {
            What::From(_) => from += 1,
            What::To(_) => to += 1,
            _ => {}
        }
    }
    Ok((from, to))
}
