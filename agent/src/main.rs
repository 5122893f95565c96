//! The `weir` program: everything is in the library.

fn main() {}
