//! Benchmarks: what the kernel side adds to a call, in pairs measured within the same moment.
//!
//! Machines are shared and noisy, so only ratios and differences of interleaved rounds are
//! reported: every round measures every variant once, in rotating order, and each is compared
//! with the baseline of its own round.

pub mod agent;
pub mod anomaly;
pub mod audit;
pub mod connect;
pub mod identities;
pub mod measure;
pub mod names;
pub mod packets;
pub mod revocation;
pub mod site;
pub mod stats;
