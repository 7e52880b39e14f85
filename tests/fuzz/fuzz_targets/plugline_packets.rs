//! Any bytes, as they come from a port.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugline_fuzz::plugline_packets(bytes));
