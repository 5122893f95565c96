//! HTTP and JSON over a Unix socket: the only way into a running agent.
//!
//! `types` is the contract; `server` and `client` are its two ends; `backend` asks the daemon.

pub mod backend;
pub mod client;
pub mod error;
pub mod metrics;
pub mod server;
pub mod types;

mod routes;
