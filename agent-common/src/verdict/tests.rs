//! `decide` against a naive reference, and what no mode may do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::policy::{WINDOWS, Window};

type Table = BTreeMap<(u32, u32), RuleEntry>;

impl PolicyLookup for Table {
    fn rule(&self, identity: IdentityId, endpoint: EndpointId) -> Option<&RuleEntry> {
        self.get(&(identity.to_raw(), endpoint.to_raw()))
    }
}

const PREFIX: u32 = EndpointId::FIRST_PREFIX;
const IDENTITY: u32 = 1;
const ENDPOINT: u32 = 2;

fn window(grant: u32, not_before_ns: u64, not_after_ns: u64) -> Window {
    Window {
        not_before_ns,
        not_after_ns,
        grant: RuleId::from_raw(grant),
        _pad: 0,
    }
}

fn entry(deny_rule: u32, posture: Posture, windows: &[Window]) -> RuleEntry {
    let mut entry = RuleEntry::posture_only(posture);
    entry.deny_rule = RuleId::from_raw(deny_rule);
    for (place, window) in entry.windows.iter_mut().zip(windows) {
        *place = *window;
    }
    entry
}

fn check(entry: RuleEntry, now_ns: u64, expected: Reason, rule: u32) {
    let table = Table::from([((IDENTITY, ENDPOINT), entry)]);
    let endpoint = EndpointId::from_raw(ENDPOINT);
    let decision = decide(
        &table,
        IdentityId::from_raw(IDENTITY),
        &Destination::one(endpoint),
        now_ns,
    );
    let expected = Decision::new(expected, RuleId::from_raw(rule), endpoint);
    assert_eq!(decision, expected, "at {now_ns}");
}

#[test]
fn a_grant_holds_from_its_first_to_before_its_last_instant() {
    let grant = entry(0, Posture::Deny, &[window(5, 100, 200)]);
    check(grant, 99, Reason::NotYetValid, 5);
    check(grant, 100, Reason::Granted, 5);
    check(grant, 199, Reason::Granted, 5);
    check(grant, 200, Reason::Expired, 5);
}

#[test]
fn the_next_grant_takes_over_without_the_agent() {
    let grants = entry(0, Posture::Deny, &[window(5, 0, 100), window(6, 150, 200)]);
    check(grants, 50, Reason::Granted, 5);
    check(grants, 120, Reason::Expired, 5);
    check(grants, 150, Reason::Granted, 6);
    check(grants, 200, Reason::Expired, 6);
}

#[test]
fn a_deny_rule_wins_over_a_live_grant() {
    let both = entry(9, Posture::Allow, &[window(5, 0, Window::FOREVER)]);
    check(both, 1, Reason::DeniedByRule, 9);
}

#[test]
fn without_a_grant_the_posture_decides() {
    check(entry(0, Posture::Deny, &[]), 1, Reason::NoGrant, 0);
    check(entry(0, Posture::Allow, &[]), 1, Reason::DefaultAllow, 0);
    let ended = entry(0, Posture::Allow, &[window(5, 0, 1)]);
    check(ended, 1, Reason::DefaultAllow, 0);
}

#[test]
fn a_denied_prefix_concerns_only_those_it_names() {
    let table = Table::from([
        ((IDENTITY, PREFIX), entry(9, Posture::Allow, &[])),
        ((0, 0), entry(0, Posture::Deny, &[])),
    ]);
    let prefix = Destination::one(EndpointId::from_raw(PREFIX));
    let named = decide(&table, IdentityId::from_raw(IDENTITY), &prefix, 1);
    assert_eq!(named.reason(), Reason::DeniedByRule);
    let unnamed = decide(&table, IdentityId::from_raw(77), &prefix, 1);
    assert_eq!(unnamed, Decision::UNGOVERNED);
}

#[test]
fn a_shared_address_is_as_strict_as_its_strictest_endpoint() {
    let table = Table::from([
        ((IDENTITY, 2), entry(0, Posture::Deny, &[window(5, 0, 9)])),
        ((IDENTITY, 3), entry(0, Posture::Deny, &[])),
    ]);
    let shared = Destination::of([2, 3].map(EndpointId::from_raw));
    let decision = decide(&table, IdentityId::from_raw(IDENTITY), &shared, 1);
    assert_eq!(decision.reason(), Reason::NoGrant);
    assert_eq!(decision.endpoint().to_raw(), 3);
}

#[test]
fn observe_allows_every_reason_and_shadow_never_denies() {
    for reason in Reason::ALL {
        let decision = Decision::new(reason, RuleId::from_raw(7), EndpointId::from_raw(9));
        let verdict = |mode| settle(mode, &decision);
        assert_eq!(verdict(Mode::Observe), Verdict::Allow, "{reason:?}");
        assert_ne!(verdict(Mode::Shadow), Verdict::Deny, "{reason:?}");
        let is_denied = verdict(Mode::Enforce) == Verdict::Deny;
        assert_eq!(is_denied, !reason.is_entitled(), "{reason:?}");
        assert_eq!(decision.reason(), reason);
        assert_eq!(decision.rule().to_raw(), 7);
        assert_eq!(decision.is_governed(), reason != Reason::Ungoverned);
    }
}

#[test]
fn numbers_and_names_are_unique_and_read_back() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_raw(reason as u8), Some(reason));
    }
    for verdict in Verdict::ALL {
        assert_eq!(Verdict::from_raw(verdict as u8), Some(verdict));
    }
    let names = Reason::ALL.iter().map(|reason| reason.name());
    assert_eq!(
        names.collect::<std::collections::BTreeSet<_>>().len(),
        Reason::ALL.len()
    );
    assert_eq!(Reason::from_raw(17), None);
    assert_eq!(Verdict::from_raw(0), None);
}

/// What the documentation says, written as plainly as possible and without sharing code.
fn reference(
    rows: &[(u32, u32, RuleEntry)],
    identity: u32,
    endpoints: &[u32],
    now: u64,
) -> Option<(Reason, u32, u32)> {
    let row = |identity, endpoint| {
        rows.iter()
            .rev()
            .find(|(i, e, _)| (*i, *e) == (identity, endpoint))
            .map(|(_, _, entry)| entry)
    };
    let mut verdicts = Vec::new();
    for &endpoint in endpoints {
        let candidates = if endpoint >= PREFIX {
            vec![(identity, endpoint), (0, endpoint)]
        } else {
            vec![(identity, endpoint), (identity, 0), (0, endpoint), (0, 0)]
        };
        let entry = candidates.into_iter().find_map(|(i, e)| row(i, e));
        let Some(entry) = entry else {
            if endpoint < PREFIX {
                verdicts.push((Reason::NoPolicy, 0, endpoint));
            }
            continue;
        };
        let used: Vec<_> = entry
            .windows
            .iter()
            .take_while(|window| window.not_after_ns != 0)
            .collect();
        let live = used
            .iter()
            .find(|window| window.not_before_ns <= now && now < window.not_after_ns);
        let ended = used.iter().rfind(|window| window.not_after_ns <= now);
        let upcoming = used.iter().find(|window| now < window.not_before_ns);
        let (reason, rule) = if entry.deny_rule.to_raw() != 0 {
            (Reason::DeniedByRule, entry.deny_rule)
        } else if let Some(window) = live {
            (Reason::Granted, window.grant)
        } else if entry.posture == 0 {
            (Reason::DefaultAllow, RuleId::NONE)
        } else if let Some(window) = ended {
            (Reason::Expired, window.grant)
        } else if let Some(window) = upcoming {
            (Reason::NotYetValid, window.grant)
        } else {
            (Reason::NoGrant, RuleId::NONE)
        };
        verdicts.push((reason, rule.to_raw(), endpoint));
    }
    let allowed = [Reason::Granted, Reason::DefaultAllow];
    verdicts
        .iter()
        .find(|(reason, _, _)| *reason == Reason::DeniedByRule)
        .or(verdicts
            .iter()
            .find(|(reason, _, _)| !allowed.contains(reason)))
        .or(verdicts.first())
        .copied()
}

fn any_entry() -> impl Strategy<Value = RuleEntry> {
    let windows = proptest::collection::vec((1..4_u32, 0..12_u64, 1..6_u64), 0..=WINDOWS);
    (0..3_u32, 0..3_u32, windows).prop_map(|(deny_rule, posture, spans)| RuleEntry {
        deny_rule: RuleId::from_raw(deny_rule.saturating_sub(1)),
        posture,
        windows: core::array::from_fn(|i| match spans.get(i) {
            Some((grant, start, length)) => window(*grant, *start, start + length),
            None => Window::UNUSED,
        }),
    })
}

fn any_endpoint() -> impl Strategy<Value = u32> {
    prop_oneof![1..4_u32, PREFIX..PREFIX + 2]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn decide_agrees_with_the_reference(
        rows in proptest::collection::vec(
            (0..3_u32, prop_oneof![Just(0), any_endpoint()], any_entry()), 0..8),
        identity in 0..3_u32,
        endpoints in proptest::collection::vec(any_endpoint(), 0..=4),
        now in 0..20_u64,
    ) {
        let table: Table = rows.iter().map(|(i, e, entry)| ((*i, *e), *entry)).collect();
        let destination = Destination::of(endpoints.iter().map(|raw| EndpointId::from_raw(*raw)));
        let decision = decide(&table, IdentityId::from_raw(identity), &destination, now);
        let plain = decision
            .is_governed()
            .then(|| (decision.reason(), decision.rule().to_raw(), decision.endpoint().to_raw()));
        prop_assert_eq!(plain, reference(&rows, identity, &endpoints, now));
    }

    #[test]
    fn observe_mode_never_denies_whatever_the_policy(
        rows in proptest::collection::vec((0..3_u32, 0..4_u32, any_entry()), 0..8),
        identity in 0..3_u32,
        endpoint in any_endpoint(),
        now in 0..20_u64,
    ) {
        let table: Table = rows.iter().map(|(i, e, entry)| ((*i, *e), *entry)).collect();
        let destination = Destination::one(EndpointId::from_raw(endpoint));
        let decision = decide(&table, IdentityId::from_raw(identity), &destination, now);
        prop_assert_eq!(settle(Mode::Observe, &decision), Verdict::Allow);
    }
}

#[test]
fn a_posture_in_shadow_mode_refuses_nothing_but_what_a_rule_denies() {
    let mut shadowed = entry(0, Posture::Deny, &[window(5, 2, 4)]);
    shadowed.posture |= RuleEntry::SHADOW;
    let mut denied = entry(8, Posture::Deny, &[]);
    denied.posture |= RuleEntry::SHADOW;
    let table = Table::from([
        ((IDENTITY, 2), shadowed),
        ((IDENTITY, 3), denied),
        ((IDENTITY, 4), entry(0, Posture::Deny, &[])),
    ]);
    let at = |endpoints: &[u32], now| {
        let endpoints = endpoints.iter().copied().map(EndpointId::from_raw);
        let destination = Destination::of(endpoints);
        let decision = decide(&table, IdentityId::from_raw(IDENTITY), &destination, now);
        let verdicts = Mode::ALL.map(|mode| settle(mode, &decision));
        (decision.reason(), decision.is_in_shadow(), verdicts)
    };
    let (allow, would_deny, deny) = (Verdict::Allow, Verdict::WouldDeny, Verdict::Deny);
    let shadow = [allow, would_deny, would_deny];
    assert_eq!(at(&[2], 1), (Reason::NotYetValid, true, shadow));
    assert_eq!(at(&[2], 2), (Reason::Granted, false, [allow; 3]));
    assert_eq!(at(&[2], 4), (Reason::Expired, true, shadow));
    let enforced = [allow, would_deny, deny];
    assert_eq!(at(&[3], 1), (Reason::DeniedByRule, false, enforced));
    assert_eq!(at(&[2, 4], 1), (Reason::NoGrant, false, enforced));
    let until = |endpoint| {
        let endpoint = EndpointId::from_raw(endpoint);
        holds_until(&table, IdentityId::from_raw(IDENTITY), endpoint, 3)
    };
    assert_eq!([until(2), until(3), until(4)], [Window::FOREVER, 0, 0]);
}

#[test]
fn every_reason_has_a_page() {
    let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons");
    for reason in Reason::ALL {
        let page = pages.join(format!("{}.md", reason.name()));
        let text = std::fs::read_to_string(&page)
            .unwrap_or_else(|error| panic!("{}: {error}", reason.name()));
        assert!(
            text.starts_with(&format!("# `{}`: ", reason.name())),
            "{text}"
        );
    }
    let n_pages = std::fs::read_dir(&pages).expect("the pages").count();
    assert_eq!(n_pages, Reason::ALL.len());
}

#[test]
fn a_decision_survives_as_one_word() {
    let rule = RuleId::from_raw(RuleId::LIMIT - 1);
    for endpoint in [
        EndpointId::ANY,
        EndpointId::OVERFLOW,
        EndpointId::from_raw(u32::MAX),
    ] {
        for reason in Reason::ALL {
            let decision = Decision::new(reason, rule, endpoint);
            let marks = ((1 << Decision::MARK_BITS) - 1) << Decision::WORD_MARKS;
            assert_eq!(decision.to_word() & marks, 0);
            assert_eq!(Decision::from_word(decision.to_word() | marks), decision);
        }
    }
    const { assert!(Decision::WORD_MARKS + Decision::MARK_BITS <= 62) };
}
