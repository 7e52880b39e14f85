//! Plugline: a gateway between passive sockets on the mains wiring and people's programs.
//!
//! The map, from the pure heart outwards. Imports run one way, downwards in this list; `tests/it/architecture.rs`
//! holds the exact ranks and fails when they are broken.
//!
//! | module | owns |
//! |---|---|
//! | [`mod@device`] | the nouns: ids, quantities, readings, devices |
//! | [`access`] | who may do what |
//! | [`mod@line`] | the verbs of a line, and one folder per dialect |
//! | [`hub`] | registry, commands, poll plan, energy ledger, events: one state machine |
//! | [`site`] | the time zone of the house and its days |
//! | [`frames`] | frames of every dialect as JSON |
//! | [`json`], [`record`] | the nouns as JSON of the contracts, and as they are stored |
//! | [`source`] | what readers of the feed and callers of commands need, as two traits |
//! | [`config`] | the configuration, validated once |
//! | [`door`] | the two doors between the hub and everybody else |
//! | [`port`] | bytes in and out of serial ports, near and over TCP; recordings of them |
//! | [`log`], [`store`], [`disk`] | the event log, the registry in sled, the thread that runs both |
//! | [`upkeep`] | the gateway's own affairs: counts, the last lines of its log, configuration and restart |
//! | [`mqtt`], [`http`] | the edges |
//! | [`run`] | all of it put together; the event loop and the only clock |
//! | [`cli`] | the command line, one file per verb |
//!
//! Start reading at [`hub::Hub`] (what is decided) or at `run/event_loop.rs` (what is done).

pub mod access;
pub mod cli;
pub mod config;
pub mod device;
pub mod disk;
pub mod door;
pub mod frames;
pub mod http;
pub mod hub;
pub mod json;
pub mod line;
pub mod log;
pub mod mqtt;
pub mod port;
pub mod record;
pub mod run;
pub mod site;
pub mod source;
pub mod store;
pub mod upkeep;
