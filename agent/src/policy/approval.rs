//! Which grants need a second person.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{End, InvocationGrant, NamePattern, object::ALL_ENDPOINTS, set::selects};
use crate::endpoint::{Catalogue, Plane, Risk};

/// What demands approval. The default: critical risk, the plane `manage`, and every endpoint at
/// once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRules {
    pub risks: BTreeSet<Risk>,
    pub planes: BTreeSet<Plane>,
    /// Grants for `*`.
    pub every_endpoint: bool,
    /// Grants that last longer, or for ever; `None` for no limit.
    pub longest: Option<SignedDuration>,
    /// Endpoints and providers.
    pub endpoints: Vec<NamePattern>,
}

impl Default for ApprovalRules {
    fn default() -> Self {
        Self {
            risks: BTreeSet::from([Risk::Critical]),
            planes: BTreeSet::from([Plane::Manage]),
            every_endpoint: true,
            ..Self::none()
        }
    }
}

impl ApprovalRules {
    /// Only grants that ask for it themselves.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            risks: BTreeSet::new(),
            planes: BTreeSet::new(),
            every_endpoint: false,
            longest: None,
            endpoints: Vec::new(),
        }
    }

    /// Why `grant` needs approval, a clause each; empty if it does not. A grant that does not say
    /// when it begins begins at `from`.
    #[must_use]
    pub fn needs(
        &self,
        grant: &InvocationGrant,
        catalogue: &Catalogue,
        from: Timestamp,
    ) -> Vec<String> {
        let mut needs = Vec::new();
        if grant.requires_approval {
            needs.push("it asks for it".to_owned());
        }
        if self.every_endpoint && grant.endpoints.iter().any(|name| name == ALL_ENDPOINTS) {
            needs.push("every endpoint".to_owned());
        }
        let planes = grant
            .planes
            .iter()
            .filter(|plane| self.planes.contains(plane));
        needs.extend(planes.map(|plane| format!("plane {}", plane.name())));
        needs.extend(self.for_endpoints(grant, catalogue));
        if let Some(longest) = self.longest
            && lasts(grant, from).is_none_or(|lasts| lasts > longest)
        {
            needs.push(format!("longer than {longest:#}"));
        }
        needs
    }

    /// One clause for each kind of endpoint is enough for people.
    fn for_endpoints(&self, grant: &InvocationGrant, catalogue: &Catalogue) -> BTreeSet<String> {
        if self.risks.is_empty() && self.endpoints.is_empty() {
            return BTreeSet::new();
        }
        let is_all = grant.endpoints.iter().any(|name| name == ALL_ENDPOINTS);
        let named = |selector| catalogue.select(selector).into_values();
        let selected: Vec<_> = if is_all {
            catalogue.iter().collect()
        } else {
            grant
                .endpoints
                .iter()
                .flat_map(|name| named(name))
                .collect()
        };
        let mut clauses = BTreeSet::new();
        for endpoint in selected {
            if !selects(&grant.endpoints, &grant.planes, endpoint) {
                continue;
            }
            if self.risks.contains(&endpoint.risk) {
                clauses.insert(format!("risk {}", endpoint.risk.name()));
            }
            let patterns = self.endpoints.iter();
            let matching = patterns.filter(|pattern| {
                pattern.matches(&endpoint.name) || pattern.matches(&endpoint.provider)
            });
            clauses.extend(matching.map(|pattern| format!("endpoint {pattern}")));
        }
        clauses
    }
}

/// `None`: for ever.
fn lasts(grant: &InvocationGrant, from: Timestamp) -> Option<SignedDuration> {
    match grant.validity.end {
        End::Never => None,
        End::After(ttl) => Some(ttl),
        End::At(end) => {
            let start = grant
                .validity
                .not_before
                .map_or(from, |start| start.max(from));
            Some(end.duration_since(start))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Spec, parse};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn grant(spec: &str) -> InvocationGrant {
        let text = format!(
            "apiVersion: weir.dev/v1alpha1\nkind: InvocationGrant\nmetadata: {{name: g}}\n\
             spec: {{subjects: [{{any: true}}], purpose: t, {spec}}}\n"
        );
        let objects = parse("a.yaml", &text).unwrap_or_else(|errors| panic!("{errors:?}"));
        match objects.into_iter().next().map(|object| object.value.spec) {
            Some(Spec::InvocationGrant(grant)) => grant,
            other => panic!("{other:?}"),
        }
    }

    fn catalogue() -> Catalogue {
        let endpoint = |name: &str, provider: &str, plane, risk| crate::endpoint::Endpoint {
            name: name.to_owned(),
            provider: provider.to_owned(),
            plane,
            hosts: Vec::new(),
            cidrs: Vec::new(),
            ports: vec![443],
            risk,
            shared: false,
            exclusive: false,
            source: crate::endpoint::Source::Api,
        };
        Catalogue::new([
            endpoint("a", "p", Plane::Invoke, Risk::Low),
            endpoint("a/crit", "p", Plane::Invoke, Risk::Critical),
            endpoint("admin", "p", Plane::Manage, Risk::High),
            endpoint("b", "q", Plane::Invoke, Risk::High),
        ])
    }

    fn check(rules: &ApprovalRules, spec: &str, expected: &[&str]) {
        let found = rules.needs(&grant(spec), &catalogue(), NOW);
        assert_eq!(found, expected, "{spec}");
    }

    #[test]
    fn without_rules_of_its_own_a_host_lets_ordinary_grants_pass() {
        let rules = ApprovalRules::default();
        check(&rules, "endpoints: [b]", &[]);
        check(&rules, "endpoints: [b], ttl: 9000h", &[]);
        check(
            &rules,
            "endpoints: [b], approval: required",
            &["it asks for it"],
        );
        check(&rules, "endpoints: [a]", &["risk critical"]);
        check(&rules, "endpoints: [p]", &["risk critical"]);
        check(
            &rules,
            "endpoints: ['*']",
            &["every endpoint", "risk critical"],
        );
        check(
            &rules,
            "endpoints: [admin], planes: [manage]",
            &["plane manage"],
        );
        check(
            &ApprovalRules::none(),
            "endpoints: ['*'], planes: [manage]",
            &[],
        );
    }

    #[test]
    fn rules_name_risks_endpoints_providers_and_a_length() {
        let rules = ApprovalRules {
            endpoints: vec![NamePattern::new("q*"), NamePattern::new("a/*")],
            ..ApprovalRules::none()
        };
        check(&rules, "endpoints: [b]", &["endpoint q*"]);
        check(&rules, "endpoints: [a]", &["endpoint a/*"]);
        check(&rules, "endpoints: [a/crit], planes: [manage]", &[]);
        let risks = ApprovalRules {
            risks: BTreeSet::from([Risk::High]),
            ..ApprovalRules::none()
        };
        check(&risks, "endpoints: [a]", &[]);
        check(&risks, "endpoints: ['*']", &["risk high"]);
        let short = ApprovalRules {
            longest: Some(SignedDuration::from_hours(24)),
            ..ApprovalRules::none()
        };
        check(&short, "endpoints: [b], ttl: 24h", &[]);
        check(&short, "endpoints: [b], ttl: 25h", &["longer than 24h"]);
        check(&short, "endpoints: [b]", &["longer than 24h"]);
        let until = |text: &str| format!("endpoints: [b], {text}");
        check(&short, &until("notAfter: 2025-06-16T15:00:00Z"), &[]);
        check(
            &short,
            &until("notAfter: 2025-06-16T16:00:00Z"),
            &["longer than 24h"],
        );
        // What lies behind does not count; what is put off does not either.
        check(
            &short,
            &until("notBefore: 2020-01-01T00:00:00Z, notAfter: 2025-06-16T15:00:00Z"),
            &[],
        );
        check(
            &short,
            &until("notBefore: 2030-01-01T00:00:00Z, notAfter: 2030-01-01T20:00:00Z"),
            &[],
        );
    }
}
