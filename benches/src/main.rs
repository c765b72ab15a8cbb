//! The comparative benches.
fn main() {}
