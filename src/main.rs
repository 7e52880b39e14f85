//! Plugline.
fn main() {}
