//! What workloads have used on grants in this hour and on this day, and which of them have used up what
//! the grant allows. Pure.

use std::collections::BTreeMap;

use agent_common::{
    counter::Counts, destination::EndpointId, identity::IdentityId, policy::RuleId,
};

use super::{
    UsageRow,
    cost::{Dollars, Estimate, Rate, total},
    period::Period,
};
use crate::policy::{Budget, Limits};

/// Whose budget it is.
pub type Spender = (IdentityId, RuleId);

/// Counts of grants in one hour and one day of UTC.
#[derive(Clone, Debug, Default)]
pub struct Spending {
    hour: BTreeMap<Spender, ByEndpoint>,
    day: BTreeMap<Spender, ByEndpoint>,
}

type ByEndpoint = BTreeMap<EndpointId, Counts>;

/// What was used of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    pub calls: u64,
    /// `None`: unknown, which is not zero.
    pub cost: Option<Estimate>,
}

impl Spending {
    /// From what the store has of this hour and this day. `account` tells whose limits an identity uses
    /// up.
    #[must_use]
    pub fn new<'r>(
        hour: impl IntoIterator<Item = &'r UsageRow>,
        day: impl IntoIterator<Item = &'r UsageRow>,
        account: impl Fn(IdentityId) -> IdentityId,
    ) -> Self {
        let mut spending = Self::default();
        for row in hour {
            let spender = (account(row.identity), row.rule);
            add(&mut spending.hour, spender, row.endpoint, &row.counts);
        }
        for row in day {
            let spender = (account(row.identity), row.rule);
            add(&mut spending.day, spender, row.endpoint, &row.counts);
        }
        spending
    }

    /// Adds what has been counted since.
    pub fn add(&mut self, spender: Spender, endpoint: EndpointId, counts: &Counts) {
        add(&mut self.hour, spender, endpoint, counts);
        add(&mut self.day, spender, endpoint, counts);
    }

    /// Everybody who has used something.
    pub fn spenders(&self) -> impl Iterator<Item = Spender> {
        self.day.keys().copied()
    }

    /// What was used in the period that is now.
    #[must_use]
    pub fn spent(
        &self,
        spender: Spender,
        per: Period,
        rates: &BTreeMap<EndpointId, Rate>,
    ) -> Spent {
        let of = match per {
            Period::Minute | Period::Hour => &self.hour,
            Period::Day => &self.day,
        };
        let counts = of.get(&spender);
        let counts = || counts.into_iter().flatten();
        Spent {
            calls: counts().map(|(_, counts)| counts.calls).sum(),
            cost: total(counts().map(|(endpoint, counts)| (rates.get(endpoint), counts))),
        }
    }

    /// The longest period in which a budget of `limits` is used up; `None` if there is something left of
    /// each.
    #[must_use]
    pub fn used_up(
        &self,
        spender: Spender,
        limits: &Limits,
        rates: &BTreeMap<EndpointId, Rate>,
    ) -> Option<Period> {
        let spent = |per| self.spent(spender, per, rates);
        let calls = limits
            .calls
            .filter(|Budget { most, per }| spent(*per).calls >= *most);
        let cost = limits.cost.filter(|Budget { most, per }| {
            let cost = spent(*per).cost;
            cost.map_or(Dollars::ZERO, |cost| cost.dollars) >= *most
        });
        let periods = [calls.map(|calls| calls.per), cost.map(|cost| cost.per)];
        periods.into_iter().flatten().max()
    }
}

fn add(
    sums: &mut BTreeMap<Spender, ByEndpoint>,
    spender: Spender,
    endpoint: EndpointId,
    counts: &Counts,
) {
    let sum = sums
        .entry(spender)
        .or_default()
        .entry(endpoint)
        .or_default();
    *sum = sum.saturating_add(counts);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPENDER: Spender = (IdentityId::from_raw(1), RuleId::from_raw(2));

    fn calls(calls: u64) -> Counts {
        Counts {
            connects_allowed: 1,
            metered: 1,
            calls,
            ..Counts::default()
        }
    }

    #[test]
    fn a_budget_is_used_up_by_all_endpoints_of_its_period_together() {
        let endpoints = [5, 6].map(EndpointId::from_raw);
        let dollars = |amount| Dollars::price(amount).expect("a price");
        let rate = Rate {
            per_call: Some(dollars(0.5)),
            per_megabyte: None,
        };
        // Nothing tells what the second endpoint costs.
        let rates = BTreeMap::from([(endpoints[0], rate)]);
        let mut spending = Spending::default();
        add(&mut spending.day, SPENDER, endpoints[0], &calls(10));
        spending.add(SPENDER, endpoints[0], &calls(3));
        spending.add(SPENDER, endpoints[1], &calls(4));
        let check = |calls: Option<(u64, Period)>, cost: Option<(f64, Period)>, expected| {
            let limits = Limits {
                calls: calls.map(|(most, per)| Budget { most, per }),
                cost: cost.map(|(most, per)| Budget {
                    most: dollars(most),
                    per,
                }),
                ..Limits::default()
            };
            let found = spending.used_up(SPENDER, &limits, &rates);
            assert_eq!(found, expected, "{limits:?}");
            let other = (IdentityId::from_raw(9), SPENDER.1);
            assert_eq!(spending.used_up(other, &limits, &rates), None);
        };
        let (hour, day) = (Period::Hour, Period::Day);
        check(None, None, None);
        check(Some((8, hour)), None, None);
        check(Some((7, hour)), None, Some(hour));
        check(Some((18, day)), None, None);
        check(Some((17, day)), None, Some(day));
        check(None, Some((1.5, hour)), Some(hour));
        check(None, Some((6.6, day)), None);
        check(Some((7, hour)), Some((6.5, day)), Some(day));
    }
}
