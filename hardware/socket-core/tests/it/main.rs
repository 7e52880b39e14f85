//! The socket as its gateway, its board and a person see it. Each test drives the real one in virtual time.

mod alone;
mod arbitrary;
mod bench;
mod commands;
mod joining;
mod power;
mod reports;
#[path = "../../src/testing.rs"]
mod testing;

use plugline_socket::Board;
