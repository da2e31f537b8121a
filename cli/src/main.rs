//! framewalk.
fn main() {}
