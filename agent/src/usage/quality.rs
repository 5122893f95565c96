//! How numbers were obtained.

use agent_common::counter::Counts;

/// How a number was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    Exact,
    Inferred,
    /// More will come: connections are still open, or not counted.
    LowerBound,
    Unknown,
}

/// How the calls were counted: inferred, but where nothing was let through. What is not metered, or
/// overlaps, may have had more.
pub(super) const fn of_calls(counts: &Counts) -> Quality {
    let tcp = counts
        .connects_allowed
        .saturating_add(counts.connects_would_deny)
        .saturating_sub(counts.udp_connects);
    let datagrams = counts
        .datagrams_allowed
        .saturating_add(counts.datagrams_would_deny)
        .saturating_add(counts.udp_connects);
    let is_partial = counts.metered < tcp || datagrams > 0;
    if is_partial && counts.metered == 0 && counts.calls == 0 {
        Quality::Unknown
    } else if is_partial || counts.overlaps > 0 {
        Quality::LowerBound
    } else if counts.metered == 0 && counts.calls == 0 {
        Quality::Exact
    } else {
        Quality::Inferred
    }
}
