//! Usage: counts per identity, endpoint and grant, and how they add up. Pure.

pub mod adding;
pub mod period;

use std::collections::BTreeMap;

use agent_common::{
    counter::Counts, destination::EndpointId, identity::IdentityId, policy::RuleId, verdict::Reason,
};
use jiff::Timestamp;

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

/// How a number was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    Exact,
    Inferred,
    /// More will come: connections are still open, or not counted.
    LowerBound,
    Unknown,
}

/// Everything that has the same values of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub values: Vec<Value>,
    pub counts: Counts,
    pub connections_quality: Quality,
    pub bytes_quality: Quality,
    pub calls_quality: Quality,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

impl Group {
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

/// Adds rows up, most connections first. `labels` are asked if `by` names one of them.
///
/// Bytes are counted when a connection ends, under the rule that holds then: exact for identity
/// and endpoint, which cannot change, but only inferred for rule and reason, which can.
#[must_use]
pub fn group(rows: &[UsageRow], by: &[Key], labels: &BTreeMap<IdentityId, Labels>) -> Vec<Group> {
    let values = rows.iter().map(|row| {
        let values: Vec<_> = by.iter().map(|key| value(row, *key, labels)).collect();
        (values, row.counts, row.first_seen, row.last_seen)
    });
    let mut groups = add_up(values);
    let is_inferred = by.iter().any(|key| matches!(key, Key::Rule | Key::Reason));
    for group in &mut groups {
        let is_partial = group.connections_without_bytes() > 0;
        group.bytes_quality = match (group.counts.closed, is_inferred, is_partial) {
            (0, _, _) => Quality::Unknown,
            (_, true, _) => Quality::Inferred,
            (_, false, true) => Quality::LowerBound,
            (_, false, false) => Quality::Exact,
        };
        group.calls_quality = calls_quality(&group.counts);
    }
    busiest_first(&mut groups);
    groups
}

/// As [`group`], by what events told of processes. `counted` is what the counters say about the same
/// time: what is missing of it was not told, and stands by itself.
#[must_use]
pub fn group_processes(
    rows: &[ProcessRow],
    by: &[Key],
    labels: &BTreeMap<IdentityId, Labels>,
    counted: &[UsageRow],
) -> Vec<Group> {
    let values = rows.iter().map(|row| {
        let values: Vec<_> = by
            .iter()
            .map(|key| process_value(row, *key, labels))
            .collect();
        (values, row.counts, row.first_seen, row.last_seen)
    });
    let mut groups = add_up(values);
    let told = total(rows.iter().map(|row| &row.counts));
    let all = total(counted.iter().map(|row| &row.counts));
    let missing = Counts {
        connects_allowed: all.connects_allowed.saturating_sub(told.connects_allowed),
        connects_denied: all.connects_denied.saturating_sub(told.connects_denied),
        connects_would_deny: all
            .connects_would_deny
            .saturating_sub(told.connects_would_deny),
        ..Counts::default()
    };
    let is_complete = connects(&missing) == 0;
    for group in &mut groups {
        if !is_complete {
            group.connections_quality = Quality::LowerBound;
        }
        group.bytes_quality = match (group.counts.closed, group.connections_without_bytes()) {
            (0, _) => Quality::Unknown,
            (_, 0) if is_complete => Quality::Exact,
            (_, _) => Quality::LowerBound,
        };
    }
    let first = counted.iter().map(|row| row.first_seen).min();
    let last = counted.iter().map(|row| row.last_seen).max();
    if let (false, Some(first_seen), Some(last_seen)) = (is_complete, first, last) {
        let unknown = |key: &Key| match key {
            Key::User => Value::User(None),
            Key::Exe => Value::Exe(None),
            Key::Identity | Key::Endpoint | Key::Rule | Key::Reason | Key::Label(_) => {
                Value::Label(None)
            }
        };
        groups.push(Group {
            values: by.iter().map(unknown).collect(),
            counts: missing,
            connections_quality: Quality::Exact,
            bytes_quality: Quality::Unknown,
            calls_quality: Quality::Unknown,
            first_seen,
            last_seen,
        });
    }
    busiest_first(&mut groups);
    groups
}

/// How the calls were counted: inferred, but where nothing was let through. What is not metered, or
/// overlaps, may have had more.
const fn calls_quality(counts: &Counts) -> Quality {
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

fn total<'c>(counts: impl Iterator<Item = &'c Counts>) -> Counts {
    counts.fold(Counts::default(), |sum, counts| sum.saturating_add(counts))
}

fn add_up(rows: impl Iterator<Item = (Vec<Value>, Counts, Timestamp, Timestamp)>) -> Vec<Group> {
    let mut groups: BTreeMap<Vec<Value>, Group> = BTreeMap::new();
    for (values, counts, first_seen, last_seen) in rows {
        let group = groups.entry(values.clone()).or_insert_with(|| Group {
            values,
            counts: Counts::default(),
            connections_quality: Quality::Exact,
            bytes_quality: Quality::Unknown,
            calls_quality: Quality::Unknown,
            first_seen,
            last_seen,
        });
        group.counts = group.counts.saturating_add(&counts);
        group.first_seen = group.first_seen.min(first_seen);
        group.last_seen = group.last_seen.max(last_seen);
    }
    groups.into_values().collect()
}

fn busiest_first(groups: &mut [Group]) {
    groups.sort_by(|a, b| {
        let most = connects(&b.counts).cmp(&connects(&a.counts));
        most.then_with(|| a.values.cmp(&b.values))
    });
}

const fn connects(counts: &Counts) -> u64 {
    counts
        .connects_allowed
        .saturating_add(counts.connects_denied)
        .saturating_add(counts.connects_would_deny)
}

fn value(row: &UsageRow, key: Key, labels: &BTreeMap<IdentityId, Labels>) -> Value {
    match key {
        Key::Identity => Value::Identity(row.identity),
        Key::Endpoint => Value::Endpoint(row.endpoint),
        Key::Rule => Value::Rule(row.rule),
        Key::Reason => Value::Reason(row.reason),
        Key::Label(key) => {
            let labels = labels.get(&row.identity);
            Value::Label(labels.and_then(|labels| key.of(labels)))
        }
        Key::Exe => Value::Exe(None),
        Key::User => Value::User(None),
    }
}

/// Rule and reason are not told by processes: whoever asks is told so before.
fn process_value(row: &ProcessRow, key: Key, labels: &BTreeMap<IdentityId, Labels>) -> Value {
    match key {
        Key::Identity => Value::Identity(row.identity),
        Key::Endpoint => Value::Endpoint(row.endpoint),
        Key::Rule | Key::Reason => Value::Label(None),
        Key::Label(key) => {
            let labels = labels.get(&row.identity);
            Value::Label(labels.and_then(|labels| key.of(labels)))
        }
        Key::Exe => Value::Exe(match (&row.exe, &row.script) {
            (Some(exe), Some(script)) => Some(format!("{exe} ({script})")),
            (exe, _) => exe.clone(),
        }),
        Key::User => Value::User(row.user),
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
        let groups = group(&rows, &[Key::Identity], &BTreeMap::new());
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
            let groups = group_processes(&rows, &[Key::Exe], &BTreeMap::new(), &counted);
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
    fn calls_say_how_they_were_counted() {
        let check = |counts: Counts, calls: Option<u64>, quality: Quality| {
            let groups = group(
                &[row(1, 1, 1, counts, 1)],
                &[Key::Identity],
                &BTreeMap::new(),
            );
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
    fn bytes_by_rule_are_inferred() {
        let rows = [row(1, 1, 7, allowed(1, 1, 10), 1)];
        let groups = group(&rows, &[Key::Endpoint, Key::Rule], &BTreeMap::new());
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
            let groups = group(&rows, &[Key::Label(key)], &known);
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
