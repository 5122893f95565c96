//! How long an identity keeps a right that it has now: no lease that it hands on may last longer.

use agent_common::{
    destination::EndpointId,
    identity::IdentityId,
    policy::{PolicyLookup, Window},
    verdict::holds_until,
};

/// Until when on the boot clock the identity may reach the endpoint without interruption, as far as
/// `policy` tells; [`Window::FOREVER`] if nothing ends it, `None` if it may not now.
pub fn entitled_until(
    policy: &impl PolicyLookup,
    identity: IdentityId,
    endpoint: EndpointId,
    now_ns: u64,
) -> Option<u64> {
    let mut until = holds_until(policy, identity, endpoint, now_ns);
    // Windows that follow each other without a gap are one.
    while until != 0 && until != Window::FOREVER {
        match holds_until(policy, identity, endpoint, until) {
            0 => break,
            later => until = later,
        }
    }
    (until != 0).then_some(until)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use agent_common::policy::{Posture, RuleEntry, RuleId};

    use super::*;

    struct Rules(BTreeMap<(u32, u32), RuleEntry>);

    impl PolicyLookup for Rules {
        fn rule(&self, identity: IdentityId, endpoint: EndpointId) -> Option<&RuleEntry> {
            self.0.get(&(identity.to_raw(), endpoint.to_raw()))
        }
    }

    fn entry(posture: Posture, windows: &[(u64, u64)]) -> RuleEntry {
        let mut entry = RuleEntry::posture_only(posture);
        for (place, (not_before_ns, not_after_ns)) in entry.windows.iter_mut().zip(windows) {
            *place = Window {
                not_before_ns: *not_before_ns,
                not_after_ns: *not_after_ns,
                grant: RuleId::from_raw(1),
                _pad: 0,
            };
        }
        entry
    }

    fn check(rules: &[((u32, u32), RuleEntry)], expected: Option<u64>) {
        let rules = Rules(rules.iter().copied().collect());
        let (identity, endpoint) = (IdentityId::from_raw(7), EndpointId::from_raw(9));
        assert_eq!(entitled_until(&rules, identity, endpoint, 50), expected);
    }

    #[test]
    fn a_right_ends_with_its_last_window_before_a_gap() {
        let deny = Posture::Deny;
        check(&[((7, 9), entry(deny, &[(0, 60)]))], Some(60));
        check(
            &[((7, 9), entry(deny, &[(0, 60), (60, 70), (71, 80)]))],
            Some(70),
        );
        check(
            &[((7, 0), entry(deny, &[(0, Window::FOREVER)]))],
            Some(Window::FOREVER),
        );
        check(&[((7, 9), entry(deny, &[(0, 50)]))], None);
        check(&[((7, 9), entry(deny, &[(51, 60)]))], None);
    }

    #[test]
    fn what_the_posture_allows_has_no_end_and_what_it_refuses_is_no_right() {
        check(
            &[((0, 0), entry(Posture::Allow, &[]))],
            Some(Window::FOREVER),
        );
        check(
            &[((7, 9), entry(Posture::Allow, &[(0, 60)]))],
            Some(Window::FOREVER),
        );
        check(&[((0, 0), entry(Posture::Deny, &[]))], None);
        check(&[], None);
    }

    #[test]
    fn the_most_specific_entry_counts_and_a_deny_rule_ends_everything() {
        let mut refused = entry(Posture::Allow, &[(0, 60)]);
        refused.deny_rule = RuleId::from_raw(2);
        check(
            &[((7, 9), refused), ((0, 0), entry(Posture::Allow, &[]))],
            None,
        );
        let specific = entry(Posture::Deny, &[(0, 60)]);
        check(
            &[((0, 9), specific), ((0, 0), entry(Posture::Allow, &[]))],
            Some(60),
        );
    }
}
