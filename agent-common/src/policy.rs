//! One compiled policy: what the rules say about an identity and an endpoint.
//!
//! The agent flattens all grants, deny rules and postures into entries, so that the most specific
//! entry says everything and the kernel needs no second opinion.

use crate::{
    abi::layout,
    destination::EndpointId,
    identity::IdentityId,
    settings::Slot,
    verdict::{Decision, Reason},
};

/// Key of `RULES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    identity: IdentityId,
    endpoint_and_slot: u32,
}

layout!(RuleKey, size = 8, align = 4);

impl RuleKey {
    const SLOT_BIT: u32 = 1 << 31;

    #[inline(always)]
    #[must_use]
    pub const fn new(identity: IdentityId, endpoint: EndpointId, slot: Slot) -> Self {
        let slot = match slot {
            Slot::A => 0,
            Slot::B => Self::SLOT_BIT,
        };
        Self {
            identity,
            endpoint_and_slot: endpoint.to_raw() | slot,
        }
    }

    #[must_use]
    pub const fn identity(self) -> IdentityId {
        self.identity
    }

    #[must_use]
    pub const fn endpoint(self) -> EndpointId {
        EndpointId::from_raw(self.endpoint_and_slot)
    }

    #[must_use]
    pub const fn slot(self) -> Slot {
        if self.endpoint_and_slot & Self::SLOT_BIT == 0 {
            Slot::A
        } else {
            Slot::B
        }
    }
}

/// Number of a grant or of a deny rule; the agent's store keeps the object behind it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u32);

layout!(RuleId, size = 4, align = 4);

impl RuleId {
    pub const NONE: Self = Self(0);
    /// Bits of a number.
    pub const BITS: u32 = 24;
    /// Numbers are smaller than this.
    pub const LIMIT: u32 = 1 << Self::BITS;

    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    #[inline(always)]
    #[must_use]
    pub const fn to_raw(self) -> u32 {
        self.0
    }

    #[inline(always)]
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// A span of time in which one grant holds: `not_before_ns <= now < not_after_ns`.
///
/// An unused window has `not_after_ns == 0`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub not_before_ns: u64,
    pub not_after_ns: u64,
    pub grant: RuleId,
    pub _pad: u32,
}

layout!(Window, size = 24, align = 8);

impl Window {
    pub const UNUSED: Self = Self {
        not_before_ns: 0,
        not_after_ns: 0,
        grant: RuleId::NONE,
        _pad: 0,
    };

    /// `not_after_ns` of a grant without an end.
    pub const FOREVER: u64 = u64::MAX;

    #[inline(always)]
    #[must_use]
    pub const fn is_unused(&self) -> bool {
        self.not_after_ns == 0
    }
}

/// How many windows the kernel keeps for one identity and endpoint.
pub const WINDOWS: usize = 4;

/// Value of `RULES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    /// Deny rule that refuses whatever grants say, or [`RuleId::NONE`].
    pub deny_rule: RuleId,
    /// What happens when no window holds: [`Posture`] as a number, and flags.
    pub posture: u32,
    /// Disjoint, in order of time, unused ones last.
    pub windows: [Window; WINDOWS],
}

layout!(RuleEntry, size = 104, align = 8);

/// What happens to an identity that no grant entitles.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Posture {
    #[default]
    Allow = 0,
    Deny = 1,
}

impl Posture {
    /// Unknown numbers deny.
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Allow,
            _ => Self::Deny,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl RuleEntry {
    /// Of an entry for [`EndpointId::UNNAMED`]: a connection whose name cannot be found out is
    /// refused.
    pub const REFUSE_UNDECIDABLE: u32 = 0x100;
    /// Of an entry for [`EndpointId::UNNAMED`]: QUIC is refused, so that callers use TCP.
    pub const REFUSE_QUIC: u32 = 0x200;
    /// Of an entry for [`EndpointId::UNNAMED`]: calls on a socket that another workload has made
    /// are refused.
    pub const REFUSE_FOREIGN: u32 = 0x400;
    /// Of an entry for [`EndpointId::UNNAMED`]: sockets other than TCP and UDP are refused.
    pub const REFUSE_RAW: u32 = 0x8000;
    /// The posture is in shadow mode: what it denies goes through and is counted as `would-deny`.
    /// Deny rules refuse all the same.
    pub const SHADOW: u32 = 0x800;
    /// Of an entry for [`EndpointId::UNNAMED`]: as [`RuleEntry::SHADOW`], for
    /// [`RuleEntry::REFUSE_UNDECIDABLE`].
    pub const SHADOW_UNDECIDABLE: u32 = 0x1000;
    /// Likewise for [`RuleEntry::REFUSE_QUIC`].
    pub const SHADOW_QUIC: u32 = 0x2000;
    /// Likewise for [`RuleEntry::REFUSE_FOREIGN`].
    pub const SHADOW_FOREIGN: u32 = 0x4000;
    /// Likewise for [`RuleEntry::REFUSE_RAW`].
    pub const SHADOW_RAW: u32 = 0x1_0000;

    #[inline(always)]
    #[must_use]
    pub const fn posture(&self) -> Posture {
        Posture::from_raw(self.posture & 0xff)
    }

    #[inline(always)]
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.posture & flag != 0
    }

    /// Flags of shadow mode that concern connections.
    pub const SHADOWS: u32 =
        Self::SHADOW | Self::SHADOW_UNDECIDABLE | Self::SHADOW_QUIC | Self::SHADOW_FOREIGN;

    /// `decision`, let through if it was refused for what lies in the connection, and not in an
    /// entry, and `flags` of the entry for [`EndpointId::UNNAMED`] say that this is in shadow mode.
    #[inline(always)]
    #[must_use]
    pub const fn in_shadow(flags: u32, decision: Decision) -> Decision {
        if !decision.is_entitled() && flags & Self::shadow_of(&decision) != 0 {
            return decision.in_shadow();
        }
        decision
    }

    #[inline(always)]
    const fn shadow_of(decision: &Decision) -> u32 {
        const SHARED_ADDRESS: u8 = Reason::SharedAddress as u8;
        const UNDECIDABLE: u8 = Reason::Undecidable as u8;
        const NO_SNI: u8 = Reason::NoSni as u8;
        const ECH: u8 = Reason::Ech as u8;
        const QUIC: u8 = Reason::Quic as u8;
        const FOREIGN_SOCKET: u8 = Reason::ForeignSocket as u8;
        const LIMIT_REACHED: u8 = Reason::LimitReached as u8;
        const BUDGET_SPENT: u8 = Reason::BudgetSpent as u8;
        const RAW_SOCKET: u8 = Reason::RawSocket as u8;
        match decision.reason_raw() {
            SHARED_ADDRESS | NO_SNI | ECH | UNDECIDABLE => Self::SHADOW_UNDECIDABLE,
            QUIC => Self::SHADOW_QUIC,
            FOREIGN_SOCKET => Self::SHADOW_FOREIGN,
            LIMIT_REACHED | BUDGET_SPENT => Self::SHADOW,
            RAW_SOCKET => Self::SHADOW_RAW,
            _ => 0,
        }
    }

    #[must_use]
    pub const fn posture_only(posture: Posture) -> Self {
        Self {
            deny_rule: RuleId::NONE,
            posture: posture as u32,
            windows: [Window::UNUSED; WINDOWS],
        }
    }
}

/// Finds the entry for exactly this identity and endpoint in the live revision.
///
/// Implemented by the kernel's map and, in the agent and in tests, by an ordered map.
pub trait PolicyLookup {
    fn rule(&self, identity: IdentityId, endpoint: EndpointId) -> Option<&RuleEntry>;

    /// What happens to this identity where no endpoint is known.
    fn unnamed(&self, identity: IdentityId) -> Option<&RuleEntry> {
        let entry = |identity| self.rule(identity, EndpointId::UNNAMED);
        entry(identity).or_else(|| entry(IdentityId::UNKNOWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_key_reads_back_its_parts() {
        for slot in [Slot::A, Slot::B] {
            let key = RuleKey::new(IdentityId::from_raw(7), EndpointId::from_raw(9), slot);
            assert_eq!(
                (key.identity().to_raw(), key.endpoint().to_raw(), key.slot()),
                (7, 9, slot)
            );
        }
    }
}
