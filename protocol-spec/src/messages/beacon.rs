//! BEACON: the time, the slots, and whose REPORT arrived in the superframe before. `messages.md` §6.6.
//!
//! ```text
//!  0 minute u8 | 1 offset u16 ms | 3 unix time u32 s | 7 first slot u16 ms | 9 pitch u16 ms | 11 slots u16
//! 13 received: one bit per slot, slot k is bit k mod 8 of octet k div 8 | extensions
//! ```

use super::{Extensions, Payload};
use crate::fields::{Fields, Value, Visit};
use crate::frame::Kind;
use crate::timing::{BEACON_REPEAT_MS, BEACON_WINDOW_MS, SLOTS_MAX, SUPERFRAME_MS};
use crate::wire::{Full, ParseError, Reader, Writer};

/// Where the slots are. Slot `k` starts `first_ms + k × pitch_ms` after its superframe; those that would not end by
/// 30 s follow from 31 s on, so that the second BEACON has its place. `timing.md` §4.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotPlan {
    /// Start of slot 0 in the superframe.
    pub first_ms: u16,
    /// Distance of two slots.
    pub pitch_ms: u16,
    /// How many, 0 … [`SLOTS_MAX`].
    pub slots: u16,
}

impl SlotPlan {
    /// Start of a slot in the superframe; `None` when there is no such slot.
    #[must_use]
    pub fn start_ms(&self, slot: u16) -> Option<u32> {
        (slot < self.slots).then(|| self.place_ms(slot))
    }

    fn place_ms(&self, slot: u16) -> u32 {
        let (first, pitch, slot) = (u32::from(self.first_ms), u32::from(self.pitch_ms), u32::from(slot));
        let before = BEACON_REPEAT_MS.saturating_sub(first).checked_div(pitch).unwrap_or(0);
        if slot < before {
            first + slot * pitch
        } else {
            first.max(BEACON_REPEAT_MS + BEACON_WINDOW_MS) + (slot - before) * pitch
        }
    }

    /// All slots lie within the superframe.
    #[must_use]
    pub fn fits(&self) -> bool {
        let Some(last) = self.slots.checked_sub(1) else { return true };
        let end = self.place_ms(last) + u32::from(self.pitch_ms);
        self.slots <= SLOTS_MAX && self.pitch_ms > 0 && end <= SUPERFRAME_MS
    }

    /// Octets of the bitmap of these slots.
    #[must_use]
    pub fn bitmap_len(&self) -> usize {
        usize::from(self.slots).div_ceil(8)
    }
}

/// One bit per slot, in octets of somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotBits<'a>(pub &'a [u8]);

impl SlotBits<'_> {
    /// The bit of a slot; `false` behind the end.
    #[must_use]
    pub fn get(&self, slot: u16) -> bool {
        self.0.get(usize::from(slot / 8)).is_some_and(|octet| octet >> (slot % 8) & 1 == 1)
    }

    /// Sets the bit of a slot in octets that become a bitmap; behind the end nothing happens.
    pub fn set(octets: &mut [u8], slot: u16) {
        if let Some(octet) = octets.get_mut(usize::from(slot / 8)) {
            *octet |= 1 << (slot % 8);
        }
    }
}

/// The heartbeat of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// Low octet of the number of the superframe.
    pub minute: u8,
    /// From the start of the superframe to the last octet of this frame on the line, 0 … 59,999 ms.
    pub offset_ms: u16,
    /// Seconds since 1970; `None` when the gateway does not know. For people, never for security.
    pub unix_time_s: Option<u32>,
    /// The slots.
    pub plan: SlotPlan,
    /// Whose REPORT arrived in the superframe before this one; [`SlotPlan::bitmap_len`] octets.
    pub received: SlotBits<'a>,
    /// What else there is.
    pub extensions: Extensions<'a>,
}

impl<'a> Beacon<'a> {
    /// Reads the clear payload of a BEACON.
    ///
    /// # Errors
    /// [`ParseError`] when lengths do not add up, or slots lie outside the superframe.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(payload);
        let minute = reader.u8("minute")?;
        let offset_ms = reader.u16("offset")?;
        let unix_time = reader.u32("unix time")?;
        let (first_ms, pitch_ms) = (reader.u16("first slot")?, reader.u16("pitch")?);
        let plan = SlotPlan { first_ms, pitch_ms, slots: reader.u16("slots")? };
        if u32::from(offset_ms) >= SUPERFRAME_MS {
            return Err(ParseError::Value { field: "offset", got: offset_ms.into() });
        }
        if !plan.fits() {
            return Err(ParseError::Value { field: "slots", got: plan.slots.into() });
        }
        let received = SlotBits(reader.bytes("received", plan.bitmap_len())?);
        let extensions = Extensions::parse(reader.rest())?;
        let unix_time_s = (unix_time != 0).then_some(unix_time);
        Ok(Self { minute, offset_ms, unix_time_s, plan, received, extensions })
    }

    /// The silence asked for, in seconds; more than 60 counts as 60.
    #[must_use]
    pub fn quiet_s(&self) -> Option<u8> {
        let [seconds] = *self.extensions.get(super::extension::QUIET)? else { return None };
        Some(seconds.min(crate::timing::QUIET_MAX_S))
    }
}

impl Payload for Beacon<'_> {
    const KIND: Kind = Kind::Beacon;

    fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.u8(self.minute)?;
        out.u16(self.offset_ms)?;
        out.u32(self.unix_time_s.unwrap_or(0))?;
        out.u16(self.plan.first_ms)?;
        out.u16(self.plan.pitch_ms)?;
        out.u16(self.plan.slots)?;
        // A bitmap of another length than the plan's would shift what follows: it is cut or filled up.
        for at in 0..self.plan.bitmap_len() {
            out.u8(self.received.0.get(at).copied().unwrap_or(0))?;
        }
        out.bytes(self.extensions.octets())
    }
}

impl Fields for Beacon<'_> {
    fn fields(&self, visit: &mut Visit<'_>) {
        visit("minute", Value::Number(self.minute.into()));
        visit("offset_ms", Value::Number(self.offset_ms.into()));
        visit("unix_time_s", Value::maybe(self.unix_time_s.map(i64::from)));
        visit("first_slot_ms", Value::Number(self.plan.first_ms.into()));
        visit("pitch_ms", Value::Number(self.plan.pitch_ms.into()));
        visit("slots", Value::Number(self.plan.slots.into()));
        visit("received", Value::Bytes(self.received.0));
        if !self.extensions.is_empty() {
            visit("extensions", Value::Bytes(self.extensions.octets()));
        }
    }
}
