//! Which identity each cgroup has.

use std::collections::BTreeMap;

use agent_common::{
    abi::{self, map},
    identity::{CgroupIdentity, IdentityId},
};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};

use super::{
    KernelError,
    load::take,
    policy::{full_or, remove, slot::keys},
};

pub struct IdentityMap {
    map: HashMap<MapData, u64, CgroupIdentity>,
    crowded: HashMap<MapData, IdentityId, u32>,
}

impl IdentityMap {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let map = HashMap::try_from(take(ebpf, map::IDENTITIES)?)
            .map_err(|source| KernelError::map(map::IDENTITIES, "open", source))?;
        let mut crowded: HashMap<_, IdentityId, u32> = HashMap::try_from(take(ebpf, map::CROWDED)?)
            .map_err(|source| KernelError::map(map::CROWDED, "open", source))?;
        // What another agent had too much of.
        for identity in keys(map::CROWDED, crowded.keys())? {
            remove(&mut crowded, map::CROWDED, &identity)?;
        }
        Ok(Self { map, crowded })
    }

    /// Lets the kernel tell of no more cgroups in those of this identity.
    ///
    /// # Errors
    ///
    /// When the map is full.
    pub fn close(&mut self, identity: IdentityId) -> Result<(), KernelError> {
        self.crowded
            .insert(identity, 1, 0)
            .map_err(|source| full_or(map::CROWDED, abi::MAX_CROWDED, source))
    }

    /// Takes that back.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn open_again(&mut self, identity: IdentityId) -> Result<(), KernelError> {
        remove(&mut self.crowded, map::CROWDED, &identity)
    }

    /// Names a cgroup; replaces what the kernel may have inherited for it.
    ///
    /// # Errors
    ///
    /// When the map is full: the kernel then goes on with the identity of the ancestor.
    pub fn set(&mut self, cgroup: u64, identity: IdentityId) -> Result<(), KernelError> {
        let known = CgroupIdentity { identity, flags: 0 };
        self.map
            .insert(cgroup, known, 0)
            .map_err(|source| full_or(map::IDENTITIES, abi::MAX_CGROUPS, source))
    }

    /// Forgets a cgroup that is gone.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; an absent cgroup is no error.
    pub fn remove(&mut self, cgroup: u64) -> Result<(), KernelError> {
        remove(&mut self.map, map::IDENTITIES, &cgroup)
    }

    /// Everything in the map, by cgroup id.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn all(&self) -> Result<BTreeMap<u64, CgroupIdentity>, KernelError> {
        self.map
            .iter()
            .collect::<Result<_, _>>()
            .map_err(|source| KernelError::map(map::IDENTITIES, "list", source))
    }
}
