//! Finding frames in the bytes that come from an INSTEON modem.
//!
//! The host link has no lengths and no checks: the table of lengths and the last byte of a reply are all there is.
//! Refuses to know time: the driver's timer calls [`Framer::drop_partial`] after 240 ms of silence.

use super::checksum::crc16;
use super::frame::{ACK, Frame, NAK, START, array};
use super::message::METER_CMD1;
use super::table::{modem_len, row};
use crate::line::framing::{Bad, Fault, Grammar, Look, Scanner};

/// The frames in the bytes that come from a modem.
#[derive(Debug, Default)]
pub struct Framer(Scanner<Shape>);

impl Framer {
    /// An empty framer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes, in any portions; drain [`Framer::next`] before the next call.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    /// The next frame or fault; `None` when more bytes are needed.
    #[expect(clippy::should_implement_trait, reason = "None is not the end: more bytes may come")]
    pub fn next(&mut self) -> Option<Result<Frame, Fault>> {
        let span = self.0.next_span()?;
        Some(span.map(|span| Frame::of(self.0.span(span))))
    }

    /// The modem was silent for longer than a gap within a frame (240 ms): what is unfinished comes out of
    /// [`Framer::next`], as [`Frame::ShortNak`] if it can be one, else as `truncated`.
    pub fn drop_partial(&mut self) {
        self.0.drop_partial();
    }

    /// Bytes are waiting for the rest of their frame.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.0.has_partial()
    }
}

/// What a frame from the modem looks like.
#[derive(Debug, Default)]
struct Shape;

/// Shorter frames do not count inside a candidate that failed: any two bytes could be a factory reset.
const MIN_INSIDE: usize = 5;

impl Grammar for Shape {
    #[inline]
    fn look(&mut self, buffer: &[u8], at: usize, ended: bool, inside: bool) -> Look {
        let rest = &buffer[at..];
        match rest {
            [ACK | NAK, ..] if !inside => return Look::Good(1),
            [START] => return Look::More,
            [START, NAK, ..] if !inside => return Look::Good(2),
            [START, ..] => {}
            _ => return Look::Nothing,
        }
        let Some(row) = row(rest[1]) else { return Look::Nothing };
        let len = modem_len(row, rest);
        let short_nak = row.host > 0 && len != Some(3) && rest.get(2) == Some(&NAK);
        let Some(frame) = len.and_then(|len| rest.get(..len)) else {
            // An address may begin with 15 as well, so only silence, or the start of another frame, tells.
            let alone = matches!(rest.get(3), None | Some(&(START | ACK | NAK)));
            return if short_nak && ended && alone && !inside { Look::Good(3) } else { Look::More };
        };
        match judge(frame, row.host > 0) {
            Look::Bad(_) if short_nak && !inside => Look::Good(3),
            Look::Good(len) if inside && len < MIN_INSIDE => Look::Nothing,
            look => look,
        }
    }

    #[inline]
    fn idle(&self, _byte: u8) -> bool {
        false
    }

    #[inline]
    fn skip(&self, bytes: &[u8], inside: bool) -> usize {
        let starts = |at: usize, byte: u8| match byte {
            START => bytes.get(at + 1).is_none_or(|code| *code == NAK || row(*code).is_some()),
            ACK | NAK => !inside,
            _ => false,
        };
        bytes.iter().enumerate().position(|(at, byte)| starts(at, *byte)).unwrap_or(bytes.len())
    }
}

/// Judges a frame of the right length: a reply ends in 06 or 15, an energy meter's reply has its CRC.
fn judge(frame: &[u8], reply: bool) -> Look {
    let len = frame.len();
    let last = frame[len - 1];
    if (reply || frame[1] == 0x58) && !matches!(last, ACK | NAK) {
        return Look::Bad(Bad { kind: "ack", len, at: len - 1, got: last.into(), want: ACK.into() });
    }
    if let [_, 0x51, _, _, _, _, _, _, _, cmd1 @ METER_CMD1, cmd2, data @ ..] = frame {
        let data: [u8; 14] = array(data);
        let (got, want) = (u16::from_be_bytes([data[12], data[13]]), crc16(*cmd1, *cmd2, &data));
        if got != want {
            return Look::Bad(Bad { kind: "checksum", len, at: len - 2, got, want });
        }
    }
    Look::Good(len)
}

#[cfg(test)]
#[path = "framer_tests.rs"]
mod tests;
