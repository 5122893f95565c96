//! How much a workload may do on a grant: what the kernel counts and refuses by itself.

use crate::{abi::layout, identity::IdentityId, policy::RuleId};

/// Value of `LIMITS`, by the number of the grant. The limits hold for each workload on its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Connections of one window, and datagrams without `connect()`; [`Limit::NONE`] for any number.
    pub connections: u64,
    /// Length of that window.
    pub window_ns: u64,
    /// Octets of payload of one day in both directions; [`Limit::NONE`] for any number.
    pub bytes: u64,
    /// What turns the boot clock into Unix time: windows of whole parts of a day begin at midnight UTC.
    pub unix_ns: u64,
}

layout!(Limit, size = 32, align = 8);

impl Limit {
    pub const NONE: u64 = u64::MAX;
    pub const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;

    /// Number of the window that `now_ns` is in, of windows of this length.
    #[inline(always)]
    #[must_use]
    pub const fn window(&self, now_ns: u64, length_ns: u64) -> u64 {
        if length_ns == 0 {
            return 0;
        }
        now_ns.wrapping_add(self.unix_ns) / length_ns
    }
}

/// Key of `USED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// The account of whoever used it: by `ACCOUNTS`, or the identity itself.
    pub account: IdentityId,
    pub grant: RuleId,
    /// As [`Limit::window`] counts them.
    pub window: u64,
    /// [`UsedKey::CONNECTIONS`], [`UsedKey::BYTES`] or [`UsedKey::SPENT`].
    pub what: u32,
    pub _pad: u32,
}

layout!(UsedKey, size = 24, align = 8);

impl UsedKey {
    pub const CONNECTIONS: u32 = 0;
    pub const BYTES: u32 = 1;
    /// What the agent reckons: the value is no count, but until when on the boot clock connections are
    /// refused.
    pub const SPENT: u32 = 2;

    /// Of what the agent says about the budget of a grant; in no window.
    #[inline(always)]
    #[must_use]
    pub const fn spent(account: IdentityId, grant: RuleId) -> Self {
        Self {
            account,
            grant,
            window: 0,
            what: Self::SPENT,
            _pad: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight() {
        let hour = Limit::DAY_NS / 24;
        // Started at 22:00 of the third day.
        let limit = Limit {
            connections: Limit::NONE,
            window_ns: hour,
            bytes: 1,
            unix_ns: 2 * Limit::DAY_NS + 22 * hour,
        };
        assert_eq!(limit.window(2 * hour - 1, Limit::DAY_NS), 2);
        assert_eq!(limit.window(2 * hour, Limit::DAY_NS), 3);
        assert_eq!(limit.window(0, hour), 70);
        assert_eq!(limit.window(7, 0), 0);
    }
}
