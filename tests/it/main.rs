//! Tests.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail as loudly as the test")]

mod framers;
mod vectors;
