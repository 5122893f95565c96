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

use super::{KernelError, errno, load::take};

pub struct IdentityMap {
    map: HashMap<MapData, u64, CgroupIdentity>,
}

impl IdentityMap {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let map = HashMap::try_from(take(ebpf, map::IDENTITIES)?)
            .map_err(|source| KernelError::map(map::IDENTITIES, "open", source))?;
        Ok(Self { map })
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
            .map_err(|source| match errno(&source) {
                Some(libc::E2BIG) => KernelError::Full {
                    map: map::IDENTITIES,
                    limit: abi::MAX_CGROUPS,
                },
                Some(_) | None => KernelError::map(map::IDENTITIES, "insert", source),
            })
    }

    /// Forgets a cgroup that is gone.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; an absent cgroup is no error.
    pub fn remove(&mut self, cgroup: u64) -> Result<(), KernelError> {
        match self.map.remove(&cgroup) {
            Err(source) if errno(&source) != Some(libc::ENOENT) => {
                Err(KernelError::map(map::IDENTITIES, "remove an entry", source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
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
