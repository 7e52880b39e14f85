//! RESPONSE and ANSWER: how a COMMAND ended, with and without data. `messages.md` §6.4 and §6.5.
//!
//! ```text
//!  RESPONSE payload:  0 command counter, low 16 bits | 2 form(4) outcome(4) | 3 data, by form
//!  ANSWER body:       0 command counter, low 8 bits  | 1 status, masked     | 2 tag 4
//!                     status: relay on(1) | 000 | outcome(4)
//! ```

use super::Payload;
use crate::fields::{Fields, Value, Visit};
use crate::frame::Kind;
use crate::reading::Reading;
use crate::wire::{Full, ParseError, Reader, Writer};

/// How a COMMAND ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Done, and the relay is as told.
    Done = 0,
    /// The socket does not know the op.
    Unsupported = 1,
    /// It will not: over-current lock-out, a limit above its own.
    Refused = 2,
    /// The argument is not one.
    BadArgument = 3,
    /// `reference` is too old: send again with a new counter and reference. Only in a RESPONSE.
    Stale = 4,
    /// Not now; again in a second.
    Busy = 5,
    /// An outcome of a later version: not done.
    Other = 15,
}

impl Outcome {
    /// From the low four bits of its octet.
    #[must_use]
    pub fn of(number: u8) -> Self {
        match number & 0x0F {
            0 => Self::Done,
            1 => Self::Unsupported,
            2 => Self::Refused,
            3 => Self::BadArgument,
            4 => Self::Stale,
            5 => Self::Busy,
            _ => Self::Other,
        }
    }

    /// `done`, `bad_argument` …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unsupported => "unsupported",
            Self::Refused => "refused",
            Self::BadArgument => "bad_argument",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::Other => "other",
        }
    }
}

/// The data of a RESPONSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// None.
    Empty,
    /// A reading.
    Reading(Reading),
    /// A form of a later version (2 is back-fill); its octets are not judged.
    Other {
        /// 2 … 15.
        number: u8,
        /// As they came.
        octets: &'a [u8],
    },
}

/// How a COMMAND ended, with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Low 16 bits of the counter of the COMMAND.
    pub command_low: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The data.
    pub form: Form<'a>,
}

impl<'a> Response<'a> {
    /// Reads the clear payload of a RESPONSE.
    ///
    /// # Errors
    /// [`ParseError`] when lengths do not add up.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(payload);
        let command_low = reader.u16("command counter")?;
        let octet = reader.u8("outcome")?;
        let form = match octet >> 4 {
            0 => {
                reader.end("data")?;
                Form::Empty
            }
            1 => {
                let reading = Reading::read(&mut reader)?;
                reader.end("data")?;
                Form::Reading(reading)
            }
            number => Form::Other { number, octets: reader.rest() },
        };
        Ok(Self { command_low, outcome: Outcome::of(octet), form })
    }
}

impl Payload for Response<'_> {
    const KIND: Kind = Kind::Response;

    fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.u16(self.command_low)?;
        let head = |form: u8| form << 4 | self.outcome as u8;
        match self.form {
            Form::Empty => out.u8(head(0)),
            Form::Reading(reading) => {
                out.u8(head(1))?;
                Reading { flags: crate::reading::Flags { more: false, ..reading.flags }, ..reading }.emit(out)
            }
            Form::Other { number, octets } => {
                out.u8(head(number))?;
                out.bytes(octets)
            }
        }
    }
}

impl Fields for Response<'_> {
    fn fields(&self, visit: &mut Visit<'_>) {
        visit("command_low", Value::Number(self.command_low.into()));
        visit("outcome", Value::Word(self.outcome.name()));
        match &self.form {
            Form::Empty => {}
            Form::Reading(reading) => reading.fields(visit),
            Form::Other { number, octets } => {
                visit("form", Value::Number((*number).into()));
                visit("data", Value::Bytes(octets));
            }
        }
    }
}

/// How a COMMAND ended, in one octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The relay after it.
    pub relay_on: bool,
}

impl Answer {
    /// The octet, not masked yet.
    #[must_use]
    pub fn status(self) -> u8 {
        u8::from(self.relay_on) << 7 | self.outcome as u8
    }

    /// From the octet, no longer masked. Reserved bits are ignored.
    #[must_use]
    pub fn of(status: u8) -> Self {
        Self { outcome: Outcome::of(status), relay_on: status & 0x80 != 0 }
    }
}

impl Fields for Answer {
    fn fields(&self, visit: &mut Visit<'_>) {
        visit("outcome", Value::Word(self.outcome.name()));
        visit("relay_on", Value::Flag(self.relay_on));
    }
}
