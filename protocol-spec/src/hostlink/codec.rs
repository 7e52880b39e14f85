//! Packets in a stream of bytes, and back in step after any garbage. Knows no message. `host-link.md` §9.1.

use core::fmt;

use crc::{CRC_32_ISCSI, Crc};

use super::Message;
use crate::wire::{Full, Writer};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const CRC_LEN: usize = 4;
const HEAD_LEN: usize = 2;

/// The longest packet, before COBS: a TX-REQ with the longest PDU, and room for later fields.
pub const MAX_PACKET: usize = 160;
/// The longest packet on the wire: COBS adds one octet below 254, and a zero stands at both ends.
pub const MAX_ENCODED: usize = MAX_PACKET + 3;

/// A packet whose CRC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The type; [`Message::parse`] knows them.
    pub kind: u8,
    /// The number.
    pub seq: u8,
    /// The rest.
    pub body: &'a [u8],
}

/// Why bytes between two zeros are no packet. Counted, dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkError {
    /// No COBS.
    Stuffing,
    /// Too short to hold type, number and CRC.
    Short,
    /// The CRC is wrong.
    Crc,
    /// More bytes than any packet has.
    Long,
}

impl LinkError {
    /// `crc`, `long` …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stuffing => "stuffing",
            Self::Short => "short",
            Self::Crc => "crc",
            Self::Long => "long",
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for LinkError {}

/// Finds packets in a stream. A zero ends whatever came before it, so that garbage costs at most what it touches.
#[derive(Clone, Debug)]
pub struct Deframer {
    bytes: [u8; MAX_PACKET + 1],
    /// Bytes since the last zero, those beyond the buffer included.
    len: usize,
}

impl Deframer {
    /// In step from the first zero on.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; MAX_PACKET + 1], len: 0 }
    }

    /// Takes one byte. A zero behind others gives a packet, or why it is none.
    pub fn push(&mut self, byte: u8) -> Option<Result<Packet<'_>, LinkError>> {
        if byte != 0 {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
            }
            self.len = self.len.saturating_add(1);
            return None;
        }
        match core::mem::take(&mut self.len) {
            0 => None,
            len => Some(self.bytes.get_mut(..len).ok_or(LinkError::Long).and_then(unpack)),
        }
    }

    /// Forgets what came since the last zero: the port was opened anew.
    pub fn reset(&mut self) {
        self.len = 0;
    }

    /// Bytes that wait for their zero.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.len
    }
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

fn unpack(bytes: &mut [u8]) -> Result<Packet<'_>, LinkError> {
    let len = cobs::decode_in_place(bytes).map_err(|_| LinkError::Stuffing)?;
    let packet = bytes.get(..len).ok_or(LinkError::Stuffing)?;
    let (packet, crc) = packet.split_last_chunk::<CRC_LEN>().ok_or(LinkError::Short)?;
    let [kind, seq, body @ ..] = packet else { return Err(LinkError::Short) };
    if u32::from_le_bytes(*crc) != CRC.checksum(packet) {
        return Err(LinkError::Crc);
    }
    Ok(Packet { kind: *kind, seq: *seq, body })
}

/// Writes a message under its number to `out`, zeros at both ends, and gives the bytes.
///
/// # Errors
/// [`Full`] when `out` is too small ([`MAX_ENCODED`] is enough) or the message too long.
pub fn encode<'o>(seq: u8, message: &Message<'_>, out: &'o mut [u8]) -> Result<&'o [u8], Full> {
    let mut packet = [0; MAX_PACKET];
    let (room, _) = packet.split_at_mut(MAX_PACKET - CRC_LEN);
    let mut writer = Writer::new(room);
    writer.u8(message.kind())?;
    writer.u8(seq)?;
    message.emit(&mut writer)?;
    let len = writer.len();
    debug_assert!(len >= HEAD_LEN, "type and number were written");
    let crc = CRC.checksum(&packet[..len]).to_le_bytes();
    packet[len..len + CRC_LEN].copy_from_slice(&crc);
    let end = cobs::try_encode_including_sentinels(&packet[..len + CRC_LEN], out).map_err(|_| Full)?;
    Ok(&out[..end])
}
