//! Simulated hardware: electricity meters that speak DL/T 645-2007, with appliances behind them, on one pair of wires;
//! an INSTEON power-line modem with outlets and an energy meter; and the mains as a medium for sockets of our own.
//!
//! It never names the gateway. What it knows of the standard is its own reading of it, the *meter's* side, so that a
//! mistake made in the gateway cannot hide by being made here as well.
//!
//! Pure, in virtual time (time, bytes and seeds are arguments): [`dlt645`], [`appliance`], [`meter`], [`bus`],
//! [`house`], [`insteon`], [`mains`], [`scenario`]. With I/O: [`pty`] (a pseudo terminal) and [`front`] (a thread that puts a [`Wire`] behind
//! one, or behind a TCP port), [`console`] (lines that a person types).
//!
//! ```
//! use std::time::Duration;
//! use plugline_simulator::{Bus, demo_house};
//!
//! let mut bus = Bus::new(1, demo_house(1));
//! let ask = [0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x11, 0x04, 0x33, 0x34, 0x34, 0x35, 0x0d, 0x16];
//! bus.handle_bytes(&ask, Duration::from_secs(1), 1_790_000_000_000);
//! let due = bus.poll_timeout().expect("the kettle's meter answers");
//! let answer = bus.poll_output(due).expect("its answer is due");
//! assert_eq!(answer.bytes[8], 0x91);
//! ```

pub mod appliance;
pub mod bus;
mod civil;
pub mod console;
pub mod dlt645;
pub mod fault;
pub mod figures;
pub mod front;
pub mod house;
pub mod insteon;
pub mod mains;
pub mod meter;
pub mod pty;
mod random;
pub mod scenario;
pub mod wire;

pub use appliance::{Appliance, Kind};
pub use bus::{Bus, Output, Recorded};
pub use dlt645::{Address, Password};
pub use fault::Fault;
pub use figures::Figures;
pub use front::{Front, Outlet};
pub use house::{House, demo_house};
pub use insteon::{Plm, demo_insteon};
pub use meter::{Closing, Meter};
pub use pty::Pty;
pub use wire::Wire;
