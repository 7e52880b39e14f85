//! COMMAND: one thing asked of one socket. `messages.md` §6.3.
//!
//! ```text
//!  0 reference u32 | 4 op u8 | 5 argument, by op
//! ```

use super::{Outcome, Payload};
use crate::fields::{Fields, Value, Visit};
use crate::frame::Kind;
use crate::security::Key;
use crate::wire::{Full, Reader, Writer};

/// Ops whose numbers are taken and whose behaviour comes with a later version of the text. A socket that does not
/// know them answers [`Outcome::Unsupported`].
pub mod reserved {
    /// The sockets for which this one passes frames on.
    pub const NOMINATE: u8 = 0x10;
    /// Readings of the ring, from a minute on.
    pub const BACKFILL: u8 = 0x11;
    /// Which blocks of an image are missing.
    pub const BULK_STATUS: u8 = 0x12;
}

/// What the relay does when power comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PowerOn {
    /// Opens.
    Off = 0,
    /// Closes.
    On = 1,
    /// Is as it was.
    #[default]
    Last = 2,
}

impl PowerOn {
    /// From its number on the wire.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [Self::Off, Self::On, Self::Last].get(usize::from(number)).copied()
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Close or open the relay.
    Switch {
        /// `true` closes it: power on.
        on: bool,
    },
    /// Answer with a RESPONSE that carries a reading.
    Read,
    /// Report every so many superframes.
    Interval {
        /// 1 … 60.
        minutes: u8,
    },
    /// Trip above this current.
    OverCurrent {
        /// In mA; 0 is the socket's own limit. More than that is refused.
        limit_ma: u16,
    },
    /// What to do when power comes.
    PowerOn(PowerOn),
    /// Show yourself.
    Identify {
        /// 0 stops it.
        seconds: u8,
    },
    /// Report in this slot.
    Slot {
        /// `None`: in no slot, by listening.
        slot: Option<u16>,
    },
    /// The group counter's floor: nothing at or below it is accepted, anything up to 4096 above is.
    Sync {
        /// The last one that the gateway used.
        group_counter: u32,
    },
    /// Start anew, relay untouched.
    Reboot,
    /// Forget the network and its keys.
    Leave,
    /// A new group key.
    GroupKey {
        /// The key.
        key: Key,
        /// Its counter's floor.
        group_counter: u32,
    },
}

impl Ask {
    /// The number on the wire.
    #[must_use]
    pub fn op(&self) -> u8 {
        match self {
            Self::Switch { .. } => 0x01,
            Self::Read => 0x02,
            Self::Interval { .. } => 0x03,
            Self::OverCurrent { .. } => 0x04,
            Self::PowerOn(_) => 0x05,
            Self::Identify { .. } => 0x06,
            Self::Slot { .. } => 0x07,
            Self::Sync { .. } => 0x08,
            Self::Reboot => 0x09,
            Self::Leave => 0x0C,
            Self::GroupKey { .. } => 0x0D,
        }
    }

    /// `switch`, `group_key` …
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Switch { .. } => "switch",
            Self::Read => "read",
            Self::Interval { .. } => "interval",
            Self::OverCurrent { .. } => "over_current",
            Self::PowerOn(_) => "power_on",
            Self::Identify { .. } => "identify",
            Self::Slot { .. } => "slot",
            Self::Sync { .. } => "sync",
            Self::Reboot => "reboot",
            Self::Leave => "leave",
            Self::GroupKey { .. } => "group_key",
        }
    }

    fn argument(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Switch { on } => out.u8((*on).into()),
            Self::Read | Self::Reboot | Self::Leave => Ok(()),
            Self::Interval { minutes } => out.u8(*minutes),
            Self::OverCurrent { limit_ma } => out.u16(*limit_ma),
            Self::PowerOn(what) => out.u8(*what as u8),
            Self::Identify { seconds } => out.u8(*seconds),
            Self::Slot { slot } => out.u16(slot.unwrap_or(super::join::NO_SLOT)),
            Self::Sync { group_counter } => out.u32(*group_counter),
            Self::GroupKey { key, group_counter } => {
                out.bytes(key.octets())?;
                out.u32(*group_counter)
            }
        }
    }

    /// `None` for an op that nobody knows, `Some(None)` for a bad argument.
    fn read(op: u8, argument: &[u8]) -> Option<Option<Self>> {
        let octet = || <[u8; 1]>::try_from(argument).ok().map(|[octet]| octet);
        let pair = || <[u8; 2]>::try_from(argument).ok().map(u16::from_be_bytes);
        let nothing = |ask| argument.is_empty().then_some(ask);
        Some(match op {
            0x01 => octet().filter(|on| *on < 2).map(|on| Self::Switch { on: on == 1 }),
            0x02 => nothing(Self::Read),
            0x03 => octet().filter(|m| (1..=60).contains(m)).map(|minutes| Self::Interval { minutes }),
            0x04 => pair().map(|limit_ma| Self::OverCurrent { limit_ma }),
            0x05 => octet().and_then(PowerOn::of).map(Self::PowerOn),
            0x06 => octet().map(|seconds| Self::Identify { seconds }),
            0x07 => pair().and_then(super::join::slot_of).map(|slot| Self::Slot { slot }),
            0x08 => <[u8; 4]>::try_from(argument)
                .ok()
                .map(|octets| Self::Sync { group_counter: u32::from_be_bytes(octets) }),
            0x09 => nothing(Self::Reboot),
            0x0C => nothing(Self::Leave),
            0x0D => argument
                .split_first_chunk()
                .and_then(|(key, rest)| Some((Key::new(*key), u32::from_be_bytes(rest.try_into().ok()?))))
                .map(|(key, group_counter)| Self::GroupKey { key, group_counter }),
            _ => return None,
        })
    }
}

/// One thing asked of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The newest up-counter that the gateway heard from this socket. Whole, so that no number of power cuts brings it
    /// round again.
    pub reference: u32,
    /// What is asked.
    pub ask: Ask,
}

/// A genuine COMMAND that cannot be done. It is answered all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// As in [`Command::reference`]; `None` when the payload is too short to have one.
    pub reference: Option<u32>,
    /// The op, if there is one.
    pub op: Option<u8>,
    /// How it is answered.
    pub outcome: Outcome,
}

impl core::fmt::Display for Rejected {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "op {:02X?}: {}", self.op, self.outcome.name())
    }
}

impl core::error::Error for Rejected {}

impl Command {
    /// Reads the clear payload of a COMMAND.
    ///
    /// # Errors
    /// [`Rejected`]: what to answer instead.
    pub fn parse(payload: &[u8]) -> Result<Self, Rejected> {
        let mut reader = Reader::new(payload);
        let reference = reader.u32("reference").ok();
        let op = reader.u8("op").ok();
        let rejected = |outcome| Rejected { reference, op, outcome };
        let Some(reference) = reference else { return Err(rejected(Outcome::Stale)) };
        let Some(op) = op else { return Err(rejected(Outcome::BadArgument)) };
        match Ask::read(op, reader.rest()) {
            Some(Some(ask)) => Ok(Self { reference, ask }),
            Some(None) => Err(rejected(Outcome::BadArgument)),
            None => Err(rejected(Outcome::Unsupported)),
        }
    }
}

impl Payload for Command {
    const KIND: Kind = Kind::Command;

    fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.u32(self.reference)?;
        out.u8(self.ask.op())?;
        self.ask.argument(out)
    }
}

impl Fields for Command {
    fn fields(&self, visit: &mut Visit<'_>) {
        visit("reference", Value::Number(self.reference.into()));
        visit("op", Value::Word(self.ask.name()));
        match &self.ask {
            Ask::Switch { on } => visit("on", Value::Flag(*on)),
            Ask::Read | Ask::Reboot | Ask::Leave => {}
            Ask::Interval { minutes } => visit("minutes", Value::Number((*minutes).into())),
            Ask::OverCurrent { limit_ma } => visit("limit_ma", Value::Number((*limit_ma).into())),
            Ask::PowerOn(PowerOn::Off) => visit("power_on", Value::Word("off")),
            Ask::PowerOn(PowerOn::On) => visit("power_on", Value::Word("on")),
            Ask::PowerOn(PowerOn::Last) => visit("power_on", Value::Word("last")),
            Ask::Identify { seconds } => visit("seconds", Value::Number((*seconds).into())),
            Ask::Slot { slot } => visit("slot", Value::maybe(slot.map(i64::from))),
            Ask::Sync { group_counter } | Ask::GroupKey { group_counter, .. } => {
                visit("group_counter", Value::Number((*group_counter).into()));
            }
        }
    }
}
