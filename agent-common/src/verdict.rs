//! The decision: may this identity reach this destination now?
//!
//! [`decide`] says what policy wants, [`settle`] what the mode makes of it. Both are pure and both
//! are what the kernel programs run.

mod reason;
mod word;

pub use reason::Reason;

use crate::{
    destination::{Destination, EndpointId},
    identity::IdentityId,
    policy::{PolicyLookup, Posture, RuleEntry, RuleId, Window},
    settings::Mode,
};

/// What happens to the connection.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Allow = 1,
    Deny = 2,
    /// Allowed, because the mode of the host or of the posture is [`Mode::Shadow`]; in
    /// [`Mode::Enforce`] it would be refused.
    WouldDeny = 3,
}

impl Verdict {
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::WouldDeny];

    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Allow),
            2 => Some(Self::Deny),
            3 => Some(Self::WouldDeny),
            _ => None,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::WouldDeny => "would-deny",
        }
    }
}

/// What policy says about one attempt.
///
/// Reason and rule share one word that sorts by strictness, so that the strictest of several
/// decisions is found by one comparison. A plain structure with an enum would make the kernel's
/// verifier follow every combination of reasons through every loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    packed: u64,
    endpoint: EndpointId,
}

/// Which of two decisions counts: the upper bits of a packed one.
mod strictness {
    pub(super) const UNGOVERNED: u64 = 0;
    pub(super) const ENTITLED: u64 = 2;
    /// For want of a grant, where the posture is in shadow mode.
    pub(super) const REFUSED_IN_SHADOW: u64 = 3;
    /// For want of a grant.
    pub(super) const REFUSED: u64 = 4;
    pub(super) const DENIED_BY_RULE: u64 = 6;
    pub(super) const MASK: u64 = 7;
}

const STRICTNESS_SHIFT: u32 = 61;
const REASON_SHIFT: u32 = 32;

impl Decision {
    /// The start of every search.
    pub const UNGOVERNED: Self = Self {
        packed: 0,
        endpoint: EndpointId::ANY,
    };

    #[inline(always)]
    #[must_use]
    pub const fn new(reason: Reason, rule: RuleId, endpoint: EndpointId) -> Self {
        let strictness = if matches!(reason, Reason::Ungoverned) {
            strictness::UNGOVERNED
        } else if reason.is_entitled() {
            strictness::ENTITLED
        } else if matches!(reason, Reason::DeniedByRule) {
            strictness::DENIED_BY_RULE
        } else {
            strictness::REFUSED
        };
        let packed =
            strictness << STRICTNESS_SHIFT | (reason as u64) << REASON_SHIFT | rule.to_raw() as u64;
        Self { packed, endpoint }
    }

    /// From [`Decision::packed`] of a decision about `endpoint`.
    #[inline(always)]
    #[must_use]
    pub const fn from_packed(packed: u64, endpoint: EndpointId) -> Self {
        Self { packed, endpoint }
    }

    #[inline(always)]
    #[must_use]
    pub const fn packed(&self) -> u64 {
        self.packed
    }

    #[inline(always)]
    #[must_use]
    pub const fn is_governed(&self) -> bool {
        self.packed >> STRICTNESS_SHIFT != strictness::UNGOVERNED
    }

    /// Whether policy lets the connection through, before the host's mode is asked.
    #[inline(always)]
    #[must_use]
    pub const fn is_entitled(&self) -> bool {
        self.packed >> STRICTNESS_SHIFT < strictness::REFUSED
    }

    /// Whether the posture lets through what it would refuse in [`Mode::Enforce`].
    #[inline(always)]
    #[must_use]
    pub const fn is_in_shadow(&self) -> bool {
        self.packed >> STRICTNESS_SHIFT == strictness::REFUSED_IN_SHADOW
    }

    /// As [`Decision::is_entitled`], if every posture were enforced.
    #[must_use]
    pub const fn is_entitled_when_enforced(&self) -> bool {
        self.is_entitled() && !self.is_in_shadow()
    }

    /// The same, but let through if it was refused for want of a grant.
    #[inline(always)]
    #[must_use]
    pub const fn in_shadow(self) -> Self {
        if self.packed >> STRICTNESS_SHIFT != strictness::REFUSED {
            return self;
        }
        let rest = self.packed & !(strictness::MASK << STRICTNESS_SHIFT);
        Self {
            packed: rest | strictness::REFUSED_IN_SHADOW << STRICTNESS_SHIFT,
            endpoint: self.endpoint,
        }
    }

    /// [`Reason`] as a number.
    #[inline(always)]
    #[must_use]
    pub const fn reason_raw(&self) -> u8 {
        (self.packed >> REASON_SHIFT) as u8
    }

    #[must_use]
    pub const fn reason(&self) -> Reason {
        match Reason::from_raw(self.reason_raw()) {
            Some(reason) => reason,
            None => Reason::Ungoverned,
        }
    }

    /// The grant that entitles or has ended, the deny rule that refuses, or none.
    #[inline(always)]
    #[must_use]
    pub const fn rule(&self) -> RuleId {
        RuleId::from_raw(self.packed as u32)
    }

    /// The endpoint that decided: on a shared address, the first one that is refused.
    #[inline(always)]
    #[must_use]
    pub const fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// The stricter one: a deny rule before a missing grant before a right; of two alike, the first.
    #[inline(always)]
    #[must_use]
    pub const fn or_stricter(self, other: Self) -> Self {
        if other.packed >> STRICTNESS_SHIFT > self.packed >> STRICTNESS_SHIFT {
            return other;
        }
        self
    }
}

/// Decides about one endpoint: the step that [`decide`] repeats for each endpoint of an address.
///
/// Every [`PolicyLookup`] is one. The kernel has its own, which calls [`decide_endpoint`] in a
/// function that the verifier checks once and not for every path that leads there.
pub trait Judge {
    fn endpoint(&self, identity: IdentityId, endpoint: EndpointId, now_ns: u64) -> Decision;
}

impl<L: PolicyLookup> Judge for L {
    #[inline(always)]
    fn endpoint(&self, identity: IdentityId, endpoint: EndpointId, now_ns: u64) -> Decision {
        decide_endpoint(self, identity, endpoint, now_ns)
    }
}

/// Decides about one attempt to reach `destination` at `now_ns`.
///
/// An address with several endpoints is refused as soon as one of them is: until the name is
/// known, the strictest reading holds.
#[inline(always)]
pub fn decide(
    judge: &impl Judge,
    identity: IdentityId,
    destination: &Destination,
    now_ns: u64,
) -> Decision {
    let mut strictest = Decision::UNGOVERNED;
    for endpoint in destination.endpoints {
        if endpoint == EndpointId::ANY {
            break;
        }
        strictest = strictest.or_stricter(judge.endpoint(identity, endpoint, now_ns));
    }
    strictest
}

/// Decides about one endpoint by the rules.
#[inline(always)]
pub fn decide_endpoint(
    policy: &impl PolicyLookup,
    identity: IdentityId,
    endpoint: EndpointId,
    now_ns: u64,
) -> Decision {
    let Some(entry) = find(policy, identity, endpoint) else {
        if endpoint.is_denied_prefix() {
            return Decision::UNGOVERNED;
        }
        return Decision::new(Reason::NoPolicy, RuleId::NONE, endpoint);
    };
    let (reason, rule) = judge(entry, now_ns);
    let decision = Decision::new(reason, rule, endpoint);
    if entry.has(RuleEntry::SHADOW) {
        return decision.in_shadow();
    }
    decision
}

/// Until when [`decide_endpoint`] says that the identity may reach the endpoint: an instant at which
/// to ask again, [`Window::FOREVER`] if nothing ends it, 0 if it may not.
#[inline(always)]
pub fn holds_until(
    policy: &impl PolicyLookup,
    identity: IdentityId,
    endpoint: EndpointId,
    now_ns: u64,
) -> u64 {
    let Some(entry) = find(policy, identity, endpoint) else {
        return if endpoint.is_denied_prefix() {
            Window::FOREVER
        } else {
            0
        };
    };
    if !entry.deny_rule.is_none() {
        return 0;
    }
    if matches!(entry.posture(), Posture::Allow) || entry.has(RuleEntry::SHADOW) {
        return Window::FOREVER;
    }
    for window in &entry.windows {
        if window.not_before_ns <= now_ns && now_ns < window.not_after_ns {
            return window.not_after_ns;
        }
    }
    0
}

/// The most specific entry: identity before endpoint, either before neither.
#[inline(always)]
fn find<L: PolicyLookup>(
    policy: &L,
    identity: IdentityId,
    endpoint: EndpointId,
) -> Option<&RuleEntry> {
    if let Some(entry) = policy.rule(identity, endpoint) {
        return Some(entry);
    }
    if endpoint.is_denied_prefix() {
        return policy.rule(IdentityId::UNKNOWN, endpoint);
    }
    if let Some(entry) = policy.rule(identity, EndpointId::ANY) {
        return Some(entry);
    }
    if let Some(entry) = policy.rule(IdentityId::UNKNOWN, endpoint) {
        return Some(entry);
    }
    policy.rule(IdentityId::UNKNOWN, EndpointId::ANY)
}

/// What one entry says at `now_ns`.
#[inline(always)]
fn judge(entry: &RuleEntry, now_ns: u64) -> (Reason, RuleId) {
    if !entry.deny_rule.is_none() {
        return (Reason::DeniedByRule, entry.deny_rule);
    }
    let mut ended = RuleId::NONE;
    let mut upcoming = RuleId::NONE;
    for window in &entry.windows {
        if window.is_unused() {
            break;
        }
        if window.not_after_ns <= now_ns {
            ended = window.grant;
        } else if window.not_before_ns <= now_ns {
            return (Reason::Granted, window.grant);
        } else if upcoming.is_none() {
            upcoming = window.grant;
        }
    }
    match entry.posture() {
        Posture::Allow => (Reason::DefaultAllow, RuleId::NONE),
        Posture::Deny if !ended.is_none() => (Reason::Expired, ended),
        Posture::Deny if !upcoming.is_none() => (Reason::NotYetValid, upcoming),
        Posture::Deny => (Reason::NoGrant, RuleId::NONE),
    }
}

/// What the host's `mode` makes of a decision. The only place where a denial can come from.
#[inline(always)]
#[must_use]
pub const fn settle(mode: Mode, decision: &Decision) -> Verdict {
    match mode {
        Mode::Observe => Verdict::Allow,
        Mode::Shadow | Mode::Enforce if decision.is_in_shadow() => Verdict::WouldDeny,
        Mode::Shadow | Mode::Enforce if decision.is_entitled() => Verdict::Allow,
        Mode::Shadow => Verdict::WouldDeny,
        Mode::Enforce => Verdict::Deny,
    }
}

#[cfg(test)]
mod tests;
