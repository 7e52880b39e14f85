//! The command line: one thin file per verb.

pub mod client;
pub mod decode;
pub mod events;
pub mod sockets;
pub mod sse;
pub mod switch;
