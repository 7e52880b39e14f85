//! What frames carry, one file per message. Knows no keys but as contents. `messages.md`.
//!
//! Secured messages are a [`Payload`]; [`crate::security::Channel`] puts them into frames. Joining and RESUME have
//! bodies of their own, made and checked by [`crate::security`].

mod beacon;
mod command;
pub mod extension;
mod join;
mod report;
mod response;

pub use beacon::{Beacon, SlotBits, SlotPlan};
pub use command::{Ask, Command, PowerOn, Rejected, reserved};
pub use extension::{Extension, Extensions};
pub use join::{
    Capabilities, GRANT_LEN, Grant, JOIN_DOWN_LEN, JOIN_UP_LEN, JoinDown, JoinUp, RESUME_DOWN_LEN,
    RESUME_HALF_LEN,
};
pub use report::{HISTORY_LEN, History, Report};
pub use response::{Answer, Form, Outcome, Response};

use crate::frame::Kind;
use crate::wire::{Full, Writer};

/// A message that travels in a secured frame.
pub trait Payload {
    /// The kind of frame that carries it.
    const KIND: Kind;

    /// Writes the clear octets of the payload.
    ///
    /// # Errors
    /// [`Full`] when they do not fit.
    fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full>;
}
