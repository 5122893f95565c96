//! How much of what grants give is used: the rest can be taken back.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{destination::EndpointId, policy::RuleId};
use jiff::Timestamp;

use super::{InvocationGrant, PolicySet, subject::selected};
use crate::{identity::Identity, usage::UsageRow};

/// What became of one grant in a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breadth {
    pub grant: String,
    /// Endpoints that it is about.
    pub granted: BTreeSet<String>,
    /// Those of them that were called by it.
    pub used: BTreeSet<String>,
    /// Identities that it selects, of those that are known.
    pub selected: BTreeSet<String>,
    /// Those that have called by it; they may no longer be selected.
    pub users: BTreeSet<String>,
    /// Connections and datagrams.
    pub calls: u64,
    pub last_used: Option<Timestamp>,
}

impl Breadth {
    /// What is broader than it needs to be, one clause each.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        if self.calls == 0 {
            return vec!["never used".to_owned()];
        }
        let mut findings = Vec::new();
        let (granted, used) = (self.granted.len(), self.used.len());
        if granted > used {
            findings.push(format!("granted {}, used {used}", endpoints(granted)));
        }
        let idle = self.selected.difference(&self.users).count();
        if idle > 0 {
            findings.push(format!(
                "selects {}, {idle} of them did not use it",
                identities(self.selected.len())
            ));
        }
        findings
    }
}

fn endpoints(n: usize) -> String {
    format!("{n} endpoint{}", if n == 1 { "" } else { "s" })
}

fn identities(n: usize) -> String {
    format!("{n} identit{}", if n == 1 { "y" } else { "ies" })
}

/// What a breadth is measured by.
#[derive(Clone, Copy, Debug)]
pub struct Measure<'a> {
    /// Whose catalogue says what a grant is about.
    pub set: &'a PolicySet,
    pub endpoints: &'a BTreeMap<EndpointId, String>,
    pub identities: &'a [Identity],
    /// The usage of the span.
    pub rows: &'a [UsageRow],
}

impl Measure<'_> {
    /// Of a grant that has, or had, the number `rule`.
    #[must_use]
    pub fn breadth(&self, name: &str, grant: &InvocationGrant, rule: Option<RuleId>) -> Breadth {
        let Self {
            set,
            endpoints,
            identities,
            rows,
        } = self;
        let mut breadth = Breadth {
            grant: name.to_owned(),
            granted: set
                .endpoints_of(grant)
                .map(|endpoint| endpoint.name.clone())
                .collect(),
            selected: selected(&grant.subjects, identities),
            ..Breadth::default()
        };
        let is_its_own = |row: &&UsageRow| Some(row.rule) == rule && calls(row) > 0;
        for row in rows.iter().filter(is_its_own) {
            breadth.calls += calls(row);
            breadth.last_used = breadth.last_used.max(Some(row.last_seen));
            breadth.used.extend(endpoints.get(&row.endpoint).cloned());
            let caller = identities.iter().find(|one| one.id == row.identity);
            breadth.users.extend(caller.map(Identity::key));
        }
        breadth
    }
}

/// Calls that were let through.
fn calls(row: &UsageRow) -> u64 {
    row.counts.connects_allowed + row.counts.datagrams_allowed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agent_common::{counter::Counts, identity::IdentityId, verdict::Reason};

    use super::*;
    use crate::{identity::Labels, policy::fixture};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn set(text: &str) -> PolicySet {
        fixture::set(text, NOW)
    }

    fn breadth(name: &str, rule: u32, identities: &[Identity], rows: &[UsageRow]) -> Breadth {
        let set = set(POLICY);
        let endpoints = ["one.chat", "two.chat"].into_iter().zip(1..);
        let endpoints = endpoints.map(|(name, id)| (EndpointId::from_raw(id), name.to_owned()));
        let measure = Measure {
            set: &set,
            endpoints: &endpoints.collect(),
            identities,
            rows,
        };
        let grant = set.grant(name).expect("a grant");
        measure.breadth(name, grant, Some(RuleId::from_raw(rule)))
    }

    fn identity(number: u32, unit: &str) -> Identity {
        Identity {
            id: IdentityId::from_raw(number),
            labels: Arc::new(Labels {
                cgroup: format!("/system.slice/{unit}"),
                unit: Some(unit.to_owned()),
                ..Labels::default()
            }),
        }
    }

    fn row(identity: u32, endpoint: u32, rule: u32, allowed: u64) -> UsageRow {
        UsageRow {
            identity: IdentityId::from_raw(identity),
            endpoint: EndpointId::from_raw(endpoint),
            rule: RuleId::from_raw(rule),
            reason: Reason::Granted,
            counts: Counts {
                connects_allowed: allowed,
                ..Counts::ZERO
            },
            first_seen: NOW,
            last_seen: NOW,
        }
    }

    const POLICY: &str = "
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: one.chat}
spec: {provider: one, hosts: [one.example]}
---
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: two.chat}
spec: {provider: two, hosts: [two.example]}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {name: broad}
spec: {subjects: [{systemd: {unit: \"batch*\"}}], endpoints: [\"*\"], purpose: t, ttl: 1h}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {name: idle}
spec: {subjects: [{systemd: {unit: a.service}}], endpoints: [one], purpose: t, ttl: 1h}
";

    #[test]
    fn what_is_granted_and_not_used_is_told() {
        let identities = [
            identity(1, "batch-1.service"),
            identity(2, "batch-2.service"),
        ];
        let rows = [
            row(1, 1, 1, 3),
            row(1, 1, 1, 2),
            row(2, 2, 0, 7),
            row(1, 2, 1, 0),
        ];
        let broad = breadth("broad", 1, &identities, &rows);
        assert_eq!((broad.calls, broad.last_used), (5, Some(NOW)));
        assert_eq!(
            broad.findings(),
            [
                "granted 2 endpoints, used 1",
                "selects 2 identities, 1 of them did not use it"
            ]
        );
        let idle = breadth("idle", 2, &identities, &rows);
        assert_eq!(idle.findings(), ["never used"]);
    }

    #[test]
    fn a_grant_that_is_used_in_full_has_no_findings() {
        let identities = [identity(1, "a.service")];
        let found = breadth("idle", 2, &identities, &[row(1, 1, 2, 1)]);
        assert_eq!(found.findings(), Vec::<String>::new());
    }
}
