//! Usage: counts per identity, endpoint and grant, and how they add up. Pure.

pub mod adding;
pub mod cost;
pub mod measured;
pub mod period;
pub mod prices;
mod quality;
pub mod spending;
mod untold;

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    counter::Counts, destination::EndpointId, identity::IdentityId, policy::RuleId, verdict::Reason,
};
use jiff::Timestamp;

use self::adding::{Sums, Total};
use self::cost::{Estimate, Rate};
use self::quality::of_calls;
pub use self::{quality::Quality, untold::Untold};
use crate::identity::{LabelKey, Labels};

/// Whom and what a row counts for that had no place of its own in its minute, hour or day: they are
/// bounded. No workload and no endpoint has these numbers.
pub const OTHER_IDENTITY: IdentityId = IdentityId::from_raw(u32::MAX);
pub const OTHER_ENDPOINT: EndpointId = EndpointId::from_raw(EndpointId::FIRST_PREFIX - 3);

/// What has been counted for one combination of who, where, under which rule and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRow {
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub rule: RuleId,
    pub reason: Reason,
    pub counts: Counts,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

/// What to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Identity,
    Endpoint,
    /// The grant or deny rule that decided.
    Rule,
    Reason,
    /// What the identity's label says.
    Label(LabelKey),
    /// The executable that called, and the script that it ran.
    Exe,
    /// The user that the caller acted as.
    User,
}

impl Key {
    /// The counters do not know it: it is added up from events.
    #[must_use]
    pub const fn is_about_process(self) -> bool {
        matches!(self, Self::Exe | Self::User)
    }

    /// The value of what no event told of.
    const fn unknown(self) -> Value {
        match self {
            Self::User => Value::User(None),
            Self::Exe => Value::Exe(None),
            Self::Identity | Self::Endpoint | Self::Rule | Self::Reason | Self::Label(_) => {
                Value::Label(None)
            }
        }
    }
}

/// What processes of one executable and user have done as one identity at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRow {
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub exe: Option<String>,
    pub script: Option<String>,
    pub user: Option<u32>,
    pub counts: Counts,
    /// To the minute.
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

/// One value of a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Identity(IdentityId),
    Endpoint(EndpointId),
    Rule(RuleId),
    Reason(Reason),
    /// `None`: the identity has no such label.
    Label(Option<String>),
    /// `None`: it is not known, because the event that told of it was lost.
    Exe(Option<String>),
    User(Option<u32>),
}

/// Everything that has the same values of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub values: Vec<Value>,
    pub counts: Counts,
    pub connections_quality: Quality,
    pub bytes_quality: Quality,
    pub calls_quality: Quality,
    /// `None`: no rule tells what it costs, or what the rule needs was not counted.
    pub cost: Option<Estimate>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

impl Group {
    /// Bytes are not looked at yet.
    const fn new(values: Vec<Value>, total: Total) -> Self {
        Self {
            values,
            counts: total.counts,
            connections_quality: Quality::Exact,
            bytes_quality: Quality::Unknown,
            calls_quality: Quality::Unknown,
            cost: None,
            first_seen: total.first_seen,
            last_seen: total.last_seen,
        }
    }

    /// Allowed connections whose bytes are not counted: still open, or UDP.
    #[must_use]
    pub const fn connections_without_bytes(&self) -> u64 {
        let counts = &self.counts;
        counts
            .connects_allowed
            .saturating_add(counts.connects_would_deny)
            .saturating_sub(counts.closed)
    }

    /// `None` where calls were not counted: unknown, not zero.
    #[must_use]
    pub const fn calls(&self) -> Option<u64> {
        match self.calls_quality {
            Quality::Exact | Quality::Inferred | Quality::LowerBound => Some(self.counts.calls),
            Quality::Unknown => None,
        }
    }

    /// `None` when no connection has ended yet: unknown, not zero.
    #[must_use]
    pub fn bytes(&self) -> Option<(u64, u64)> {
        (self.counts.closed > 0).then_some((self.counts.bytes_out, self.counts.bytes_in))
    }
}

/// How to add rows up.
#[derive(Debug)]
pub struct Grouping<'g> {
    by: &'g [Key],
    /// Asked if a key is a label.
    labels: &'g BTreeMap<IdentityId, Labels>,
    /// What usage of an endpoint is estimated to cost.
    rates: Option<&'g BTreeMap<EndpointId, Rate>>,
    /// Whatever else there is becomes one group without values.
    own: Option<BTreeSet<Vec<Value>>>,
}

impl<'g> Grouping<'g> {
    #[must_use]
    pub const fn new(by: &'g [Key], labels: &'g BTreeMap<IdentityId, Labels>) -> Self {
        Self {
            by,
            labels,
            rates: None,
            own: None,
        }
    }

    /// As this one, with estimates of what each group costs.
    #[must_use]
    pub fn priced(self, rates: &'g BTreeMap<EndpointId, Rate>) -> Self {
        Self {
            rates: (!rates.is_empty()).then_some(rates),
            ..self
        }
    }

    /// As this one, with everything but these groups in one without values.
    #[must_use]
    pub fn only<'v>(&self, groups: impl Iterator<Item = &'v Group>) -> Self {
        Self {
            own: Some(groups.map(|group| group.values.clone()).collect()),
            ..*self
        }
    }

    /// Adds rows up, most connections first.
    ///
    /// Bytes are counted when a connection ends, under the rule that holds then: exact for identity
    /// and endpoint, which cannot change, but only inferred for rule and reason, which can.
    #[must_use]
    pub fn group<'r>(&self, rows: impl IntoIterator<Item = &'r UsageRow>) -> Vec<Group> {
        let is_inferred = |key: &Key| matches!(key, Key::Rule | Key::Reason);
        let is_inferred = self.by.iter().any(is_inferred);
        let mut groups = self.groups(rows, None);
        for group in &mut groups {
            let is_partial = group.connections_without_bytes() > 0;
            group.bytes_quality = match (group.counts.closed, is_inferred, is_partial) {
                (0, _, _) => Quality::Unknown,
                (_, true, _) => Quality::Inferred,
                (_, false, true) => Quality::LowerBound,
                (_, false, false) => Quality::Exact,
            };
            group.calls_quality = of_calls(&group.counts);
        }
        groups
    }

    /// As [`Grouping::group`], by what events told of processes. `untold` is what the counters say
    /// beyond that.
    #[must_use]
    pub fn group_processes<'r>(
        &self,
        rows: impl IntoIterator<Item = &'r ProcessRow>,
        untold: Untold,
    ) -> Vec<Group> {
        let unknown = self.place(self.by.iter().map(|key| key.unknown()).collect());
        let missing = match untold {
            Untold::Shown(missing) => Some((unknown.clone(), missing)),
            Untold::Nothing | Untold::Hidden => None,
        };
        let is_complete = untold == Untold::Nothing;
        let mut groups = self.groups(rows, missing);
        for group in &mut groups {
            if !is_complete && (group.values.is_empty() || group.values != unknown) {
                group.connections_quality = Quality::LowerBound;
            }
            group.bytes_quality = match (group.counts.closed, group.connections_without_bytes()) {
                (0, _) => Quality::Unknown,
                (_, 0) if is_complete => Quality::Exact,
                (_, _) => Quality::LowerBound,
            };
        }
        groups
    }

    /// Most connections first. `more` belongs to no endpoint.
    fn groups<'r, R: Row + 'r>(
        &self,
        rows: impl IntoIterator<Item = &'r R>,
        more: Option<(Vec<Value>, Total)>,
    ) -> Vec<Group> {
        let (mut sums, mut by_endpoint) = (Sums::new(), Sums::new());
        for row in rows {
            let values = self.by.iter().map(|key| row.value(*key, self.labels));
            let values = self.place(values.collect());
            if self.rates.is_some() {
                by_endpoint.add((values.clone(), Some(row.endpoint())), row.total());
            }
            sums.add(values, row.total());
        }
        if let Some((values, total)) = more {
            by_endpoint.add((values.clone(), None), total);
            sums.add(values, total);
        }
        let mut groups = sorted(sums);
        if let Some(rates) = self.rates {
            let mut costs = costs(by_endpoint, rates);
            for group in &mut groups {
                group.cost = costs.remove(&group.values).flatten();
            }
        }
        groups
    }

    fn place(&self, values: Vec<Value>) -> Vec<Value> {
        match &self.own {
            Some(own) if !own.contains(&values) => Vec::new(),
            Some(_) | None => values,
        }
    }
}

/// What each group is estimated to cost, of what it has at each endpoint.
fn costs(
    sums: Sums<(Vec<Value>, Option<EndpointId>)>,
    rates: &BTreeMap<EndpointId, Rate>,
) -> BTreeMap<Vec<Value>, Option<Estimate>> {
    let mut parts = BTreeMap::<_, Vec<_>>::new();
    for ((values, endpoint), total) in sums {
        let rate = endpoint.and_then(|endpoint| rates.get(&endpoint));
        let parts = parts.entry(values).or_default();
        parts.push((rate, total.counts));
    }
    let parts = parts.into_iter();
    let costs = parts.map(|(values, parts)| {
        let parts = parts.iter().map(|(rate, counts)| (*rate, counts));
        (values, cost::total(parts))
    });
    costs.collect()
}

/// Most connections first.
fn sorted(sums: Sums<Vec<Value>>) -> Vec<Group> {
    let groups = sums.into_iter();
    let groups = groups.map(|(values, total)| Group::new(values, total));
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by(|a, b| {
        let most = connects(&b.counts).cmp(&connects(&a.counts));
        most.then_with(|| a.values.cmp(&b.values))
    });
    groups
}

const fn connects(counts: &Counts) -> u64 {
    counts
        .connects_allowed
        .saturating_add(counts.connects_denied)
        .saturating_add(counts.connects_would_deny)
}

/// What has a value of each [`Key`].
pub trait Row {
    fn value(&self, key: Key, labels: &BTreeMap<IdentityId, Labels>) -> Value;

    fn endpoint(&self) -> EndpointId;

    fn total(&self) -> Total;
}

fn label(key: LabelKey, identity: IdentityId, labels: &BTreeMap<IdentityId, Labels>) -> Value {
    let labels = labels.get(&identity);
    Value::Label(labels.and_then(|labels| key.of(labels)))
}

impl Row for UsageRow {
    fn value(&self, key: Key, labels: &BTreeMap<IdentityId, Labels>) -> Value {
        match key {
            Key::Identity => Value::Identity(self.identity),
            Key::Endpoint => Value::Endpoint(self.endpoint),
            Key::Rule => Value::Rule(self.rule),
            Key::Reason => Value::Reason(self.reason),
            Key::Label(key) => label(key, self.identity, labels),
            Key::Exe => Value::Exe(None),
            Key::User => Value::User(None),
        }
    }

    fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    fn total(&self) -> Total {
        Total {
            counts: self.counts,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
        }
    }
}

/// Rule and reason are not told by processes: whoever asks is told so before.
impl Row for ProcessRow {
    fn value(&self, key: Key, labels: &BTreeMap<IdentityId, Labels>) -> Value {
        match key {
            Key::Identity => Value::Identity(self.identity),
            Key::Endpoint => Value::Endpoint(self.endpoint),
            Key::Rule | Key::Reason => Value::Label(None),
            Key::Label(key) => label(key, self.identity, labels),
            Key::Exe => Value::Exe(match (&self.exe, &self.script) {
                (Some(exe), Some(script)) => Some(format!("{exe} ({script})")),
                (exe, _) => exe.clone(),
            }),
            Key::User => Value::User(self.user),
        }
    }

    fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    fn total(&self) -> Total {
        Total {
            counts: self.counts,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(identity: u32, endpoint: u32, rule: u32, counts: Counts, seen: i64) -> UsageRow {
        let seen = Timestamp::from_second(seen).expect("a time");
        UsageRow {
            identity: IdentityId::from_raw(identity),
            endpoint: EndpointId::from_raw(endpoint),
            rule: RuleId::from_raw(rule),
            reason: Reason::Granted,
            counts,
            first_seen: seen,
            last_seen: seen,
        }
    }

    fn allowed(connects: u64, closed: u64, bytes: u64) -> Counts {
        Counts {
            connects_allowed: connects,
            closed,
            bytes_out: bytes,
            bytes_in: 2 * bytes,
            ..Counts::default()
        }
    }

    #[test]
    fn rows_with_the_same_key_add_up_and_the_busiest_comes_first() {
        let rows = [
            row(1, 1, 1, allowed(1, 1, 10), 100),
            row(2, 1, 0, allowed(5, 0, 0), 50),
            row(1, 2, 2, allowed(2, 1, 5), 70),
        ];
        let groups = Grouping::new(&[Key::Identity], &BTreeMap::new()).group(&rows);
        let [busiest, other] = groups.as_slice() else {
            panic!("two groups, found {groups:?}");
        };
        assert_eq!(busiest.values, [Value::Identity(IdentityId::from_raw(2))]);
        assert_eq!(
            (busiest.bytes(), busiest.bytes_quality),
            (None, Quality::Unknown)
        );
        assert_eq!(busiest.connections_without_bytes(), 5);
        assert_eq!(other.bytes(), Some((15, 30)));
        assert_eq!(other.bytes_quality, Quality::LowerBound);
        assert_eq!(other.connections_without_bytes(), 1);
        assert_eq!(other.first_seen.as_second(), 70);
        assert_eq!(other.last_seen.as_second(), 100);
    }

    #[test]
    fn calls_say_how_they_were_counted() {
        let check = |counts: Counts, calls: Option<u64>, quality: Quality| {
            let rows = [row(1, 1, 1, counts, 1)];
            let groups = Grouping::new(&[Key::Identity], &BTreeMap::new()).group(&rows);
            let found: Vec<_> = groups
                .iter()
                .map(|group| (group.calls(), group.calls_quality))
                .collect();
            assert_eq!(found, [(calls, quality)], "{counts:?}");
        };
        let metered = Counts {
            metered: 2,
            calls: 7,
            ..allowed(2, 0, 0)
        };
        check(metered, Some(7), Quality::Inferred);
        let overlaps = Counts {
            overlaps: 1,
            ..metered
        };
        check(overlaps, Some(7), Quality::LowerBound);
        let partial = Counts {
            metered: 1,
            ..metered
        };
        check(partial, Some(7), Quality::LowerBound);
        check(allowed(2, 2, 10), None, Quality::Unknown);
        let refused = Counts {
            connects_denied: 3,
            ..Counts::default()
        };
        check(refused, Some(0), Quality::Exact);
        let later = Counts {
            calls: 5,
            ..Counts::default()
        };
        check(later, Some(5), Quality::Inferred);
    }

    #[test]
    fn what_events_did_not_tell_of_processes_stands_by_itself() {
        let seen = Timestamp::from_second(60).expect("a time");
        let told = |exe: &str, script: Option<&str>, counts| ProcessRow {
            identity: IdentityId::from_raw(1),
            endpoint: EndpointId::from_raw(1),
            exe: Some(exe.to_owned()),
            script: script.map(ToOwned::to_owned),
            user: Some(7),
            counts,
            first_seen: seen,
            last_seen: seen,
        };
        let rows = [
            told("/bin/sh", Some("/opt/a.sh"), allowed(3, 3, 10)),
            told("/bin/sh", Some("/opt/b.sh"), allowed(1, 0, 0)),
        ];
        let check = |counted: u64, expected: &[(Option<&str>, u64, Quality)]| {
            let counted = [row(1, 1, 1, allowed(counted, 3, 10), 61)];
            let untold = Untold::of(&rows, &counted);
            let groups =
                Grouping::new(&[Key::Exe], &BTreeMap::new()).group_processes(&rows, untold);
            let found: Vec<_> = groups
                .iter()
                .map(|group| {
                    let Some(Value::Exe(exe)) = group.values.first() else {
                        panic!("an executable in {group:?}");
                    };
                    let connects = group.counts.connects_allowed;
                    (exe.as_deref(), connects, group.connections_quality)
                })
                .collect();
            assert_eq!(found, expected);
        };
        let (a, b) = (Some("/bin/sh (/opt/a.sh)"), Some("/bin/sh (/opt/b.sh)"));
        check(4, &[(a, 3, Quality::Exact), (b, 1, Quality::Exact)]);
        check(
            6,
            &[
                (a, 3, Quality::LowerBound),
                (None, 2, Quality::Exact),
                (b, 1, Quality::LowerBound),
            ],
        );
    }

    #[test]
    fn bytes_by_rule_are_inferred() {
        let rows = [row(1, 1, 7, allowed(1, 1, 10), 1)];
        let groups = Grouping::new(&[Key::Endpoint, Key::Rule], &BTreeMap::new()).group(&rows);
        assert_eq!(groups[0].bytes_quality, Quality::Inferred);
        assert_eq!(groups[0].values.len(), 2);
    }

    #[test]
    fn identities_with_the_same_label_add_up_and_those_without_it_too() {
        let labels = |path: &str, namespace: &str| Labels {
            namespace: Some(namespace.to_owned()),
            service_account: Some("api".to_owned()),
            ..Labels::from_cgroup_path(path)
        };
        let known = BTreeMap::from([
            (
                IdentityId::from_raw(1),
                labels("/a.slice/x.service", "shop"),
            ),
            (
                IdentityId::from_raw(2),
                labels("/a.slice/y.service", "shop"),
            ),
            (IdentityId::from_raw(3), Labels::from_cgroup_path("/z")),
        ]);
        let rows = [1, 2, 3, 4].map(|identity| row(identity, 1, 1, allowed(1, 1, 10), 1));
        let check = |key: LabelKey, expected: &[(Option<&str>, u64)]| {
            let groups = Grouping::new(&[Key::Label(key)], &known).group(&rows);
            let found = groups.iter().map(|group| {
                let [Value::Label(value)] = group.values.as_slice() else {
                    panic!("one label, found {group:?}");
                };
                (value.as_deref(), group.counts.connects_allowed)
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{key:?}");
        };
        check(LabelKey::Slice, &[(None, 2), (Some("a.slice"), 2)]);
        check(
            LabelKey::Unit,
            &[(None, 2), (Some("x.service"), 1), (Some("y.service"), 1)],
        );
        check(
            LabelKey::ServiceAccount,
            &[(None, 2), (Some("shop/api"), 2)],
        );
        check(LabelKey::Pod, &[(None, 4)]);
    }
}
