//! The decision: may this identity reach this destination now?
//!
//! [`decide`] says what policy wants, [`settle`] what the mode makes of it. Both are pure and both
//! are what the kernel programs run.

use crate::{
    destination::{Destination, EndpointId},
    identity::IdentityId,
    policy::{PolicyLookup, Posture, RuleEntry, RuleId},
    settings::Mode,
};

/// Why a verdict is what it is. A closed set with one spelling from kernel to JSON.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A live grant entitles the identity.
    Granted = 1,
    /// No grant, and the posture allows what is not granted.
    DefaultAllow = 2,
    /// No grant, and the posture refuses what is not granted.
    NoGrant = 3,
    /// A deny rule matches.
    DeniedByRule = 4,
    /// The grant has ended.
    Expired = 5,
    /// The grant has not begun.
    NotYetValid = 6,
    /// No policy is installed, not even a host default.
    NoPolicy = 7,
}

impl Reason {
    pub const ALL: [Self; 7] = [
        Self::Granted,
        Self::DefaultAllow,
        Self::NoGrant,
        Self::DeniedByRule,
        Self::Expired,
        Self::NotYetValid,
        Self::NoPolicy,
    ];

    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Granted),
            2 => Some(Self::DefaultAllow),
            3 => Some(Self::NoGrant),
            4 => Some(Self::DeniedByRule),
            5 => Some(Self::Expired),
            6 => Some(Self::NotYetValid),
            7 => Some(Self::NoPolicy),
            _ => None,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::DefaultAllow => "default-allow",
            Self::NoGrant => "no-grant",
            Self::DeniedByRule => "denied-by-rule",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::NoPolicy => "no-policy",
        }
    }

    /// Whether policy lets the connection through, before the mode is asked.
    #[inline(always)]
    #[must_use]
    pub const fn is_entitled(self) -> bool {
        match self {
            Self::Granted | Self::DefaultAllow => true,
            Self::NoGrant
            | Self::DeniedByRule
            | Self::Expired
            | Self::NotYetValid
            | Self::NoPolicy => false,
        }
    }
}

/// What happens to the connection.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Allow = 1,
    Deny = 2,
    /// Allowed, because the mode is [`Mode::Shadow`]; in [`Mode::Enforce`] it would be refused.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub reason: Reason,
    /// The grant that entitles or has ended, the deny rule that refuses, or none.
    pub rule: RuleId,
    /// The endpoint that decided: on a shared address, the one that is refused.
    pub endpoint: EndpointId,
}

/// Decides about one attempt to reach `destination` at `now_ns`.
///
/// An address with several endpoints is refused as soon as one of them is: until the name is
/// known, the strictest reading holds. `None` means that the destination consists of prefixes
/// whose deny rules do not concern this identity: it is not governed at all.
#[inline(always)]
pub fn decide(
    policy: &impl PolicyLookup,
    identity: IdentityId,
    destination: &Destination,
    now_ns: u64,
) -> Option<Decision> {
    let mut strictest = None;
    for endpoint in destination.endpoints {
        if endpoint == EndpointId::ANY {
            break;
        }
        strictest = stricter(
            strictest,
            decide_endpoint(policy, identity, endpoint, now_ns),
        );
    }
    strictest
}

/// The refusal, if there is one; of two alike, the first.
#[inline(always)]
#[must_use]
pub const fn stricter(first: Option<Decision>, second: Option<Decision>) -> Option<Decision> {
    match (first, second) {
        (None, other) | (other, None) => other,
        (Some(first), Some(second)) => {
            if first.reason.is_entitled() && !second.reason.is_entitled() {
                Some(second)
            } else {
                Some(first)
            }
        }
    }
}

/// Decides about one endpoint.
#[inline(always)]
pub fn decide_endpoint(
    policy: &impl PolicyLookup,
    identity: IdentityId,
    endpoint: EndpointId,
    now_ns: u64,
) -> Option<Decision> {
    let Some(entry) = find(policy, identity, endpoint) else {
        if endpoint.is_denied_prefix() {
            return None;
        }
        return Some(Decision {
            reason: Reason::NoPolicy,
            rule: RuleId::NONE,
            endpoint,
        });
    };
    let (reason, rule) = judge(entry, now_ns);
    Some(Decision {
        reason,
        rule,
        endpoint,
    })
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
    match Posture::from_raw(entry.posture) {
        Posture::Allow => (Reason::DefaultAllow, RuleId::NONE),
        Posture::Deny if !ended.is_none() => (Reason::Expired, ended),
        Posture::Deny if !upcoming.is_none() => (Reason::NotYetValid, upcoming),
        Posture::Deny => (Reason::NoGrant, RuleId::NONE),
    }
}

/// What `mode` makes of a decision. The only place where a denial can come from.
#[inline(always)]
#[must_use]
pub const fn settle(mode: Mode, reason: Reason) -> Verdict {
    match mode {
        Mode::Observe => Verdict::Allow,
        Mode::Shadow if reason.is_entitled() => Verdict::Allow,
        Mode::Shadow => Verdict::WouldDeny,
        Mode::Enforce if reason.is_entitled() => Verdict::Allow,
        Mode::Enforce => Verdict::Deny,
    }
}

#[cfg(test)]
mod tests;
