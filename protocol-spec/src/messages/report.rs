//! REPORT: a reading, the minute it belongs to, and the four minutes before. `messages.md` §6.1.
//!
//! ```text
//!  0 minute u8 | 1 reading 14 | 15 history 6: four numbers of 12 bits | 21 extensions, if the flag `more` is set
//! ```

use super::{Extensions, Payload};
use crate::fields::{Fields, Value, Visit};
use crate::frame::Kind;
use crate::reading::Reading;
use crate::wire::{Full, ParseError, Reader, Writer};

/// Minutes before the present one that a REPORT tells about.
pub const HISTORY_LEN: usize = 4;

const ABSENT: u16 = 0xFFF;

/// Energy of the minutes before, in 0.1 Wh. The first is the register now less its sample of the minute before, the
/// second that sample less the one before it, and so on. Behind an absent one all are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct History([Option<u16>; HISTORY_LEN]);

impl History {
    /// From the register now and its samples in the minutes before, newest first. The register wraps as
    /// [`Reading::energy_100mwh`] does. A step that does not fit ends the history.
    #[must_use]
    pub fn from_samples(now: u32, before: [Option<u32>; HISTORY_LEN]) -> Self {
        let mut history = Self::default();
        let mut later = now;
        for (delta, sample) in history.0.iter_mut().zip(before) {
            let Some(sample) = sample else { break };
            // One value of the register means "absent" and is stepped over.
            let step =
                if later >= sample { later - sample } else { later.wrapping_sub(sample).wrapping_sub(1) };
            match u16::try_from(step) {
                Ok(step) if step < ABSENT => *delta = Some(step),
                _ => break,
            }
            later = sample;
        }
        history
    }

    /// The steps, newest first.
    #[must_use]
    pub fn deltas(&self) -> [Option<u16>; HISTORY_LEN] {
        self.0
    }

    /// The register's samples in the minutes before, newest first, from the register now.
    #[must_use]
    pub fn samples(&self, now: u32) -> [Option<u32>; HISTORY_LEN] {
        let mut later = Some(now);
        self.0.map(|delta| {
            later = later.zip(delta).map(|(later, delta)| {
                let delta = u32::from(delta);
                if later >= delta { later - delta } else { later.wrapping_sub(delta).wrapping_sub(1) }
            });
            later
        })
    }

    fn emit(self, out: &mut Writer<'_>) -> Result<(), Full> {
        let [a, b, c, d] = self.0.map(|delta| delta.map_or(ABSENT, |delta| delta.min(ABSENT - 1)));
        for (first, second) in [(a, b), (c, d)] {
            let [_, high, middle, low] = (u32::from(first) << 12 | u32::from(second)).to_be_bytes();
            out.bytes(&[high, middle, low])?;
        }
        Ok(())
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, ParseError> {
        let [a, b, c, d, e, f] = from.array::<6>("history")?;
        let pair = |high: u8, middle: u8, low: u8| {
            let first = u16::from(high) << 4 | u16::from(middle >> 4);
            (first, u16::from(middle & 0x0F) << 8 | u16::from(low))
        };
        let ((a, b), (c, d)) = (pair(a, b, c), pair(d, e, f));
        let mut ended = false;
        Ok(Self([a, b, c, d].map(|delta| {
            ended |= delta == ABSENT;
            (!ended).then_some(delta)
        })))
    }
}

/// What a socket says each minute, and when something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// Low octet of the number of the superframe in which the reading was taken.
    pub minute: u8,
    /// The values.
    pub reading: Reading,
    /// The minutes before.
    pub history: History,
    /// What else there is; the flag `more` follows from it.
    pub extensions: Extensions<'a>,
}

impl<'a> Report<'a> {
    /// Reads the clear payload of a REPORT.
    ///
    /// # Errors
    /// [`ParseError`] when lengths do not add up.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(payload);
        let minute = reader.u8("minute")?;
        let mut reading = Reading::read(&mut reader)?;
        let history = History::read(&mut reader)?;
        let extensions = if reading.flags.more {
            Extensions::parse(reader.rest())?
        } else {
            reader.end("extensions")?;
            Extensions::NONE
        };
        reading.flags.more = !extensions.is_empty();
        Ok(Self { minute, reading, history, extensions })
    }
}

impl Payload for Report<'_> {
    const KIND: Kind = Kind::Report;

    fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        let mut reading = self.reading;
        reading.flags.more = !self.extensions.is_empty();
        out.u8(self.minute)?;
        reading.emit(out)?;
        self.history.emit(out)?;
        out.bytes(self.extensions.octets())
    }
}

impl Fields for Report<'_> {
    fn fields(&self, visit: &mut Visit<'_>) {
        const NAMES: [&str; HISTORY_LEN] =
            ["delta_1_100mwh", "delta_2_100mwh", "delta_3_100mwh", "delta_4_100mwh"];
        visit("minute", Value::Number(self.minute.into()));
        self.reading.fields(visit);
        for (name, delta) in NAMES.iter().zip(self.history.deltas()) {
            visit(name, Value::maybe(delta.map(i64::from)));
        }
        if !self.extensions.is_empty() {
            visit("extensions", Value::Bytes(self.extensions.octets()));
        }
    }
}
