//! HTTP API over a Unix socket.

pub mod types;
