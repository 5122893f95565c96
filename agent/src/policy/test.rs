//! Cases that say what a policy has to decide, and how they are found to hold or not.

use agent_common::{
    identity::IdentityId,
    verdict::{Decision, Reason},
};
use jiff::Timestamp;

use super::{ExplainError, Numbers, PolicySet, Position, explain};
use crate::identity::{Identity, Labels};

/// A document of cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTest {
    pub name: String,
    pub cases: Vec<Case>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub at: Position,
    /// `None`: a workload about which nothing is known.
    pub subject: Option<Labels>,
    pub place: CasePlace,
    /// `None`: when the test is run.
    pub time: Option<Timestamp>,
    pub expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CasePlace {
    Endpoint(String),
    Host(String),
}

/// What the case says about the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub is_allowed: bool,
    /// `None`: for whatever reason.
    pub reason: Option<Reason>,
}

impl Expected {
    #[must_use]
    pub fn fits(&self, decision: Decision) -> bool {
        let reason_fits = self.reason.is_none_or(|reason| reason == decision.reason());
        self.is_allowed == decision.is_entitled_when_enforced() && reason_fits
    }
}

/// What `set` decides about a case in enforce mode.
///
/// # Errors
///
/// When the case names an endpoint that there is not.
pub fn decide_case(
    set: &PolicySet,
    numbers: &Numbers,
    case: &Case,
    now: Timestamp,
) -> Result<Decision, ExplainError> {
    let id = match case.subject {
        Some(_) => IdentityId::from_raw(1),
        None => IdentityId::UNKNOWN,
    };
    let identity = Identity {
        id,
        labels: case.subject.clone().unwrap_or_default().into(),
    };
    let endpoints = match &case.place {
        CasePlace::Endpoint(name) => vec![name.clone()],
        CasePlace::Host(host) => {
            let matches = set.catalogue().match_host(host);
            let names = matches.iter().map(|found| found.endpoint.name.clone());
            names.collect()
        }
    };
    let time = case.time.unwrap_or(now);
    let mut decision = Decision::UNGOVERNED;
    for endpoint in endpoints {
        let said = explain(set, numbers, &identity, &endpoint, time)?;
        decision = decision.or_stricter(said.decision);
    }
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        endpoint::Catalogue,
        policy::{ApprovalRules, BuildOptions, OnExpired, Separation, parse, parse_tests},
    };

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    const POLICY: &str = "
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: one.chat}
spec: {provider: one, hosts: [one.example]}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {name: closed}
spec: {default: true, ungranted: deny}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {name: batch}
spec:
  subjects: [{systemd: {unit: batch.service}}]
  endpoints: [one]
  purpose: t
  notAfter: 2025-06-16T00:00:00Z
---
apiVersion: weir.dev/v1alpha1
kind: PolicyTest
metadata: {name: batch}
spec:
  cases:
    - {subject: {systemd: {unit: batch.service}}, endpoint: one.chat, verdict: allow, reason: granted}
    - {subject: {systemd: {unit: batch.service}}, host: one.example, verdict: allow}
    - {subject: {systemd: {unit: other.service}}, endpoint: one.chat, verdict: deny, reason: no-grant}
    - {subject: {any: true}, host: example.com, verdict: allow, reason: ungoverned}
    - subject: {systemd: {unit: batch.service}}
      endpoint: one.chat
      time: 2025-07-01T00:00:00Z
      verdict: deny
      reason: expired
";

    #[test]
    fn cases_are_decided_as_the_kernel_does() {
        let objects = parse("p.yaml", POLICY).expect("a valid policy");
        assert_eq!(objects.len(), 3, "a test is no object");
        let options = BuildOptions {
            now: NOW,
            on_expired: OnExpired::Warn,
            issued_at: &|_, _| NOW,
            approval: &ApprovalRules::none(),
            life: &|_, _| None,
            separation: Separation::Report,
        };
        let built = PolicySet::build(objects, &Catalogue::default(), &options);
        let set = built.expect("a policy that fits").set;
        let numbers = Numbers::in_order(&set);
        let tests = parse_tests("p.yaml", POLICY).expect("valid tests");
        let cases = &tests.first().expect("a test").value.cases;
        assert_eq!(cases.len(), 5);
        for case in cases {
            let decision = decide_case(&set, &numbers, case, NOW).expect("decided");
            assert!(case.expected.fits(decision), "{case:?}: {decision:?}");
        }
    }

    fn mistakes(spec: &str) -> String {
        let text = format!(
            "apiVersion: weir.dev/v1alpha1\nkind: PolicyTest\nmetadata: {{name: t}}\nspec:\n  \
             cases: [{spec}]\n"
        );
        let errors = parse("p.yaml", &text).expect_err("a mistake");
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_case_with_a_mistake_is_told_with_its_place() {
        assert_eq!(
            mistakes("{subject: {systemd: {unit: 'a*'}}, endpoint: x, verdict: deny}"),
            "p.yaml:5:21: spec.cases[0].subject: a case is about one workload: write names without `*`"
        );
        assert_eq!(
            mistakes("{subject: {any: true}, endpoint: x, host: y, verdict: deny}"),
            "p.yaml:5:11: spec.cases[0]: say either endpoint or host"
        );
        assert_eq!(
            mistakes("{subject: {any: true}, endpoint: x, verdict: would-deny}"),
            "p.yaml:5:56: spec.cases[0].verdict: unknown value `would-deny`; allowed are allow, deny"
        );
        assert!(
            mistakes("{subject: {any: true}, endpoint: x, verdict: deny, reason: x}")
                .contains("spec.cases[0].reason: unknown value `x`; allowed are"),
        );
    }
}
