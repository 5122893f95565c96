//! What must hold for any octets that the parsers of the kernel programs are given.
//!
//! One module a target, each with a `check` that panics where a property is broken. libFuzzer calls
//! it with what it invents, `tests/replay.rs` with the corpus. The reference is another parser of
//! the same format, as servers and resolvers use them: what it reads must not be missed.

pub mod dns;
mod endpoint;
mod flight;
pub mod http;
pub mod name_tree;
pub mod socks;
pub mod tls;
mod tree;

/// Name and property.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 5] = [
    ("dns", dns::check),
    ("http", http::check),
    ("name_tree", name_tree::check),
    ("socks", socks::check),
    ("tls", tls::check),
];
