//! Identities that a cgroup gets as soon as it is made, by its path.

use std::collections::BTreeMap;

use agent_common::{
    abi::{self, map},
    cgroup::CgroupPath,
    identity::IdentityId,
};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};

use super::{KernelError, errno, load::take};

pub struct PathMap {
    map: HashMap<MapData, CgroupPath, IdentityId>,
    held: BTreeMap<String, IdentityId>,
}

impl PathMap {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let failed = |source| KernelError::map(map::PATHS, "open", source);
        let map = HashMap::<_, CgroupPath, IdentityId>::try_from(take(ebpf, map::PATHS)?)
            .map_err(failed)?;
        let all: Result<Vec<_>, _> = map.iter().collect();
        let all = all.map_err(failed)?.into_iter();
        let named = all.filter_map(|(path, id)| Some((path.as_str()?.to_owned(), id)));
        Ok(Self {
            held: named.collect(),
            map,
        })
    }

    /// Replaces what is expected.
    ///
    /// # Errors
    ///
    /// When the kernel refuses. What finds no room is left out: the agent then names it.
    pub fn replace(&mut self, wanted: &BTreeMap<String, IdentityId>) -> Result<(), KernelError> {
        let stale: Vec<_> = self
            .held
            .keys()
            .filter(|path| !wanted.contains_key(*path))
            .cloned()
            .collect();
        for path in stale {
            self.remove(&path)?;
        }
        for (path, identity) in wanted {
            self.set(path, *identity)?;
        }
        Ok(())
    }

    /// # Errors
    ///
    /// When the kernel refuses. A path that is too long, or finds no room, is left out.
    pub fn set(&mut self, path: &str, identity: IdentityId) -> Result<(), KernelError> {
        if self.held.get(path) == Some(&identity) {
            return Ok(());
        }
        let Some(key) = CgroupPath::new(path) else {
            return Ok(());
        };
        if self.held.len() >= abi::MAX_PATHS as usize {
            return Ok(());
        }
        self.map
            .insert(key, identity, 0)
            .map_err(|source| KernelError::map(map::PATHS, "insert", source))?;
        self.held.insert(path.to_owned(), identity);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), KernelError> {
        if let Some(key) = CgroupPath::new(path) {
            match self.map.remove(&key) {
                Err(source) if errno(&source) != Some(libc::ENOENT) => {
                    return Err(KernelError::map(map::PATHS, "remove an entry", source));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.held.remove(path);
        Ok(())
    }
}
