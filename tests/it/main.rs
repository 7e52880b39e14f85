//! Tests.
mod http;
