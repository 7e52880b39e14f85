//! Tests.

mod mqtt;
mod parts;
