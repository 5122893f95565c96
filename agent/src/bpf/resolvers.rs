//! Resolvers whose answers the kernel believes.

use std::{collections::BTreeMap, net::IpAddr};

use agent_common::{
    abi::{self, map},
    address::Address,
    settings::resolver,
};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};

use super::{KernelError, errno, load::take};

pub struct ResolverMap {
    map: HashMap<MapData, Address, u32>,
}

impl ResolverMap {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let map = HashMap::try_from(take(ebpf, map::RESOLVERS)?)
            .map_err(|source| KernelError::map(map::RESOLVERS, "open", source))?;
        Ok(Self { map })
    }

    /// Believes exactly these; `true` for those whose answers are hints only.
    ///
    /// # Errors
    ///
    /// When there are more than fit, or the kernel refuses.
    pub fn replace(&mut self, resolvers: &BTreeMap<IpAddr, bool>) -> Result<(), KernelError> {
        let wanted: BTreeMap<_, _> = resolvers
            .iter()
            .map(|(ip, is_hint)| (Address::from_ip(*ip), *is_hint))
            .collect();
        let known = self
            .map
            .keys()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| KernelError::map(map::RESOLVERS, "list", source))?;
        for gone in known.iter().filter(|known| !wanted.contains_key(known)) {
            self.map
                .remove(gone)
                .map_err(|source| KernelError::map(map::RESOLVERS, "remove an entry", source))?;
        }
        for (address, is_hint) in &wanted {
            let trust = if *is_hint {
                resolver::HINT
            } else {
                resolver::TRUSTED
            };
            self.map
                .insert(address, trust, 0)
                .map_err(|source| match errno(&source) {
                    Some(libc::E2BIG) => KernelError::Full {
                        map: map::RESOLVERS,
                        limit: abi::MAX_RESOLVERS,
                    },
                    Some(_) | None => KernelError::map(map::RESOLVERS, "insert", source),
                })?;
        }
        Ok(())
    }
}
