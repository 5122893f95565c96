//! Weir's agent: layers downward only.
//!
//! `cli` → `api` → `daemon` → adapters (`bpf`, `store`, `host`, `config`) → pure domain (`policy`,
//! `identity`, `endpoint`, `usage`). Domain code has no clock, no I/O, no tokio and no aya.

pub mod api;
pub mod bpf;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod endpoint;
pub mod host;
pub mod identity;
pub mod policy;
pub mod store;
pub mod usage;
