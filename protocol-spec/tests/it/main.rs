//! The tests of the protocol: one binary, claims as names. `// [PLG-…]` in front of a test names the requirements of
//! the text that it is about.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail as loudly as the test")]

mod claims;
mod freshness;
mod joining;
mod properties;
mod text;
mod vectors;
mod world;

#[path = "../versions/v1.rs"]
mod v1;
