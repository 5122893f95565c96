//! Fills and empties the half of the policy maps that is not live.

use agent_common::{
    abi::{self, map},
    name::{NameKey, NameNode},
    policy::RuleKey,
    process::NarrowKey,
    settings::Slot,
};

use super::{KernelError, PolicyMaps, PolicyTables, full_or, ignore_absent, prefix_key, remove};

impl PolicyMaps {
    pub(super) fn fill(&mut self, tables: &PolicyTables, slot: Slot) -> Result<(), KernelError> {
        for ((identity, endpoint), entry) in &tables.rules {
            self.put_rule(RuleKey::new(*identity, *endpoint, slot), entry)?;
        }
        for ((identity, exe, user), to) in &tables.narrowed {
            self.put_narrowed(NarrowKey::new(*identity, *exe, *user, slot), *to)?;
        }
        for ((node, kind, hash), value) in &tables.names {
            self.names
                .insert(NameKey::new(*node, *kind, *hash, slot), value, 0)
                .map_err(|source| full_or(map::NAMES, abi::MAX_NAMES, source))?;
        }
        for port in &tables.ports {
            let key = NameKey::of_port(*port, slot);
            self.names
                .insert(key, NameNode::NONE, 0)
                .map_err(|source| full_or(map::NAMES, abi::MAX_NAMES, source))?;
        }
        for ((address, length, port), destination) in &tables.prefixes {
            let key = prefix_key(*address, *length, *port, slot);
            self.prefixes
                .insert(&key, destination, 0)
                .map_err(|source| full_or(map::PREFIXES, abi::MAX_PREFIXES, source))?;
        }
        for ((address, port), destination) in &tables.addresses {
            self.put_address_in(slot, *address, *port, *destination)?;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self, slot: Slot) -> Result<(), KernelError> {
        let rules: Vec<_> = keys(map::RULES, self.rules.keys())?;
        for key in rules.iter().filter(|key| key.slot() == slot) {
            remove(&mut self.rules, map::RULES, key)?;
        }
        let narrowed: Vec<_> = keys(map::NARROWED, self.narrowed.keys())?;
        for key in narrowed.iter().filter(|key| key.slot() == slot) {
            remove(&mut self.narrowed, map::NARROWED, key)?;
        }
        let names: Vec<_> = keys(map::NAMES, self.names.keys())?;
        for key in names.iter().filter(|key| key.slot() == slot) {
            remove(&mut self.names, map::NAMES, key)?;
        }
        let prefixes: Vec<_> = keys(map::PREFIXES, self.prefixes.keys())?;
        for key in prefixes.iter().filter(|key| key.data().slot() == slot) {
            ignore_absent(self.prefixes.remove(key))
                .map_err(|source| KernelError::map(map::PREFIXES, "remove an entry", source))?;
        }
        let addresses: Vec<_> = keys(map::ADDRESSES, self.addresses.keys())?;
        for key in addresses.iter().filter(|key| key.slot() == slot) {
            remove(&mut self.addresses, map::ADDRESSES, key)?;
        }
        Ok(())
    }
}

/// One slot must never take the other's room, so the limit is half of what the map holds.
pub(super) fn check_limits(tables: &PolicyTables) -> Result<(), KernelError> {
    let needs = [
        (map::RULES, tables.rules.len(), abi::MAX_RULES),
        (
            map::NAMES,
            tables.names.len() + tables.ports.len(),
            abi::MAX_NAMES,
        ),
        (map::NARROWED, tables.narrowed.len(), abi::MAX_NARROWED),
        (map::PREFIXES, tables.prefixes.len(), abi::MAX_PREFIXES),
        (map::ADDRESSES, tables.addresses.len(), abi::MAX_ADDRESSES),
    ];
    match needs
        .into_iter()
        .find(|(_, needed, limit)| *needed > *limit as usize)
    {
        Some((map, _, limit)) => Err(KernelError::Full { map, limit }),
        None => Ok(()),
    }
}

pub(in crate::bpf) fn keys<K>(
    map: &'static str,
    keys: impl Iterator<Item = Result<K, aya::maps::MapError>>,
) -> Result<Vec<K>, KernelError> {
    keys.collect::<Result<_, _>>()
        .map_err(|source| KernelError::map(map, "list", source))
}
