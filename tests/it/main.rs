//! The integration tests: one binary, claims as names.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail as loudly as the test")]

mod access;
mod architecture;
mod capture;
mod command_line;
mod crash;
mod demo;
mod doctor;
mod end_to_end;
mod end_to_end_groups;
mod end_to_end_insteon;
mod framers;
mod gateway;
mod grid;
mod groups;
mod guard;
mod house;
mod http;
mod insteon;
mod keeping;
mod managing;
mod metering;
mod mqtt;
mod mqtt_examples;
mod mqtt_tls;
mod parts;
mod patterns;
mod ports;
mod proxies;
mod requirements;
mod rig;
mod switching;
mod upkeep;
mod vectors;
mod watching;
