//! The HTTP contract on a real listener and a real door; the event loop is played by hand.

mod cli;
mod commands;
mod connections;
mod description;
mod energy;
mod erase;
mod examples;
mod held;
pub(crate) mod lab;
mod log;
mod manage;
mod metrics;
mod polls;
mod readings;
mod resources;
mod streams;
