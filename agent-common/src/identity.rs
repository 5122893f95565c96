//! Identities as the kernel knows them: numbers behind cgroup ids.

use crate::abi::layout;

/// Number of an identity; the agent's store keeps the labels behind it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId(u32);

layout!(IdentityId, size = 4, align = 4);

impl IdentityId {
    /// A workload whose cgroup and whose cgroup's ancestors are all unknown. In a rule key it
    /// stands for every identity.
    pub const UNKNOWN: Self = Self(0);

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
}

/// What the kernel knows about one cgroup: the value of `IDENTITIES`, keyed by cgroup id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupIdentity {
    pub identity: IdentityId,
    /// [`CgroupIdentity::INHERITED`] or 0.
    pub flags: u32,
}

layout!(CgroupIdentity, size = 8, align = 4);

impl CgroupIdentity {
    /// The kernel filled this row from an ancestor because the agent had not yet named the cgroup.
    pub const INHERITED: u32 = 1;
}

/// Deepest cgroup level below the root whose identity an unknown descendant can inherit.
pub const MAX_ANCESTOR_LEVEL: i32 = 16;
