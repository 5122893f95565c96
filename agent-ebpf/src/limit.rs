//! Limits of grants: exact, whoever races for what is left.
//!
//! Whoever wants something adds it first and then reads the sum: who finds too much takes it back.
//! So the sum is never less than what was let through, and what was let through never more than the
//! limit.

use agent_common::{
    identity::IdentityId,
    limit::{Limit, UsedKey},
    policy::RuleId,
    verdict::{Decision, Reason},
};

use crate::{kernel::atomic_add, maps};

const ADMITTED: u32 = 1;
/// What the agent reckons is used up.
const SPENT: u32 = 2;

/// One connection more on a grant: the decision, or that a limit is reached.
#[inline(always)]
pub fn admit(decision: Decision, identity: IdentityId, now_ns: u64) -> Decision {
    if !maps::active_policy().has_limits || decision.reason_raw() != Reason::Granted as u8 {
        return decision;
    }
    let grant = decision.rule();
    let reason = match admit_connection(identity.to_raw(), grant.to_raw(), now_ns) {
        ADMITTED => return decision,
        SPENT => Reason::BudgetSpent,
        _ => Reason::LimitReached,
    };
    Decision::new(reason, grant, decision.endpoint())
}

/// A global function: see `decide`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn admit_connection(identity: u32, grant: u32, now_ns: u64) -> u32 {
    let Some(limit) = maps::limit(RuleId::from_raw(grant)) else {
        return ADMITTED;
    };
    let account = maps::account(IdentityId::from_raw(identity));
    if maps::spent_until(account, RuleId::from_raw(grant)) > now_ns {
        return SPENT;
    }
    if limit.bytes != Limit::NONE && take(identity, grant, 0, now_ns) != ADMITTED {
        return 0;
    }
    if limit.connections == Limit::NONE {
        return ADMITTED;
    }
    let key = UsedKey {
        account,
        grant: RuleId::from_raw(grant),
        window: limit.window(now_ns, limit.window_ns),
        what: UsedKey::CONNECTIONS,
        _pad: 0,
    };
    add(&key, 1, limit.connections)
}

/// Octets more on a grant that may limit them. [`ADMITTED`], or 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take(identity: u32, grant: u32, bytes: u64, now_ns: u64) -> u32 {
    let Some(limit) = maps::limit(RuleId::from_raw(grant)) else {
        return ADMITTED;
    };
    if limit.bytes == Limit::NONE {
        return ADMITTED;
    }
    let key = UsedKey {
        account: maps::account(IdentityId::from_raw(identity)),
        grant: RuleId::from_raw(grant),
        window: limit.window(now_ns, Limit::DAY_NS),
        what: UsedKey::BYTES,
        _pad: 0,
    };
    // A new connection needs room for one octet at least.
    let limit = if bytes == 0 {
        limit.bytes.saturating_sub(1)
    } else {
        limit.bytes
    };
    add(&key, bytes, limit)
}

/// Whether the octets may pass.
#[inline(always)]
pub fn may_pass(identity: IdentityId, grant: RuleId, bytes: u64, now_ns: u64) -> bool {
    take(identity.to_raw(), grant.to_raw(), bytes, now_ns) == ADMITTED
}

#[inline(always)]
fn add(key: &UsedKey, amount: u64, limit: u64) -> u32 {
    let Some(used) = maps::used(key) else {
        return 0;
    };
    // SAFETY: a valid pointer to a map value of one word.
    unsafe {
        atomic_add(used, amount);
        if used.read_volatile() <= limit {
            return ADMITTED;
        }
        atomic_add(used, amount.wrapping_neg());
    }
    0
}
