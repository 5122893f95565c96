//! When a grant holds.

use jiff::{SignedDuration, Timestamp};

/// As written: the end may depend on when the grant was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Option<Timestamp>,
    pub end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    Never,
    /// `notAfter`: the first instant at which the grant no longer holds.
    At(Timestamp),
    /// `ttl`: this long after the grant was first seen.
    After(SignedDuration),
}

/// A resolved validity: from `not_before` up to, but not including, `not_after`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
}

impl Validity {
    /// A `ttl` beyond the last representable instant has no end.
    #[must_use]
    pub fn since(self, first_seen: Timestamp) -> Span {
        let Self { not_before, end } = self;
        let not_after = match end {
            End::Never => None,
            End::At(instant) => Some(instant),
            End::After(ttl) => first_seen.checked_add(ttl).ok(),
        };
        Span {
            not_before,
            not_after,
        }
    }
}
