//! Executables and users that policy names, by number.

use std::collections::BTreeMap;

use agent_common::{
    abi::{self, map},
    process::ExeKey,
};
use aya::{
    Ebpf, Pod,
    maps::{HashMap, MapData},
};

use super::{KernelError, errno, load::take};

/// The numbers are the same as long as the maps live: both revisions may use them.
pub struct ClassMaps {
    pub exes: ClassMap<ExeKey>,
    pub users: ClassMap<u32>,
}

impl ClassMaps {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            exes: ClassMap::open(ebpf, map::EXE_CLASSES)?,
            users: ClassMap::open(ebpf, map::USER_CLASSES)?,
        })
    }

    /// The number of an executable that runs, as the kernel finds it; 0 if it has none.
    #[must_use]
    pub fn exe(&self, key: &ExeKey) -> u16 {
        match self.exes.known(key) {
            0 => self.exes.known(&key.of_any_generation()),
            class => class,
        }
    }
}

pub struct ClassMap<K: Pod> {
    name: &'static str,
    map: HashMap<MapData, K, u32>,
    held: BTreeMap<K, u32>,
}

impl<K: Pod + Ord> ClassMap<K> {
    fn open(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, KernelError> {
        let map = HashMap::try_from(take(ebpf, name)?)
            .map_err(|source| KernelError::map(name, "open", source))?;
        let held = map
            .iter()
            .collect::<Result<_, _>>()
            .map_err(|source| KernelError::map(name, "list", source))?;
        Ok(Self { name, map, held })
    }

    /// The number of `key`, made if it has none.
    ///
    /// # Errors
    ///
    /// When the map is full.
    pub fn number(&mut self, key: K) -> Result<u16, KernelError> {
        if let Some(class) = self.held.get(&key) {
            return Ok(*class as u16);
        }
        let full = || KernelError::Full {
            map: self.name,
            limit: abi::MAX_CLASSES,
        };
        let used: std::collections::BTreeSet<_> = self.held.values().copied().collect();
        let free = (1..=abi::MAX_CLASSES).find(|class| !used.contains(class));
        let class = free.ok_or_else(full)?;
        self.map
            .insert(key, class, 0)
            .map_err(|source| match errno(&source) {
                Some(libc::E2BIG) => full(),
                Some(_) | None => KernelError::map(self.name, "insert", source),
            })?;
        self.held.insert(key, class);
        Ok(class as u16)
    }

    /// The number of `key`; 0 if it has none.
    #[must_use]
    pub fn known(&self, key: &K) -> u16 {
        self.held.get(key).map_or(0, |class| *class as u16)
    }

    /// Removes what is not wanted any more, once no revision uses its number.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn retain(&mut self, wanted: impl Fn(&K) -> bool) -> Result<(), KernelError> {
        let stale: Vec<_> = self
            .held
            .keys()
            .filter(|key| !wanted(key))
            .copied()
            .collect();
        for key in stale {
            match self.map.remove(&key) {
                Err(source) if errno(&source) != Some(libc::ENOENT) => {
                    return Err(KernelError::map(self.name, "remove an entry", source));
                }
                Ok(()) | Err(_) => {}
            }
            self.held.remove(&key);
        }
        Ok(())
    }
}
