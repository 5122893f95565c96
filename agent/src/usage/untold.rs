//! What the counters have more than events have told. Pure.

use agent_common::counter::Counts;

use super::{ProcessRow, Row, UsageRow, adding::Total, connects};

/// What was counted and no event told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    Nothing,
    /// It stands by itself.
    Shown(Total),
    /// Some of it may belong to what is asked for, and nobody knows how much.
    Hidden,
}

impl Untold {
    /// `told` and `counted` are of the same time, identities and endpoints.
    #[must_use]
    pub fn of<'r>(
        told: impl IntoIterator<Item = &'r ProcessRow>,
        counted: impl IntoIterator<Item = &'r UsageRow>,
    ) -> Self {
        let Some(all) = sum(counted.into_iter().map(Row::total)) else {
            return Self::Nothing;
        };
        let told = sum(told.into_iter().map(Row::total));
        let told = told.map(|told| told.counts).unwrap_or_default();
        let all_counts = all.counts;
        let counts = Counts {
            connects_allowed: all_counts
                .connects_allowed
                .saturating_sub(told.connects_allowed),
            connects_denied: all_counts
                .connects_denied
                .saturating_sub(told.connects_denied),
            connects_would_deny: all_counts
                .connects_would_deny
                .saturating_sub(told.connects_would_deny),
            ..Counts::default()
        };
        if connects(&counts) == 0 {
            return Self::Nothing;
        }
        Self::Shown(Total { counts, ..all })
    }

    /// As it is where only some processes are asked for.
    #[must_use]
    pub const fn hidden(self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Shown(_) | Self::Hidden => Self::Hidden,
        }
    }
}

/// All of it together; `None` if there is nothing.
fn sum(totals: impl Iterator<Item = Total>) -> Option<Total> {
    totals.reduce(|mut sum, total| {
        sum.absorb(&total);
        sum
    })
}
