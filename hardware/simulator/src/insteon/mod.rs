//! INSTEON: a power-line modem with outlets and energy meters around it, its own reading of the protocol.
//!
//! Sources: the maker's guides (2412 modem 2007, i2CS 2012, 2635-222 and 2663-222 device notes) and public captures;
//! `captures.rs` holds the latter and checks them byte for byte. Pure, in virtual time.

mod air;
mod command;
pub mod demo;
mod device;
mod energy;
mod fault;
mod host;
mod links;
mod message;
mod plm;
pub mod script;
pub mod shelf;

#[cfg(test)]
mod captures;
#[cfg(test)]
mod tests;

pub use demo::demo_insteon;
pub use device::{Device, Engine, Model};
pub use energy::energy_of_count;
pub use fault::{Fault, NakForm};
pub use links::{AS_CONTROLLER, AS_RESPONDER, Full, Link, Links};
pub use message::Id;
pub use plm::Plm;
pub use script::{Script, recorded};
pub use shelf::Shelf;
