//! Limits of grants, and what has been used of them.

use agent_common::{
    abi,
    identity::IdentityId,
    limit::{Limit, UsedKey},
    loss::Loss,
    policy::RuleId,
};
use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::HashMap,
};

use super::count_loss;

#[map]
static LIMITS: HashMap<RuleId, Limit> =
    HashMap::with_max_entries(abi::MAX_LIMITS, BPF_F_NO_PREALLOC);
#[map]
static ACCOUNTS: HashMap<IdentityId, IdentityId> =
    HashMap::with_max_entries(abi::MAX_ACCOUNTS, BPF_F_NO_PREALLOC);
#[map]
static USED: HashMap<UsedKey, u64> = HashMap::with_max_entries(abi::MAX_USED, BPF_F_NO_PREALLOC);

#[inline(always)]
pub fn limit(grant: RuleId) -> Option<&'static Limit> {
    // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
    unsafe { LIMITS.get(grant) }
}

/// Whose limits the identity uses up: those of the workload that it is a part of.
#[inline(always)]
pub fn account(identity: IdentityId) -> IdentityId {
    // SAFETY: a word is read at once.
    unsafe { ACCOUNTS.get(identity) }
        .copied()
        .unwrap_or(identity)
}

/// Until when on the boot clock connections of this account on this grant are refused; 0 if they are
/// not.
#[inline(always)]
pub fn spent_until(account: IdentityId, grant: RuleId) -> u64 {
    // SAFETY: a word is read at once.
    unsafe { USED.get(UsedKey::spent(account, grant)) }.map_or(0, |until| *until)
}

/// What has been used, made if absent; then what was used in the window before is let go. `None` if
/// there is no room.
#[inline(always)]
pub fn used(key: &UsedKey) -> Option<*mut u64> {
    if let Some(used) = USED.get_ptr_mut(key) {
        return Some(used);
    }
    // Another processor may have made it in between.
    let _ = USED.insert(key, 0, u64::from(BPF_NOEXIST));
    let former = UsedKey {
        window: key.window.wrapping_sub(1),
        ..*key
    };
    let _ = USED.remove(former);
    let used = USED.get_ptr_mut(key);
    if used.is_none() {
        count_loss(Loss::LimitMapFull);
    }
    used
}
