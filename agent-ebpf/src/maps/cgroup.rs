//! Cgroups: which identity each has, which is expected where, and the ring that tells of them.

use agent_common::{
    abi,
    cgroup::{CgroupPath, CgroupRecord},
    identity::{CgroupIdentity, IdentityId},
    loss::Loss,
};
use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::{HashMap, PerCpuArray, RingBuf},
};

use super::{EEXIST, count_loss};

#[map]
static IDENTITIES: HashMap<u64, CgroupIdentity> =
    HashMap::with_max_entries(abi::MAX_CGROUPS, BPF_F_NO_PREALLOC);
#[map]
static PATHS: HashMap<CgroupPath, IdentityId> =
    HashMap::with_max_entries(abi::MAX_PATHS, BPF_F_NO_PREALLOC);
#[map]
static CGROUPS: RingBuf = RingBuf::with_byte_size(abi::CGROUP_RING_BYTES, 0);
#[map]
static CGROUP_SCRATCH: PerCpuArray<CgroupRecord> = PerCpuArray::with_max_entries(1, 0);

#[map]
static CROWDED: HashMap<IdentityId, u32> =
    HashMap::with_max_entries(abi::MAX_CROWDED, BPF_F_NO_PREALLOC);

/// Wakes the agent whatever it has not read yet.
const BPF_RB_FORCE_WAKEUP: u64 = 2;

#[inline(always)]
pub fn identity_of_cgroup(cgroup: u64) -> Option<IdentityId> {
    // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
    unsafe { IDENTITIES.get(cgroup) }.map(|known| known.identity)
}

/// Remembers for `cgroup` what its ancestor is, until the agent names it.
#[inline(always)]
pub fn inherit_identity(cgroup: u64, identity: IdentityId) {
    insert(
        cgroup,
        CgroupIdentity {
            identity,
            flags: CgroupIdentity::INHERITED,
        },
    );
}

/// Whether there are enough cgroups of this identity.
#[inline(always)]
pub fn is_crowded(identity: IdentityId) -> bool {
    // SAFETY: only its presence matters.
    unsafe { CROWDED.get(identity) }.is_some()
}

/// Gives a new cgroup the identity that its path has had.
#[inline(always)]
pub fn expect_identity(cgroup: u64, identity: IdentityId) {
    insert(cgroup, CgroupIdentity { identity, flags: 0 });
}

#[inline(always)]
fn insert(cgroup: u64, identity: CgroupIdentity) {
    if let Err(error) = IDENTITIES.insert(cgroup, identity, u64::from(BPF_NOEXIST))
        && error != -EEXIST
    {
        count_loss(Loss::IdentityMapFull);
    }
}

#[inline(always)]
pub fn identity_of_path(path: &CgroupPath) -> Option<IdentityId> {
    // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
    unsafe { PATHS.get(path) }.copied()
}

/// This processor's record. Cgroups are made and removed under one lock, without interruption.
#[inline(always)]
pub fn cgroup_record() -> Option<&'static mut CgroupRecord> {
    // SAFETY: a valid pointer that no other program uses at this time.
    CGROUP_SCRATCH
        .get_ptr_mut(0)
        .map(|record| unsafe { &mut *record })
}

#[inline(always)]
pub fn tell_of_cgroup(record: &CgroupRecord) {
    if CGROUPS
        .output::<CgroupRecord>(record, BPF_RB_FORCE_WAKEUP)
        .is_err()
    {
        count_loss(Loss::CgroupRingFull);
    }
}
