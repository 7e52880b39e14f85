//! JOIN-UP, JOIN-DOWN and the RESUME frames: layouts. Making and checking them takes keys: [`crate::security`].
//! `join.md`.
//!
//! ```text
//!  JOIN-UP     EUI 8 | minor u8 | capabilities u8 | hardware u16 | Ns 8 | tag 8
//!  JOIN-DOWN   EUI 8 | Ng 8 | encrypted grant 22 | tag 8
//!  RESUME-ASK  Ng' 8 | tag 8           RESUME-UP  Ns' 8 | tag 8           RESUME-DOWN  encrypted grant 22 | tag 8
//!  grant       group key 16 | group counter u32 | slot u16, FFFF for none
//! ```

use crate::Eui64;
use crate::fields::{Fields, Value, Visit};
use crate::frame::{Frame, Kind, TAG_LEN};
use crate::security::Key;
use crate::timing::SLOTS_MAX;
use crate::wire::{ParseError, Reader};

/// Octets of JOIN-UP after the header.
pub const JOIN_UP_LEN: usize = 20 + TAG_LEN;
/// Octets of a grant.
pub const GRANT_LEN: usize = 22;
/// Octets of JOIN-DOWN after the header.
pub const JOIN_DOWN_LEN: usize = 16 + GRANT_LEN + TAG_LEN;
/// Octets of RESUME-ASK and RESUME-UP after the header.
pub const RESUME_HALF_LEN: usize = 8 + TAG_LEN;
/// Octets of RESUME-DOWN after the header.
pub const RESUME_DOWN_LEN: usize = GRANT_LEN + TAG_LEN;

pub(super) const NO_SLOT: u16 = 0xFFFF;

/// A slot number off the wire: `None` when it is neither a slot nor "none".
pub(super) fn slot_of(number: u16) -> Option<Option<u16>> {
    match number {
        NO_SLOT => Some(None),
        slot if slot < SLOTS_MAX => Some(Some(slot)),
        _ => None,
    }
}

/// What a socket can do, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Bit 0: it switches.
    pub relay: bool,
    /// Bit 1: it measures.
    pub meter: bool,
    /// Bit 2: it measures export in a register of its own.
    pub export: bool,
    /// Bit 3: it can pass frames on for others.
    pub forwards: bool,
    /// Bit 4: it keeps interval readings for later.
    pub ring: bool,
    /// Bit 5: it takes firmware from the line.
    pub bulk: bool,
}

impl Capabilities {
    /// As on the wire.
    #[must_use]
    pub fn octet(self) -> u8 {
        let Self { relay, meter, export, forwards, ring, bulk } = self;
        [relay, meter, export, forwards, ring, bulk]
            .iter()
            .enumerate()
            .fold(0, |octet, (bit, set)| octet | u8::from(*set) << bit)
    }

    /// Reserved bits are ignored.
    #[must_use]
    pub fn of(octet: u8) -> Self {
        let bit = |number: u8| octet >> number & 1 == 1;
        Self { relay: bit(0), meter: bit(1), export: bit(2), forwards: bit(3), ring: bit(4), bulk: bit(5) }
    }
}

/// An unjoined socket asks to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JoinUp {
    /// Who asks.
    pub eui: Eui64,
    /// Minor version of the text that it follows.
    pub minor: u8,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Which hardware it is; the maker's number.
    pub hardware: u16,
    /// Ns, fresh for each attempt.
    pub nonce: [u8; 8],
}

impl JoinUp {
    /// Reads a JOIN-UP without judging its tag: the install key of this EUI does that.
    ///
    /// # Errors
    /// [`ParseError`] when the frame is of another kind.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        only(frame, Kind::JoinUp)?;
        let mut reader = Reader::new(frame.body());
        Ok(Self {
            eui: Eui64(reader.array("EUI")?),
            minor: reader.u8("minor")?,
            capabilities: Capabilities::of(reader.u8("capabilities")?),
            hardware: reader.u16("hardware")?,
            nonce: reader.array("Ns")?,
        })
    }

    pub(crate) fn octets(&self) -> [u8; JOIN_UP_LEN - TAG_LEN] {
        let [e0, e1, e2, e3, e4, e5, e6, e7] = self.eui.0;
        let [h0, h1] = self.hardware.to_be_bytes();
        let [n0, n1, n2, n3, n4, n5, n6, n7] = self.nonce;
        let capabilities = self.capabilities.octet();
        [e0, e1, e2, e3, e4, e5, e6, e7, self.minor, capabilities, h0, h1, n0, n1, n2, n3, n4, n5, n6, n7]
    }
}

impl Fields for JoinUp {
    fn fields(&self, visit: &mut Visit<'_>) {
        visit("eui", Value::Bytes(&self.eui.0));
        visit("minor", Value::Number(self.minor.into()));
        visit("capabilities", Value::Number(self.capabilities.octet().into()));
        visit("hardware", Value::Number(self.hardware.into()));
        visit("socket_nonce", Value::Bytes(&self.nonce));
    }
}

/// The clear part of a JOIN-DOWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JoinDown {
    /// Who is let in.
    pub eui: Eui64,
    /// Ng, fresh for each answer.
    pub nonce: [u8; 8],
}

impl JoinDown {
    /// Reads the clear part; nothing of it is proven by that.
    ///
    /// # Errors
    /// [`ParseError`] when the frame is of another kind.
    pub fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        only(frame, Kind::JoinDown)?;
        let mut reader = Reader::new(frame.body());
        Ok(Self { eui: Eui64(reader.array("EUI")?), nonce: reader.array("Ng")? })
    }
}

impl Fields for JoinDown {
    fn fields(&self, visit: &mut Visit<'_>) {
        visit("eui", Value::Bytes(&self.eui.0));
        visit("gateway_nonce", Value::Bytes(&self.nonce));
    }
}

fn only(frame: &Frame<'_>, kind: Kind) -> Result<(), ParseError> {
    let got = frame.kind();
    if got == kind { Ok(()) } else { Err(ParseError::Value { field: "kind", got: got as u32 }) }
}

/// What a socket is given with its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Key of BEACON and BULK.
    pub group_key: Key,
    /// The last group counter that the gateway used.
    pub group_counter: u32,
    /// The slot for its REPORTs; `None`: by listening.
    pub slot: Option<u16>,
}

impl Grant {
    pub(crate) fn octets(&self) -> [u8; GRANT_LEN] {
        let mut octets = [0; GRANT_LEN];
        let (key, rest) = octets.split_at_mut(16);
        key.copy_from_slice(self.group_key.octets());
        let (counter, slot) = rest.split_at_mut(4);
        counter.copy_from_slice(&self.group_counter.to_be_bytes());
        slot.copy_from_slice(&self.slot.unwrap_or(NO_SLOT).to_be_bytes());
        octets
    }

    pub(crate) fn read(octets: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(octets);
        let group_key = Key::new(reader.array("group key")?);
        let group_counter = reader.u32("group counter")?;
        let slot = reader.u16("slot")?;
        reader.end("grant")?;
        let slot = slot_of(slot).ok_or(ParseError::Value { field: "slot", got: slot.into() })?;
        Ok(Self { group_key, group_counter, slot })
    }
}

impl Fields for Grant {
    fn fields(&self, visit: &mut Visit<'_>) {
        visit("group_counter", Value::Number(self.group_counter.into()));
        visit("slot", Value::maybe(self.slot.map(i64::from)));
    }
}
