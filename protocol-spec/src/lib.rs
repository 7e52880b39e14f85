//! The Plugline line protocol: every byte that two programs must agree on, and nothing else.
//!
//! No allocation, no clock, no I/O, no randomness: bytes, counters and nonces are arguments. The gateway, the socket
//! and the simulator build on this crate; the text that it obeys stands beside it in `protocol-spec/`.
//!
//! | module | owns | text |
//! |---|---|---|
//! | [`frame`] | the frame: kinds, header, lengths, CRC | `line.md` §3 |
//! | [`messages`] | what frames carry: REPORT, COMMAND, RESPONSE, BEACON, joining, RESUME | `messages.md`, `join.md` |
//! | [`reading`] | the metering values and flags inside REPORT and RESPONSE | `messages.md` §6.2 |
//! | [`security`] | keys, sealing and opening, short tags, freshness | `security.md` |
//! | [`label`] | what is printed on a socket | `join.md` §7.1 |
//! | [`timing`] | airtime and the numbers of the superframe | `timing.md` |
//! | [`hostlink`] | the serial protocol between gateway and modem | `host-link.md` |
//! | [`fields`] | the one list of (name, value) that every frame and message has | – |
//!
//! # One frame, both ways
//!
//! ```
//! use plugline_protocol::frame::{Frame, Options};
//! use plugline_protocol::messages::{Report, Ask, Command};
//! use plugline_protocol::security::{Channel, Key};
//! use plugline_protocol::{Eui64, Identity, NetworkId, ShortAddress};
//!
//! let who = Identity { eui: Eui64(*b"\x02\xA0\xB1\xFF\xFE\0\x124"), network: NetworkId(0x4A17), short: ShortAddress(0x12) };
//! let down = Channel::down(&Key::new([7; 16]), &who);
//! let mut out = [0; plugline_protocol::frame::MAX_PDU];
//! let pdu = down.seal(Options::default(), 81, &Command { reference: 0x1234, ask: Ask::Switch { on: true } }, &mut out)?;
//!
//! let frame = Frame::parse(pdu)?;
//! let mut clear = [0; plugline_protocol::frame::MAX_PAYLOAD];
//! let command = Command::parse(down.open(&frame, &mut clear)?)?;
//! assert_eq!(command.ask, Ask::Switch { on: true });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod fields;
pub mod frame;
pub mod hostlink;
pub mod label;
pub mod messages;
pub mod reading;
pub mod security;
pub mod timing;
pub mod wire;

mod address;

pub use address::{Eui64, Identity, NetworkId, ShortAddress};

/// Minor version of this text and code; told in JOIN-UP. The major version is the two top bits of a frame.
pub const MINOR_VERSION: u8 = 0;
