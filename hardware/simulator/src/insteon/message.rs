//! What INSTEON devices say to each other: ids, messages, flags, and the two checks inside extended messages.
//!
//! Refuses to know the modem's host link, except that a message heard is a `50` or a `51` there.

use std::fmt;
use std::time::Duration;

/// A standard message with its slot on the mains: six zero crossings at 60 Hz.
pub(crate) const STANDARD_SLOT: Duration = Duration::from_millis(50);
/// An extended message: thirteen zero crossings.
pub(crate) const EXTENDED_SLOT: Duration = Duration::from_micros(108_333);
/// Nobody repeats a message more often.
pub(crate) const MAX_HOPS: u8 = 3;

const EXTENDED_BIT: u8 = 0x10;

/// The number on a device's label, 24 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub [u8; 3]);

impl Id {
    /// Reads six hex digits, `1a777b` or `1A.77.7B`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != '.').collect();
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, a, b, c] = u32::from_str_radix(&digits, 16).ok()?.to_be_bytes();
        Some(Self([a, b, c]))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}")
    }
}

/// What a message is for: bits 7–5 of its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Direct = 0x00,
    Ack = 0x20,
    Cleanup = 0x40,
    CleanupAck = 0x60,
    Broadcast = 0x80,
    Nak = 0xA0,
    GroupBroadcast = 0xC0,
}

/// One message on the mains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) from: Id,
    /// In broadcasts a product or a group.
    pub(crate) to: Id,
    pub(crate) flags: u8,
    pub(crate) cmd1: u8,
    pub(crate) cmd2: u8,
    pub(crate) data: Option<[u8; 14]>,
}

impl Message {
    /// As its receiver hears it when the sender is `distance` repeats away and allowed `max_hops` of them.
    pub(crate) fn heard(self, purpose: Purpose, max_hops: u8, distance: u8) -> Self {
        let max = max_hops.min(MAX_HOPS);
        let left = max.saturating_sub(distance);
        let extended = if self.data.is_some() { EXTENDED_BIT } else { 0 };
        Self { flags: purpose as u8 | extended | left << 2 | max, ..self }
    }

    pub(crate) fn slot(&self) -> Duration {
        if self.data.is_some() { EXTENDED_SLOT } else { STANDARD_SLOT }
    }

    /// The modem's word for it: `50` or `51`.
    pub(crate) fn event(&self) -> Vec<u8> {
        let mut out = vec![0x02, if self.data.is_some() { 0x51 } else { 0x50 }];
        out.extend(self.from.0.into_iter().chain(self.to.0));
        out.extend([self.flags, self.cmd1, self.cmd2]);
        out.extend(self.data.iter().flatten());
        out
    }

    /// D14 is the sum that i2CS devices insist on.
    pub(crate) fn sum_fits(&self) -> bool {
        self.data.is_none_or(|data| {
            let all =
                data.iter().fold(self.cmd1.wrapping_add(self.cmd2), |sum, byte| sum.wrapping_add(*byte));
            all == 0
        })
    }
}

/// Puts the i2CS sum into D14: everything from cmd1 on then adds up to 0.
pub(crate) fn with_sum(cmd1: u8, cmd2: u8, mut data: [u8; 14]) -> [u8; 14] {
    data[13] = 0;
    let sum = data.iter().fold(cmd1.wrapping_add(cmd2), |sum, byte| sum.wrapping_add(*byte));
    data[13] = sum.wrapping_neg();
    data
}

/// Puts the energy meter's CRC-16 into D13 and D14.
pub(crate) fn with_crc(cmd1: u8, cmd2: u8, mut data: [u8; 14]) -> [u8; 14] {
    let mut crc = 0_u16;
    for byte in [cmd1, cmd2].iter().chain(&data[..12]) {
        for bit in 0..8 {
            let tap = |n: u16| crc >> n & 1;
            let fed = u16::from(byte >> bit & 1) ^ tap(15) ^ tap(14) ^ tap(12) ^ tap(3);
            crc = crc << 1 | fed;
        }
    }
    data[12..].copy_from_slice(&crc.to_be_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_are_those_of_the_captures() {
        let mut linking = [0; 14];
        linking[13] = 0xF6;
        assert_eq!(with_sum(0x09, 0x01, [0; 14]), linking, "i2CS notes");
        let meter = [0, 2, 1, 0x0D, 0, 0x91, 0, 3, 0, 0, 0, 0x2A, 0x74, 0xD8];
        let mut bare = meter;
        bare[12..].fill(0);
        assert_eq!(with_crc(0x82, 0x00, bare), meter, "home-controller test/Meter.js");
    }

    #[test]
    fn an_id_reads_as_the_label_prints_it() {
        assert_eq!(Id::parse("1A.77.7B").unwrap().to_string(), "1a777b");
        for bad in ["", "1a777", "1a777b0", "1a77zz", "+1a777"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn hops_left_fall_with_the_distance() {
        let message =
            Message { from: Id::default(), to: Id::default(), flags: 0, cmd1: 0, cmd2: 0, data: None };
        assert_eq!(message.heard(Purpose::Ack, 3, 2).flags, 0x27);
        assert_eq!(message.heard(Purpose::Ack, 2, 1).flags, 0x26);
        assert_eq!(message.heard(Purpose::GroupBroadcast, 3, 1).flags, 0xCB);
        assert_eq!(Message { data: Some([0; 14]), ..message }.heard(Purpose::Direct, 3, 1).flags, 0x1B);
    }
}
