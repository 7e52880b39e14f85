//! The text of a recording: what its lines say, written and read back. Pure; the files are `recorder.rs`'s and `replay.rs`'s.
//!
//! Spec: protocol-spec/capture.md

use std::fmt::{self, Write as _};
use std::time::Duration;

/// The first line of every recording.
pub const FIRST: &str = "plugline-capture 1";

/// Most bytes that one entry holds; longer chunks become several.
pub const CHUNK_MAX: usize = 4096;

/// Longest line, its line feed apart: a chunk in hex, its time, and room for a long path or reason.
pub const LINE_MAX: usize = 2 * CHUNK_MAX + 1024;

/// Latest time of an entry in seconds: thirty years, which no sum of durations overflows.
const SECONDS_MAX: u64 = 1_000_000_000;

/// What stands at the top of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// When it begins, RFC 3339.
    pub start: String,
    /// Name of the line.
    pub line: String,
    /// Its dialect.
    pub dialect: String,
    /// Its port.
    pub port: String,
}

/// One line of a recording: what happened at the port, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Since the start; whole microseconds, never less than the entry before.
    pub at: Duration,
    /// What happened.
    pub what: What,
}

/// What happened at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was opened.
    Open,
    /// It could not be opened, or is gone, and why; one line of text.
    Lost(String),
    /// Bytes came from the line; 1 … [`CHUNK_MAX`].
    From(Vec<u8>),
    /// Bytes went to the line; 1 … [`CHUNK_MAX`].
    To(Vec<u8>),
    /// So many entries are missing here: the disk was too slow.
    Missed(u64),
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, line, dialect, port } = self;
        writeln!(f, "{FIRST}")?;
        writeln!(
            f,
            "# Every byte of a line, passwords of meters included. Look at it before you pass it on."
        )?;
        for (key, value) in [("start", start), ("line", line), ("dialect", dialect), ("port", port)] {
            writeln!(f, "{key} {}", one_line(value))?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} ", self.at.as_secs(), self.at.subsec_micros())?;
        match &self.what {
            What::Open => f.write_str("open")?,
            What::Lost(reason) => write!(f, "lost {}", one_line(reason))?,
            What::From(bytes) => write!(f, "< {}", hex(bytes))?,
            What::To(bytes) => write!(f, "> {}", hex(bytes))?,
            What::Missed(count) => write!(f, "missed {count}")?,
        }
        f.write_char('\n')
    }
}

/// Text without line ends and other control characters, and not endless; never empty.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let kept: String = plain.take(200).collect();
    let kept = kept.trim();
    if kept.is_empty() { "-".into() } else { kept.into() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line that does not belong into a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {text}")]
pub struct BadLine {
    /// From 1.
    pub number: u64,
    /// Got and wanted.
    pub text: String,
}

/// Reads a recording line by line.
#[derive(Debug, Default)]
pub struct Parser {
    number: u64,
    header: Header,
    last: Duration,
}

impl Parser {
    /// Takes the next line, without its line feed. `None` for the header, for comments and for empty lines.
    ///
    /// # Errors
    /// [`BadLine`]; nothing behind it should be trusted.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Entry>, BadLine> {
        self.number += 1;
        let read = std::str::from_utf8(line)
            .map_err(|_| "it is no UTF-8 text".to_owned())
            .and_then(|line| self.read(line.strip_suffix('\r').unwrap_or(line)));
        read.map_err(|text| BadLine { number: self.number, text })
    }

    /// The header, once it is whole.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.missing().is_none().then_some(&self.header)
    }

    fn missing(&self) -> Option<&'static str> {
        let Header { start, line, dialect, port } = &self.header;
        let keys = [("start", start), ("line", line), ("dialect", dialect), ("port", port)];
        keys.into_iter().find(|(_, value)| value.is_empty()).map(|(key, _)| key)
    }

    fn read(&mut self, line: &str) -> Result<Option<Entry>, String> {
        if self.number == 1 {
            return (line == FIRST)
                .then_some(None)
                .ok_or_else(|| format!("no recording starts with {}; wanted `{FIRST}`", shown(line)));
        }
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.starts_with(|c: char| c.is_ascii_digit()) {
            return self.entry(line).map(Some);
        }
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let header = &mut self.header;
        let slot = match key {
            "start" => &mut header.start,
            "line" => &mut header.line,
            "dialect" => &mut header.dialect,
            "port" => &mut header.port,
            _ => return Err(format!("got {}, wanted a time, `#` or a key of the header", shown(line))),
        };
        if !slot.is_empty() || value.is_empty() {
            return Err(format!("`{key}` stands once, with a value"));
        }
        value.clone_into(slot);
        Ok(None)
    }

    fn entry(&mut self, line: &str) -> Result<Entry, String> {
        if let Some(key) = self.missing() {
            return Err(format!("the header has no `{key}`"));
        }
        let (at, rest) = line.split_once(' ').unwrap_or((line, ""));
        let at = time(at).ok_or_else(|| format!("got {}, wanted seconds with six decimals", shown(at)))?;
        if at < self.last {
            return Err("its time is earlier than that of the entry before".into());
        }
        let (word, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let what = match word {
            "open" if value.is_empty() => What::Open,
            "lost" if !value.is_empty() => What::Lost(value.to_owned()),
            "<" => What::From(bytes(value)?),
            ">" => What::To(bytes(value)?),
            "missed" => What::Missed(count(value).ok_or("`missed` wants a number")?),
            _ => {
                let got = shown(rest);
                return Err(format!(
                    "got {got}, wanted `open`, `lost REASON`, `< HEX`, `> HEX` or `missed N`"
                ));
            }
        };
        self.last = at;
        Ok(Entry { at, what })
    }
}

/// Digits and nothing else; `parse` alone would take a sign.
fn count(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn time(text: &str) -> Option<Duration> {
    let (seconds, micros) = text.split_once('.')?;
    let seconds = count(seconds).filter(|seconds| *seconds <= SECONDS_MAX)?;
    let micros = count(micros).filter(|_| micros.len() == 6)?;
    Some(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    let bytes = bytes.ok_or_else(|| format!("got {}, wanted pairs of hex digits", shown(text)))?;
    match bytes.len() {
        1..=CHUNK_MAX => Ok(bytes),
        length => Err(format!("got {length} bytes, wanted 1 … {CHUNK_MAX}")),
    }
}

/// The beginning of a text, harmless on a terminal.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("`{}`", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "plugline-capture 1\nstart 2026-11-21T10:00:00.000Z\nline a\ndialect dlt645\nport /dev/x\n";

    fn parse(text: &str) -> Result<Vec<Entry>, BadLine> {
        let mut parser = Parser::default();
        let entries = text.lines().filter_map(|line| parser.line(line.as_bytes()).transpose());
        entries.collect()
    }

    #[test]
    fn a_recording_is_read_as_it_is_documented() {
        let text = format!(
            "{HEADER}# a note\n\n0.000000 open\n0.000215 > fe68\r\n12.345678 < 16\n13.000000 missed 3\n14.000000 lost the cable\n"
        );
        let entries = parse(&text).expect("it is right");
        assert_eq!(entries.len(), 5);
        assert_eq!(entries[1].what, What::To(vec![0xfe, 0x68]));
        assert_eq!(entries[2].at, Duration::from_micros(12_345_678));
        assert_eq!(entries[4].what, What::Lost("the cable".into()));
    }

    #[test]
    fn a_line_that_does_not_belong_is_refused_with_its_number() {
        for (line, part) in [
            ("0.000000", "wanted `open`"),
            ("0.0 open", "six decimals"),
            ("+1.000000 open", "got `+1"),
            ("0.+00000 open", "six decimals"),
            ("9999999999.000000 open", "six decimals"),
            ("0.000000 open wide", "wanted `open`"),
            ("0.000000 lost", "wanted `open`"),
            ("0.000000 < ", "1 … 4096"),
            ("0.000000 < 1", "pairs"),
            ("0.000000 < 1g", "pairs"),
            ("0.000000 < éé", "pairs"),
            ("0.000000 missed x", "a number"),
            ("port /dev/y", "stands once"),
            ("colour red", "a key of the header"),
        ] {
            let error = parse(&format!("{HEADER}{line}\n")).expect_err(line);
            assert_eq!(error.number, 6, "{error}");
            assert!(error.text.contains(part), "{line}: {error}");
        }
        let backwards = parse(&format!("{HEADER}1.000000 open\n0.999999 open\n")).expect_err("backwards");
        assert_eq!(backwards.number, 7);
        assert!(
            parse("plugline-capture 2\n").expect_err("another version").to_string().starts_with("line 1:")
        );
        let headless = parse("plugline-capture 1\nline a\n0.000000 open\n").expect_err("no header");
        assert!(headless.text.contains("`start`"), "{headless}");
    }

    #[test]
    fn text_with_line_ends_stays_on_its_line() {
        let entry = Entry { at: Duration::ZERO, what: What::Lost("a\nb\u{1b}[2J".into()) };
        assert_eq!(entry.to_string(), "0.000000 lost a b [2J\n");
    }
}
