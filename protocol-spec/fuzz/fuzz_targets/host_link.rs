//! Any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugline_protocol_fuzz::host_link(bytes));
