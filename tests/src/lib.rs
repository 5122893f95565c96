//! Harness of the end-to-end tests, the evasion suite and the benchmarks.

pub mod bench;
pub mod evade;
pub mod harness;
