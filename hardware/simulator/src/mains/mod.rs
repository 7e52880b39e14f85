//! The mains as a medium for frames, in virtual time: the line itself, the modem on it, and a plain station model
//! that proves the line right.
//!
//! Pure and seeded: times are whole microseconds handed in, frames are opaque bytes. What the frames mean is the
//! business of those who send them.
//!
//! ```
//! use plugline_simulator::mains::{LEVEL, Line, Noise, Phase, Phy, Setup, Wiring};
//!
//! let wiring = Wiring::new(&[Phase::L1, Phase::L1], &LEVEL, 1);
//! let mut line = Line::new(Setup { phy: Phy::default(), wiring, noise: Noise::quiet(), loss_ppm: 0, seed: 1 });
//! let end_us = line.transmit(1, b"hello", 0).expect("node 1 is silent");
//! line.handle_timeout(end_us);
//! assert_eq!(&*line.poll_delivery().expect("node 0 hears it").bytes, b"hello");
//! ```

pub mod csma;
mod host;
mod house;
mod line;
pub mod modem;
mod noise;
mod phy;
mod reception;
mod slots;
mod wiring;

pub use host::{Host, HostStats};
pub use house::{BadMemory, House, Memory, Move, Overheard, Station};
pub use line::{Delivery, FRAME_BYTES_MAX, Line, Refused, Setup, Stats, Truth, dealt_phases};
pub use noise::{Noise, Shape, Source};
pub use phy::Phy;
pub use plugline_socket::{Counts, Led, Membership};
pub use slots::Slots;
pub use wiring::{LEVEL, Node, Phase, Rule, Wiring};
