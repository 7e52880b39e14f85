//! The integration tests: one binary, claims as names.

mod architecture;
mod crash;
