//! Weir's agent: layers downward only.
//!
//! `cli` → `api` → `daemon` → adapters (`bpf`, `store`, `host`, `config`) → pure domain (`policy`,
//! `identity`, `endpoint`, `usage`). Domain code has no clock, no I/O, no tokio and no aya.

#![deny(unsafe_code)]

pub mod api;
pub mod bpf;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod endpoint;
pub mod host;
pub mod identity;
pub mod policy;
pub mod run;
pub mod selftest;
pub mod store;
pub mod usage;

/// An error and its causes in one line, as printed and logged at the edge.
///
/// Some libraries repeat a cause in their own text: it is then said once.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
