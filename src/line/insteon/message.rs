//! What travels inside frames: addresses, message flags, messages, link records, the energy meter's payload.
//!
//! Refuses to know the host link around them (`frame.rs`).

use std::fmt;

use super::checksum::{Sum, i2cs};
use crate::device::{Quantity, Reading};

/// An INSTEON id, 24 bits, in the order that is printed on the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub [u8; 3]);

impl Address {
    /// Reads `1a777b`, `1A.77.7B`, `1A 77 7B`, `1A:77:7B` or `1A-77-7B`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !matches!(c, '.' | ' ' | ':' | '-')).collect();
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let [_, a, b, c] = u32::from_str_radix(&digits, 16).ok()?.to_be_bytes();
        Some(Self([a, b, c]))
    }
}

impl fmt::Display for Address {
    /// The canonical spelling: `1a777b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}")
    }
}

/// The kind of a message, from bits 7–5 of its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To one device.
    Direct,
    /// A device did what it was told.
    DirectAck,
    /// A device refused.
    DirectNak,
    /// To everybody: a device names itself.
    Broadcast,
    /// To a group.
    GroupBroadcast,
    /// To one member of a group, after the broadcast.
    GroupCleanup,
    /// A member did it.
    GroupCleanupAck,
    /// A member refused.
    GroupCleanupNak,
}

impl Kind {
    /// The word in `decode`'s JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectAck => "direct_ack",
            Self::DirectNak => "direct_nak",
            Self::Broadcast => "broadcast",
            Self::GroupBroadcast => "group_broadcast",
            Self::GroupCleanup => "group_cleanup",
            Self::GroupCleanupAck => "group_cleanup_ack",
            Self::GroupCleanupNak => "group_cleanup_nak",
        }
    }
}

/// The flags byte of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// Standard message to one device, three hops.
    pub const STANDARD: Self = Self(0x0F);
    /// Extended message to one device, three hops.
    pub const EXTENDED: Self = Self(0x1F);
    const EXTENDED_BIT: u8 = 0x10;

    /// What kind of message it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.0 >> 5 {
            0 => Kind::Direct,
            1 => Kind::DirectAck,
            2 => Kind::GroupCleanup,
            3 => Kind::GroupCleanupAck,
            4 => Kind::Broadcast,
            5 => Kind::DirectNak,
            6 => Kind::GroupBroadcast,
            _ => Kind::GroupCleanupNak,
        }
    }

    /// Fourteen data bytes follow the commands.
    #[must_use]
    pub fn extended(self) -> bool {
        self.0 & Self::EXTENDED_BIT != 0
    }

    /// Repeats that were left when it arrived, 0 … 3.
    #[must_use]
    pub fn hops_left(self) -> u8 {
        self.0 >> 2 & 3
    }

    /// Repeats that it was sent with, 0 … 3.
    #[must_use]
    pub fn max_hops(self) -> u8 {
        self.0 & 3
    }

    pub(super) fn with_extended(self, extended: bool) -> Self {
        Self(if extended { self.0 | Self::EXTENDED_BIT } else { self.0 & !Self::EXTENDED_BIT })
    }
}

/// A message that came over the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub from: Address,
    /// To whom; in broadcasts something else ([`Message::broadcast_group`]).
    pub to: Address,
    /// Kind and hops.
    pub flags: Flags,
    /// Command.
    pub cmd1: u8,
    /// Its argument, the level, or the reason of a NAK.
    pub cmd2: u8,
}

/// Why a device refuses, from cmd2 of its NAK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NakReason {
    /// FF: the modem is not in the device's link database.
    NotLinked,
    /// FE: no load.
    NoLoad,
    /// FD: the i2CS sum was wrong or missing.
    BadChecksum,
    /// FC: searching its database took too long; the real answer follows.
    PreNak,
    /// FB: value out of range.
    IllegalValue,
    /// Anything else.
    Other(u8),
}

impl NakReason {
    /// The reason that `cmd2` stands for.
    #[must_use]
    pub fn of(cmd2: u8) -> Self {
        match cmd2 {
            0xFF => Self::NotLinked,
            0xFE => Self::NoLoad,
            0xFD => Self::BadChecksum,
            0xFC => Self::PreNak,
            0xFB => Self::IllegalValue,
            other => Self::Other(other),
        }
    }

    /// The word in `decode`'s JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotLinked => "not_linked",
            Self::NoLoad => "no_load",
            Self::BadChecksum => "bad_checksum",
            Self::PreNak => "pre_nak",
            Self::IllegalValue => "illegal_value",
            Self::Other(_) => "other",
        }
    }
}

/// How many members a group command reached, told by its sender afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessReport {
    /// cmd1 of the group command.
    pub cleaned_cmd1: u8,
    /// Members asked.
    pub devices: u8,
    /// The group.
    pub group: u8,
    /// Members that did not answer.
    pub failed: u8,
}

impl Message {
    /// The group of a group broadcast, except of a success report.
    #[must_use]
    pub fn broadcast_group(&self) -> Option<u8> {
        (self.flags.kind() == Kind::GroupBroadcast && self.cmd1 != 0x06).then_some(self.to.0[2])
    }

    /// The report that ends a group command.
    #[must_use]
    pub fn success_report(&self) -> Option<SuccessReport> {
        let [cleaned_cmd1, devices, group] = self.to.0;
        let report = SuccessReport { cleaned_cmd1, devices, group, failed: self.cmd2 };
        (self.flags.kind() == Kind::GroupBroadcast && self.cmd1 == 0x06).then_some(report)
    }

    /// Why the device refused, if it did.
    #[must_use]
    pub fn nak_reason(&self) -> Option<NakReason> {
        (self.flags.kind() == Kind::DirectNak).then(|| NakReason::of(self.cmd2))
    }
}

/// A message for the line, as the modem is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom.
    pub to: Address,
    /// Hops; whether it is extended follows from `data`.
    pub flags: Flags,
    /// Command.
    pub cmd1: u8,
    /// Its argument.
    pub cmd2: u8,
    /// D1 … D14 of an extended message.
    pub data: Option<[u8; 14]>,
}

impl Outgoing {
    /// A standard message to one device.
    #[must_use]
    pub fn standard(to: Address, cmd1: u8, cmd2: u8) -> Self {
        Self { to, flags: Flags::STANDARD, cmd1, cmd2, data: None }
    }

    /// An extended message to one device; `data` is D1 … D13, D14 becomes the i2CS sum.
    #[must_use]
    pub fn extended(to: Address, cmd1: u8, cmd2: u8, data: [u8; 13]) -> Self {
        let mut all = [0; 14];
        all[..13].copy_from_slice(&data);
        all[13] = i2cs(cmd1, cmd2, &all);
        Self { to, flags: Flags::EXTENDED, cmd1, cmd2, data: Some(all) }
    }

    /// Which check fits the data of an extended message.
    #[must_use]
    pub fn sum(&self) -> Option<Sum> {
        self.data.map(|data| Sum::of(self.cmd1, self.cmd2, &data))
    }
}

/// One record of a link database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkRecord {
    /// Bit 7 in use, bit 6 controller, bit 1 has been used (0 ends the list).
    pub flags: u8,
    /// Group.
    pub group: u8,
    /// The other end.
    pub id: Address,
    /// D1 … D3: level, ramp, button at a responder; category, subcategory, firmware at a controller.
    pub data: [u8; 3],
}

impl LinkRecord {
    /// The modem answers to this record.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// The holder of the record commands the other end (else it obeys it).
    #[must_use]
    pub fn controller(&self) -> bool {
        self.flags & 0x40 != 0
    }

    /// This record ends the list: it was never used.
    #[must_use]
    pub fn ends_list(&self) -> bool {
        self.flags & 0x02 == 0
    }

    pub(super) fn parse(bytes: [u8; 8]) -> Self {
        let [flags, group, a, b, c, d1, d2, d3] = bytes;
        Self { flags, group, id: Address([a, b, c]), data: [d1, d2, d3] }
    }

    pub(super) fn emit(&self) -> [u8; 8] {
        let ([a, b, c], [d1, d2, d3]) = (self.id.0, self.data);
        [self.flags, self.group, a, b, c, d1, d2, d3]
    }
}

/// Command of the energy meter's reply.
pub const METER_CMD1: u8 = 0x82;

/// Power and energy from the data of a meter's reply (cmd1 82): D7–D8 watts, signed; D9–D12 the accumulator E.
/// kWh = E × 65535 / 216,000,000. An accumulator that starts with FE or FF was just reset and counts as 0.
#[must_use]
pub fn meter_reading(data: &[u8; 14]) -> Reading {
    let watts = i16::from_be_bytes([data[6], data[7]]);
    let count = u32::from_be_bytes([data[8], data[9], data[10], data[11]]);
    let count = if data[8] >= 0xFE { 0 } else { i64::from(count) };
    let mut reading = Reading::of(Quantity::Power, i64::from(watts) * 1000);
    reading.set(Quantity::Energy, (count * 65_535 + 108) / 216);
    reading
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_the_label_prints_it() {
        for text in ["1A.77.7B", "1a777b", "1A 77 7B", "1A:77:7b", "1A-77-7B"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), "1a777b", "{text}");
        }
        for bad in ["", "1a777", "1a777b0", "1a77zz", "+1a777"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn energy_is_rounded_to_the_milliwatt_hour() {
        let mut data = [0; 14];
        data[7] = 3;
        data[11] = 42;
        let reading = meter_reading(&data);
        assert_eq!(reading.get(Quantity::Power), Some(3000));
        assert_eq!(reading.get(Quantity::Energy), Some(12_743));
        data[11] = 111;
        assert_eq!(meter_reading(&data).get(Quantity::Energy), Some(33_678));
    }

    #[test]
    fn export_is_negative_and_a_reset_accumulator_is_zero() {
        let mut data = [0xFF; 14];
        assert_eq!(meter_reading(&data).get(Quantity::Power), Some(-1000));
        assert_eq!(meter_reading(&data).get(Quantity::Energy), Some(0));
        data[8] = 0xFD;
        assert_eq!(meter_reading(&data).get(Quantity::Energy), Some(1_292_924_499_892));
    }

    #[test]
    fn flags_tell_kind_and_hops() {
        let flags = Flags(0xAB);
        assert_eq!((flags.kind(), flags.extended()), (Kind::DirectNak, false));
        assert_eq!((flags.hops_left(), flags.max_hops()), (2, 3));
        assert!(Flags(0x1B).extended());
    }
}
