//! A recording as Wireshark reads it: a packet for each chunk, with what it says in the columns. Pure.
//!
//! Format: libpcap's file format 2.4 with microseconds, link type 252 (Wireshark's exported PDUs): tags of two octets
//! number and two of length, big-endian, padded to four; then the bytes. Nothing in Wireshark needs to know a dialect.

use std::time::Duration;

/// A file's first octets: magic number, version 2.4, no offset, longest packet, link type 252.
pub const HEADER: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 252, 0, 0, 0];

/// Name of the dissector that takes the bytes.
const DISSECTOR: u16 = 12;
/// What stands in the column "Protocol".
const PROTOCOL: u16 = 33;
/// Direction: 0 sent, 1 received.
const DIRECTION: u16 = 35;
/// What stands in the column "Info".
const INFO: u16 = 36;
const END: u16 = 0;

/// Longest text of the column "Info", in octets.
const INFO_MAX: usize = 4096;

/// A chunk on its way into the file.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When, since 1970 UTC.
    pub at: Duration,
    /// It came from the line.
    pub received: bool,
    /// The dialect.
    pub protocol: &'a str,
    /// What it says.
    pub info: &'a str,
    /// The bytes, at most [`CHUNK_MAX`](super::recording::CHUNK_MAX).
    pub bytes: &'a [u8],
}

impl Packet<'_> {
    /// Appends the packet to a file's octets.
    pub fn append(&self, to: &mut Vec<u8>) {
        let info = self.info.floor_char_boundary(INFO_MAX);
        let mut body = Vec::with_capacity(self.bytes.len() + info + 64);
        tag(DISSECTOR, b"data", &mut body);
        tag(PROTOCOL, self.protocol.as_bytes(), &mut body);
        tag(DIRECTION, &u32::from(self.received).to_be_bytes(), &mut body);
        tag(INFO, &self.info.as_bytes()[..info], &mut body);
        tag(END, &[], &mut body);
        body.extend(self.bytes);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        // Seconds until the year 2106.
        let seconds = u32::try_from(self.at.as_secs()).unwrap_or(u32::MAX);
        for word in [seconds, self.at.subsec_micros(), length, length] {
            to.extend(word.to_le_bytes());
        }
        to.extend(body);
    }
}

fn tag(number: u16, value: &[u8], to: &mut Vec<u8>) {
    let padded = value.len().next_multiple_of(4);
    to.extend(number.to_be_bytes());
    to.extend(u16::try_from(padded).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(value);
    to.resize(to.len() + padded - value.len(), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_its_tags_and_its_bytes() {
        let mut file = Vec::new();
        let at = Duration::new(5, 7_000);
        Packet { at, received: true, protocol: "insteon", info: "echo", bytes: &[2, 0x60] }.append(&mut file);
        let wanted = [
            &[5, 0, 0, 0, 7, 0, 0, 0][..],
            &[42, 0, 0, 0, 42, 0, 0, 0],
            b"\0\x0C\0\x04data",
            b"\0\x21\0\x08insteon\0",
            b"\0\x23\0\x04\0\0\0\x01",
            b"\0\x24\0\x04echo",
            &[0, 0, 0, 0],
            &[2, 0x60],
        ];
        assert_eq!(file, wanted.concat());
    }
}
