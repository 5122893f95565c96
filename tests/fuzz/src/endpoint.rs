//! The agent's host patterns and the tree that it compiles them to.
//!
//! Taken as source: the agent as a crate would bring its kernel programs and its store.

#[allow(dead_code, unreachable_pub, reason = "the agent uses more of it")]
#[path = "../../../agent/src/endpoint/host_pattern.rs"]
mod host_pattern;
#[allow(dead_code, unreachable_pub, reason = "the agent uses more of it")]
#[path = "../../../agent/src/endpoint/name_tree.rs"]
mod name_tree;

pub(crate) use host_pattern::HostPattern;
pub(crate) use name_tree::{NameUse, build};

/// Whether `pattern` means `host`, in any case and with or without a trailing dot.
pub(crate) fn is_meant(pattern: &HostPattern, host: &str) -> bool {
    pattern.matches(&host_pattern::normalise(host))
}
