//! The hub: registry, commands, poll plan and events of all lines, as one state machine. Pure.
//!
//! Four verbs: `handle_*` (the world tells), `poll_output` (what to do, in order), `poll_timeout`.
//! A state changes only when the line says so.

pub mod command;
mod effect;
pub mod energy;
pub mod feed;
pub mod plan;
pub mod registry;

pub use effect::{
    Answer, Effect, LineHealth, LineIndex, NewCommand, Output, Persisted, Record, Refused, Request,
    RequestId, Wish,
};
