//! Resolvers whose answers the kernel believes.

use std::{collections::BTreeSet, net::IpAddr};

use agent_common::{
    abi::{self, map},
    address::Address,
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

    /// Believes exactly these.
    ///
    /// # Errors
    ///
    /// When there are more than fit, or the kernel refuses.
    pub fn replace(&mut self, resolvers: &BTreeSet<IpAddr>) -> Result<(), KernelError> {
        let wanted: BTreeSet<_> = resolvers.iter().copied().map(Address::from_ip).collect();
        let known = self
            .map
            .keys()
            .collect::<Result<BTreeSet<_>, _>>()
            .map_err(|source| KernelError::map(map::RESOLVERS, "list", source))?;
        for gone in known.difference(&wanted) {
            self.map
                .remove(gone)
                .map_err(|source| KernelError::map(map::RESOLVERS, "remove an entry", source))?;
        }
        for fresh in wanted.difference(&known) {
            self.map
                .insert(fresh, 1, 0)
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
