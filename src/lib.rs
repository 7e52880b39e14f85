//! Plugline: a gateway between passive sockets on the mains wiring and people's programs.
//!
//! The map, from the pure heart outwards; imports run one way, left to right, and `tests/it/architecture.rs` keeps it so:
//! [`device`] ← [`line`] ← hub ← config, json, record, edges' pure files ← door ← port, store, log, edges' I/O ← run ← cli.

pub mod cli;
pub mod config;
pub mod device;
pub mod disk;
pub mod door;
pub mod http;
pub mod hub;
pub mod json;
pub mod line;
pub mod log;
pub mod mqtt;
pub mod port;
pub mod record;
pub mod run;
pub mod source;
pub mod store;
