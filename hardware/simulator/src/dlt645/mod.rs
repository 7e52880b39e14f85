//! The meter's side of DL/T 645-2007, read from the standard independently of the gateway.
//!
//! ```text
//! FE…  68  A0 A1 A2 A3 A4 A5  68  C  L  D0 … D(L-1)  CS  16
//!          12 BCD digits,             +33 each        sum of all from the first 68 to the last D
//!          lowest byte first
//! ```
//!
//! It knows frames, data formats and the relay command; it does not know what a meter measures or when.

use std::fmt;

mod items;
mod relay;
mod reply;
mod request;

pub(crate) use items::{View, data_of};
pub use relay::Password;
pub(crate) use relay::{Action, RelayCommand};
pub use reply::Error;
#[cfg(test)]
pub(crate) use reply::reply;
pub(crate) use reply::{accepted, following, read, refused};
pub use request::Request;
pub(crate) use request::{Heard, Parser};

/// First byte of a frame and the byte after its address.
const START: u8 = 0x68;
/// Last byte of a frame.
const END: u8 = 0x16;
/// Wakes a receiver; any number before a frame, in no sum.
pub(crate) const PREAMBLE: u8 = 0xfe;
/// Added to every data byte on the wire.
const OFFSET: u8 = 0x33;
/// Stands for any digits in a request's address.
const WILDCARD: u8 = 0xaa;
/// Six of them address every meter; none answers.
const BROADCAST: u8 = 0x99;

/// Control codes of requests.
pub(crate) mod control {
    pub(crate) const READ: u8 = 0x11;
    pub(crate) const READ_FOLLOWING: u8 = 0x12;
    pub(crate) const READ_ADDRESS: u8 = 0x13;
    pub(crate) const RELAY: u8 = 0x1c;
    pub(crate) const SET_TIME: u8 = 0x08;
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// The twelve digits that a meter answers to, in the order of the wire (lowest byte first).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 6]);

impl Address {
    /// Parses twelve decimal digits as printed on a meter, highest first: `000000004711`.
    #[must_use]
    pub fn parse(digits: &str) -> Option<Self> {
        let digits: [u8; 12] = digits.as_bytes().try_into().ok()?;
        let mut wire = [0; 6];
        for (byte, pair) in wire.iter_mut().rev().zip(digits.chunks_exact(2)) {
            if !pair.iter().all(u8::is_ascii_digit) {
                return None;
            }
            *byte = ((pair[0] - b'0') << 4) | (pair[1] - b'0');
        }
        Some(Self(wire))
    }

    /// The six bytes as they stand on the wire.
    #[must_use]
    pub fn wire(self) -> [u8; 6] {
        self.0
    }

    /// Does a meter of this address feel addressed by `asked` (as on the wire)? Wildcards stand in the high bytes
    /// only: the short form of an address.
    #[must_use]
    pub fn is_meant_by(self, asked: [u8; 6]) -> bool {
        let named = asked.iter().position(|byte| *byte == WILDCARD).unwrap_or(asked.len());
        asked[..named] == self.0[..named] && asked[named..].iter().all(|byte| *byte == WILDCARD)
    }
}

/// Does the request go to everyone, without an answer?
pub(crate) fn is_broadcast(asked: [u8; 6]) -> bool {
    asked == [BROADCAST; 6]
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_it_was_written() {
        let address = Address::parse("100023669245").unwrap();
        assert_eq!(address.wire(), [0x45, 0x92, 0x66, 0x23, 0x00, 0x10]);
        assert_eq!(address.to_string(), "100023669245");
    }

    #[test]
    fn what_is_not_twelve_digits_is_no_address() {
        for text in ["", "00000000471", "0000000047110", "00000000471a", "00000000471é"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wildcards_count_in_the_high_bytes_only() {
        let address = Address::parse("000000004711").unwrap();
        assert!(address.is_meant_by([0xaa; 6]));
        assert!(address.is_meant_by([0x11, 0x47, 0xaa, 0xaa, 0xaa, 0xaa]));
        assert!(!address.is_meant_by([0xaa, 0x47, 0, 0, 0, 0]));
        assert!(!address.is_meant_by([0x12, 0x47, 0xaa, 0xaa, 0xaa, 0xaa]));
    }
}
