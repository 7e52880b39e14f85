//! `plugline decode`: bytes of a dialect as hex in, one JSON object a frame out.
//!
//! Owns hex and JSON; what a frame says is the dialect's. With arguments, each is exactly one frame. From a stream,
//! each line is a chunk of bytes as a port delivers them: frames may be split over lines, and what is unfinished at
//! the end is malformed.

use std::io::{self, BufRead, ErrorKind, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::json::{ReadingView, text};
use crate::line::framing::StreamDecoder;
use crate::line::{Decoded, DecodedFrame, Malformed, Value, dlt645, insteon, plugline};

/// Where the hex comes from.
pub enum Input<'a> {
    /// One frame each.
    Frames(&'a [String]),
    /// Chunks, one a line.
    Stream(&'a mut dyn BufRead),
}

/// A dialect that can be decoded.
struct Dialect {
    name: &'static str,
    one: fn(&[u8]) -> DecodedFrame,
    stream: fn() -> Box<dyn StreamDecoder>,
}

const DIALECTS: [Dialect; 3] = [
    Dialect {
        name: "dlt645",
        one: dlt645::decode::decode,
        stream: || Box::<dlt645::frame::Framer>::default(),
    },
    Dialect {
        name: "insteon",
        one: insteon::decode::decode,
        stream: || Box::<insteon::frame::Framer>::default(),
    },
    Dialect {
        name: "plugline",
        one: plugline::decode::decode,
        stream: || Box::<plugline::decode::Packets>::default(),
    },
];

/// Names of the dialects, in order.
pub fn dialects() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().map(|dialect| dialect.name)
}

/// Takes a stream of a dialect's bytes apart; `None` for a dialect that is not known.
#[must_use]
pub fn stream_of(dialect: &str) -> Option<Box<dyn StreamDecoder>> {
    DIALECTS.iter().find(|known| known.name == dialect).map(|known| (known.stream)())
}

/// What one chunk of a recording says: frames that came to their end in it, or the one that was written.
pub(super) struct Interpreter {
    dialect: &'static Dialect,
    stream: Box<dyn StreamDecoder>,
}

impl Interpreter {
    /// `None` for a dialect that is not known.
    pub(super) fn new(dialect: &str) -> Option<Self> {
        let dialect = DIALECTS.iter().find(|known| known.name == dialect)?;
        Some(Self { dialect, stream: (dialect.stream)() })
    }

    /// Bytes that came from the line.
    pub(super) fn received(&mut self, bytes: &[u8]) -> String {
        self.stream.push(bytes);
        let mut said = Vec::new();
        while let Some(frame) = self.stream.next_decoded() {
            said.push(text(&Shown { dialect: self.dialect.name, frame: &frame }));
        }
        said.join(" ")
    }

    /// Bytes that went to the line. What a modem is told need not be a frame of the line.
    pub(super) fn written(&self, bytes: &[u8]) -> String {
        let frame = (self.dialect.one)(bytes);
        match frame {
            Ok(_) => text(&Shown { dialect: self.dialect.name, frame: &frame }),
            Err(_) => String::new(),
        }
    }
}

/// Decodes `input` and writes a line per frame to `out`; `true` if every one was good.
///
/// A reader that went away ends the work without an error.
///
/// # Errors
/// An unknown dialect; input that cannot be read, output that cannot be written.
pub fn run(dialect: &str, input: Input<'_>, out: &mut dyn Write) -> anyhow::Result<bool> {
    let Some(dialect) = DIALECTS.iter().find(|known| known.name == dialect) else {
        let known = dialects().collect::<Vec<_>>().join(", ");
        anyhow::bail!("unknown dialect `{dialect}`; known are: {known}");
    };
    let mut report = Report { dialect: dialect.name, out, all_good: true };
    let done = match input {
        Input::Frames(texts) => frames(dialect, texts, &mut report),
        Input::Stream(lines) => stream(dialect, lines, &mut report),
    };
    match done {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(report.all_good),
        other => Ok(other.map(|()| report.all_good)?),
    }
}

fn frames(dialect: &Dialect, texts: &[String], report: &mut Report<'_>) -> io::Result<()> {
    for text in texts {
        let mut hex = Hex::default();
        let bytes = match hex.decode(text.as_bytes()).and_then(|bytes| hex.end().map(|()| bytes)) {
            Ok(bytes) => bytes,
            Err(malformed) => {
                report.tell(Err(malformed))?;
                continue;
            }
        };
        report.tell((dialect.one)(&bytes))?;
    }
    report.out.flush()
}

fn stream(dialect: &Dialect, lines: &mut dyn BufRead, report: &mut Report<'_>) -> io::Result<()> {
    let mut decoder = (dialect.stream)();
    let mut hex = Hex::default();
    loop {
        let buffer = match lines.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        for piece in buffer.split_inclusive(|byte| *byte == b'\n') {
            let bytes = hex.decode(piece);
            let ended = if piece.ends_with(b"\n") { hex.end() } else { Ok(()) };
            match bytes {
                Ok(bytes) => decoder.push(&bytes),
                Err(malformed) => report.tell(Err(malformed))?,
            }
            report.drain(&mut *decoder)?;
            if let Err(malformed) = ended {
                report.tell(Err(malformed))?;
            }
        }
        let used = buffer.len();
        lines.consume(used);
        report.out.flush()?;
    }
    if let Err(malformed) = hex.end() {
        report.tell(Err(malformed))?;
    }
    decoder.end();
    report.drain(&mut *decoder)?;
    report.out.flush()
}

/// Hex digits becoming bytes, a line at a time, in any portions. After a character that is no digit the rest of its
/// portion and line is skipped.
#[derive(Default)]
struct Hex {
    high: Option<u8>,
    /// Characters of this line so far.
    offset: usize,
    skipping: bool,
}

impl Hex {
    fn decode(&mut self, text: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut bytes = Vec::with_capacity(text.len() / 2);
        for &character in text {
            let offset = self.offset;
            self.offset += 1;
            if self.skipping || character.is_ascii_whitespace() {
                continue;
            }
            let Some(digit) = char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
            else {
                self.skipping = true;
                self.high = None;
                let detail = format!("got `{}`, wanted a hex digit", char::from(character).escape_default());
                return Err(Malformed { kind: "hex", offset, detail });
            };
            match self.high.take() {
                None => self.high = Some(digit),
                Some(high) => bytes.push(high << 4 | digit),
            }
        }
        Ok(bytes)
    }

    /// The line ends; the next one starts anew.
    fn end(&mut self) -> Result<(), Malformed> {
        let Self { high, offset, .. } = std::mem::take(self);
        let detail = "got half a byte, wanted two digits each".to_owned();
        high.map_or(Ok(()), |_| Err(Malformed { kind: "hex", offset, detail }))
    }
}

struct Report<'a> {
    dialect: &'static str,
    out: &'a mut dyn Write,
    all_good: bool,
}

impl Report<'_> {
    fn drain(&mut self, decoder: &mut dyn StreamDecoder) -> io::Result<()> {
        while let Some(next) = decoder.next_decoded() {
            self.tell(next)?;
        }
        Ok(())
    }

    fn tell(&mut self, frame: DecodedFrame) -> io::Result<()> {
        self.all_good &= frame.is_ok();
        serde_json::to_writer(&mut *self.out, &Shown { dialect: self.dialect, frame: &frame })
            .map_err(io::Error::from)?;
        self.out.write_all(b"\n")
    }
}

struct Shown<'a> {
    dialect: &'static str,
    frame: &'a DecodedFrame,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ok", &self.frame.is_ok())?;
        match self.frame {
            Ok(Decoded { frame, address, fields, reading }) => {
                map.serialize_entry("dialect", self.dialect)?;
                map.serialize_entry("frame", frame)?;
                if let Some(address) = address {
                    map.serialize_entry("address", &**address)?;
                }
                for (name, value) in fields {
                    map.serialize_entry(name, &ShownValue(value))?;
                }
                if let Some(reading) = reading {
                    map.serialize_entry("reading", &ReadingView::from(*reading))?;
                }
            }
            Err(malformed) => map.serialize_entry("error", &ShownFault(malformed))?,
        }
        map.end()
    }
}

struct ShownFault<'a>(&'a Malformed);

impl Serialize for ShownFault<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("kind", self.0.kind)?;
        map.serialize_entry("offset", &self.0.offset)?;
        map.serialize_entry("detail", &self.0.detail)?;
        map.end()
    }
}

struct ShownValue<'a>(&'a Value);

impl Serialize for ShownValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => serializer.serialize_i64(*number),
            // A binary float could not hold every decimal.
            Value::Decimal(decimal) => RawValue::from_string(decimal.to_string())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => {
                serializer.collect_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
        }
    }
}
