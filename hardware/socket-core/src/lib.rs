//! THE SOCKET: what a Plugline socket does, as a state machine without I/O. Firmware and simulator run this very code,
//! so that a simulated house behaves as a real one.
//!
//! No allocation, no clock, no randomness, no `unsafe`: octets, times and entropy are arguments. The text that it
//! obeys is `protocol-spec/`.
//!
//! | file | owns |
//! |---|---|
//! | `socket.rs` | the verbs, and what goes on without anybody asking |
//! | `socket/receive.rs`, `command.rs`, `report.rs` | frames that come; commands; what is reported, when |
//! | `outbox.rs` | when to speak: answers, slots, listening |
//! | `clock.rs` `meter.rs` `relay.rs` `panel.rs` | minutes and slots; energy; the relay and its protections; light and button |
//! | `time.rs` `random.rs` `counts.rs` | alarms; waits and nonces; what was dropped |
//! | `place.rs` `settings.rs` `log.rs` `board.rs` | keys and counters; what outlives a power cut, and where |
//!
//! # Verbs
//!
//! Call a `handle_…` for whatever happens, then drain [`Socket::poll_output`], then sleep until
//! [`Socket::poll_timeout`] and call [`Socket::handle_timeout`]. Times are µs of one clock that starts anywhere, never
//! goes back, and is right to 50 ppm. What must outlive a power cut is on the [`Board`] before an output depends on it.
//!
//! ```
//! use plugline_protocol::messages::Capabilities;
//! use plugline_protocol::{Eui64, security::Key, timing::LineRate};
//! use plugline_socket::{Board, Factory, Limits, Output, Socket, Start, Transmitted};
//!
//! struct Flash(Vec<u8>);
//! impl Board for Flash {
//!     const PAGE_LEN: usize = 2048;
//!     const PAGES: usize = 14;
//!     fn read(&self, page: usize, at: usize, into: &mut [u8]) {
//!         let from = page * Self::PAGE_LEN + at;
//!         into.copy_from_slice(&self.0[from..from + into.len()]);
//!     }
//!     fn erase(&mut self, page: usize) {
//!         self.0[page * Self::PAGE_LEN..][..Self::PAGE_LEN].fill(0xFF);
//!     }
//!     fn write(&mut self, page: usize, at: usize, octets: &[u8]) {
//!         self.0[page * Self::PAGE_LEN + at..][..octets.len()].copy_from_slice(octets);
//!     }
//! }
//!
//! let factory = Factory {
//!     eui: Eui64(*b"\x02\xA0\xB1\xFF\xFE\0\x124"),
//!     install_key: Key::new([7; 16]),
//!     hardware: 1,
//!     capabilities: Capabilities { relay: true, meter: true, ring: true, ..Capabilities::default() },
//!     limits: Limits { current_ma: 16_000, temperature_c: 85 },
//!     rate: LineRate::REFERENCE,
//!     crc: true,
//! };
//! let flash = Flash(vec![0xFF; 14 * 2048]);
//! let mut socket = Socket::new(factory, flash, Start::PowerOn, [1, 2, 3, 4], 0);
//! let mut asked_to_join = false;
//! while !asked_to_join {
//!     socket.handle_timeout(socket.poll_timeout());
//!     while let Some(output) = socket.poll_output() {
//!         let Output::Transmit(frame) = output else { continue };
//!         let ended_us = frame.not_before_us + 153_334;
//!         asked_to_join = true;
//!         socket.handle_transmitted(Transmitted::Sent { ended_us }, ended_us);
//!     }
//! }
//! assert!(socket.poll_timeout() > 30_000_000);
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod board;
mod clock;
mod counts;
mod log;
mod meter;
mod outbox;
mod panel;
mod place;
mod random;
mod relay;
mod settings;
mod socket;
#[cfg(test)]
mod testing;
mod time;

pub use board::Board;
pub use counts::Counts;
pub use meter::Sample;
pub use outbox::{Transmit, Transmitted};
pub use panel::Led;
pub use relay::Limits;
pub use settings::{Options, SETTINGS_LEN};
pub use socket::{Factory, Membership, Output, Socket, Start};
