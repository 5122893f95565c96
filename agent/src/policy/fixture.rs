//! Policies for tests.

use jiff::Timestamp;

use super::{ApprovalRules, BuildOptions, OnExpired, PolicySet, Separation, parse};
use crate::endpoint::Catalogue;

/// The objects of a text, at `now`, on a host whose rules demand nothing and whose catalogue is empty.
pub(super) fn set(text: &str, now: Timestamp) -> PolicySet {
    let objects = parse("test", text).expect("a valid policy");
    let options = BuildOptions {
        now,
        on_expired: OnExpired::Refuse,
        issued_at: &|_, _| now,
        approval: &ApprovalRules::none(),
        life: &|_, _| None,
        separation: Separation::Report,
    };
    let built = PolicySet::build(objects, &Catalogue::default(), &options);
    built.expect("a policy that fits").set
}
