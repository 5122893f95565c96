//! What usage is estimated to cost, by rules that the user sets. Pure.
//!
//! Sums are whole numbers of the smallest unit: nothing is rounded before it is shown. Tokens are not
//! counted anywhere; a rule may say how many a call is meant to have.

use std::{fmt, iter::Sum, ops::Add};

use agent_common::counter::Counts;

use super::quality::{Quality, of_calls};
use crate::endpoint::{Endpoint, Plane};

/// In a rule: all endpoints that are called.
const EVERY_ENDPOINT: &str = "*";

/// An amount of money: a whole number of 10^-18 dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars(u128);

impl Dollars {
    const ONE: u128 = 1_000_000_000_000_000_000;
    /// Prices are whole numbers of 10^-12 dollars, so that a millionth of one is exact.
    const PRICE_UNIT: u128 = 1_000_000;
    /// No price is higher.
    pub const MOST: f64 = 1_000_000.0;
    pub const ZERO: Self = Self(0);

    /// The nearest price to a decimal fraction of dollars; `None` for what is negative, beyond
    /// [`Dollars::MOST`] or no number.
    #[must_use]
    pub fn price(dollars: f64) -> Option<Self> {
        if !(0.0..=Self::MOST).contains(&dollars) {
            return None;
        }
        Some(Self((dollars * 1e12).round() as u128 * Self::PRICE_UNIT))
    }

    /// The nearest fraction of dollars.
    #[must_use]
    pub const fn to_f64(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }

    /// So many times this.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count.into()))
    }

    /// What `count` are, where this is the price of a million of them.
    #[must_use]
    pub fn of_a_million(self, count: u64) -> Self {
        Self((self.0 / 1_000_000).saturating_mul(count.into()))
    }
}

impl Add for Dollars {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Dollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// As people write it: cents, and more digits below a dollar.
impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: f64 = 0.0001;
        match self.to_f64() {
            0.0 => write!(f, "$0"),
            dollars @ 1.0.. => write!(f, "${dollars:.2}"),
            dollars @ SHOWN.. => write!(f, "${dollars:.4}"),
            _ => write!(f, "<${SHOWN}"),
        }
    }
}

/// What one endpoint's usage is estimated to cost; a part that is absent costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    pub per_call: Option<Dollars>,
    /// Of a million octets of payload, in both directions together.
    pub per_megabyte: Option<Dollars>,
}

/// Which endpoints a rate is for: the first rule that selects an endpoint counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostRule {
    /// An endpoint, what is below one, a provider or `*`, as in a grant.
    pub endpoint: String,
    pub rate: Rate,
}

impl CostRule {
    #[must_use]
    pub fn selects(&self, endpoint: &Endpoint) -> bool {
        let is_meant = self.endpoint == EVERY_ENDPOINT && endpoint.plane == Plane::Invoke;
        is_meant || endpoint.is_selected_by(&self.endpoint)
    }
}

/// The rate of the first of `rules` that selects the endpoint; `None`: what it costs is unknown.
#[must_use]
pub fn rate_of(rules: &[CostRule], endpoint: &Endpoint) -> Option<Rate> {
    let rule = rules.iter().find(|rule| rule.selects(endpoint));
    rule.map(|rule| rule.rate)
}

/// What is known about a cost: always by a rule, never by a bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    pub dollars: Dollars,
    /// There is more that has no rule, or that the rule needs and was not counted or only in part.
    pub is_partial: bool,
}

impl Rate {
    /// `None` if nothing that the rate needs was counted: unknown, not zero.
    #[must_use]
    pub fn estimate(&self, counts: &Counts) -> Option<Estimate> {
        let calls = self.per_call.map(|price| calls_cost(price, counts));
        let bytes = self.per_megabyte.map(|price| bytes_cost(price, counts));
        add_up(calls.into_iter().chain(bytes))
    }
}

fn calls_cost(price: Dollars, counts: &Counts) -> Option<Estimate> {
    let is_partial = match of_calls(counts) {
        Quality::Exact | Quality::Inferred => false,
        Quality::LowerBound => true,
        Quality::Unknown => return None,
    };
    let dollars = price.times(counts.calls);
    Some(Estimate {
        dollars,
        is_partial,
    })
}

fn bytes_cost(price: Dollars, counts: &Counts) -> Option<Estimate> {
    let connections = passed(counts);
    if counts.closed == 0 && connections > 0 {
        return None;
    }
    let bytes = counts.bytes_out.saturating_add(counts.bytes_in);
    Some(Estimate {
        dollars: price.of_a_million(bytes),
        is_partial: connections > counts.closed,
    })
}

/// Connections and datagrams that were let through.
const fn passed(counts: &Counts) -> u64 {
    counts
        .connects_allowed
        .saturating_add(counts.connects_would_deny)
        .saturating_add(counts.datagrams_allowed)
        .saturating_add(counts.datagrams_would_deny)
}

/// What was refused costs nothing, whatever the rules say.
const fn is_nothing(counts: &Counts) -> bool {
    passed(counts) == 0 && counts.calls == 0 && counts.closed == 0
}

/// The cost of usage at several endpoints, each with its rate if it has one; `None` if nothing of it is
/// known.
#[must_use]
pub fn total<'c>(
    parts: impl IntoIterator<Item = (Option<&'c Rate>, &'c Counts)>,
) -> Option<Estimate> {
    let parts = parts.into_iter();
    let costs = parts.filter_map(|(rate, counts)| match rate {
        Some(rate) => Some(rate.estimate(counts)),
        None if is_nothing(counts) => None,
        None => Some(None),
    });
    add_up(costs)
}

/// The sum of what is known, and whether something is not.
fn add_up(costs: impl Iterator<Item = Option<Estimate>>) -> Option<Estimate> {
    let (mut sum, mut is_partial) = (None::<Dollars>, false);
    for cost in costs {
        match cost {
            Some(cost) => {
                sum = Some(sum.unwrap_or_default() + cost.dollars);
                is_partial |= cost.is_partial;
            }
            None => is_partial = true,
        }
    }
    sum.map(|dollars| Estimate {
        dollars,
        is_partial,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dollars(amount: f64) -> Dollars {
        Dollars::price(amount).expect("a price")
    }

    /// So many connections, of which some have ended with a kilobyte each, and calls on all of them.
    fn counts(connections: u64, closed: u64, calls: u64) -> Counts {
        Counts {
            connects_allowed: connections,
            metered: connections,
            closed,
            bytes_out: 400 * closed,
            bytes_in: 600 * closed,
            calls,
            ..Counts::default()
        }
    }

    #[test]
    fn a_rate_estimates_what_was_counted_and_says_what_was_not() {
        let check = |per_call, per_megabyte, counts: &Counts, expected: Option<(f64, bool)>| {
            let rate = Rate {
                per_call,
                per_megabyte,
            };
            let found = rate.estimate(counts);
            let found = found.map(|found| (found.dollars, found.is_partial));
            let expected = expected
                .map(|(amount, is_partial)| (Dollars::price(amount).expect("a price"), is_partial));
            assert_eq!(found, expected, "{rate:?} of {counts:?}");
        };
        let (call, megabyte) = (Some(dollars(0.002)), Some(dollars(0.5)));
        check(call, None, &counts(3, 0, 7), Some((0.014, false)));
        check(None, megabyte, &counts(3, 3, 7), Some((0.0015, false)));
        check(call, megabyte, &counts(3, 3, 7), Some((0.0155, false)));
        check(call, megabyte, &counts(3, 2, 7), Some((0.015, true)));
        check(call, megabyte, &counts(3, 0, 7), Some((0.014, true)));
        check(None, megabyte, &counts(3, 0, 7), None);
        let unmetered = Counts {
            metered: 0,
            calls: 0,
            ..counts(3, 3, 0)
        };
        check(call, None, &unmetered, None);
        check(call, megabyte, &unmetered, Some((0.0015, true)));
        let refused = Counts {
            connects_denied: 9,
            ..Counts::default()
        };
        check(call, megabyte, &refused, Some((0.0, false)));
        check(None, None, &counts(3, 3, 7), None);
    }

    #[test]
    fn a_sum_with_something_unknown_is_no_total() {
        let rate = Rate {
            per_call: Some(dollars(0.01)),
            per_megabyte: None,
        };
        let check = |parts: &[(bool, Counts)], expected: Option<(f64, bool)>| {
            let parts = parts.iter();
            let found = total(parts.map(|(known, counts)| (known.then_some(&rate), counts)));
            let found = found.map(|found| (found.dollars.to_f64(), found.is_partial));
            assert_eq!(found, expected);
        };
        let refused = Counts {
            connects_denied: 9,
            ..Counts::default()
        };
        check(&[], None);
        check(&[(false, counts(1, 1, 1))], None);
        check(&[(false, refused)], None);
        check(&[(true, counts(1, 1, 5))], Some((0.05, false)));
        check(
            &[(true, counts(1, 1, 5)), (false, refused)],
            Some((0.05, false)),
        );
        check(
            &[(true, counts(1, 1, 5)), (false, counts(1, 0, 0))],
            Some((0.05, true)),
        );
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        for (amount, shown) in [
            (0.0, "$0"),
            (0.000_02, "<$0.0001"),
            (0.0042, "$0.0042"),
            (1.234, "$1.23"),
            (1234.5, "$1234.50"),
        ] {
            assert_eq!(dollars(amount).to_string(), shown);
        }
        for amount in [-1.0, f64::NAN, f64::INFINITY, 1e7] {
            assert_eq!(Dollars::price(amount), None, "{amount}");
        }
    }

    proptest! {
        /// However usage is cut into rows, its parts cost as much as all of it.
        #[test]
        fn sums_do_not_drift(
            per_call in 0.0..10.0_f64,
            per_megabyte in 0.0..10.0_f64,
            rows in proptest::collection::vec((0..1_000_u64, 0..1_000_000_u64), 1..50),
        ) {
            let rate = Rate {
                per_call: Dollars::price(per_call),
                per_megabyte: Dollars::price(per_megabyte),
            };
            let of = |calls: u64, bytes: u64| Counts {
                connects_allowed: 1,
                metered: 1,
                closed: 1,
                calls,
                bytes_in: bytes,
                ..Counts::default()
            };
            let single = rows.iter().filter_map(|(calls, bytes)| rate.estimate(&of(*calls, *bytes)));
            let all = of(
                rows.iter().map(|(calls, _)| calls).sum(),
                rows.iter().map(|(_, bytes)| bytes).sum(),
            );
            let whole = rate.estimate(&all).map(|cost| cost.dollars);
            prop_assert_eq!(Some(single.map(|cost| cost.dollars).sum()), whole);
        }
    }
}
