//! The serial protocol between gateway and modem: requests and confirms by number, indications, a clock in µs.
//! `host-link.md`.
//!
//! ```text
//! 00 ‖ COBS( type 1 ‖ number 1 ‖ body ‖ CRC-32C 4, little-endian ) ‖ 00
//! ```
//! Nothing is acknowledged for its own sake: a TX-REQ is confirmed, and repeated under its number when the confirm
//! stays away; a lost RX-IND is a frame lost on the line.

mod codec;
mod message;

pub use codec::{Deframer, LinkError, MAX_ENCODED, MAX_PACKET, Packet, encode};
pub use message::{
    Confirm, Hello, LINK_VERSION, Level, Message, ModemKind, Receive, Signal, StartReason, Status, Transmit,
    TxResult,
};
