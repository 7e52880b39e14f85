//! `plugline decode`: bytes of a dialect as hex in, one JSON object a frame out.
//!
//! Owns hex and JSON; what a frame says is the dialect's. With arguments, each is exactly one frame. From a stream,
//! each line is a chunk of bytes as a port delivers them: frames may be split over lines, and what is unfinished at
//! the end is malformed.

use std::io::{self, BufRead, ErrorKind, Write};

use crate::frames::{self, Dialect, Shown, dialects};
use crate::line::framing::StreamDecoder;
use crate::line::{DecodedFrame, Malformed};

/// Where the hex comes from.
pub enum Input<'a> {
    /// One frame each.
    Frames(&'a [String]),
    /// Chunks, one a line.
    Stream(&'a mut dyn BufRead),
}

/// Decodes `input` and writes a line per frame to `out`; `true` if every one was good.
///
/// A reader that went away ends the work without an error.
///
/// # Errors
/// An unknown dialect; input that cannot be read, output that cannot be written.
pub fn run(dialect: &str, input: Input<'_>, out: &mut dyn Write) -> anyhow::Result<bool> {
    let Some(dialect) = frames::dialect(dialect) else {
        let known = dialects().collect::<Vec<_>>().join(", ");
        anyhow::bail!("unknown dialect `{dialect}`; known are: {known}");
    };
    let mut report = Report { dialect: dialect.name, out, all_good: true };
    let done = match input {
        Input::Frames(texts) => each(dialect, texts, &mut report),
        Input::Stream(lines) => stream(dialect, lines, &mut report),
    };
    match done {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(report.all_good),
        other => Ok(other.map(|()| report.all_good)?),
    }
}

fn each(dialect: &Dialect, texts: &[String], report: &mut Report<'_>) -> io::Result<()> {
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
