//! Keeps the kernel's addresses what the resolver's answers make them.

use agent_common::address::Address;

use super::{Core, addresses::Wanted};
use crate::{
    error_chain,
    host::{
        clock::now,
        resolver::{Answer, MIN_TTL},
    },
    store::StoreError,
};

impl Core {
    /// What an earlier agent has learnt: the resolver may be slow, or away.
    pub(super) fn remember_addresses(&mut self) -> Result<(), StoreError> {
        let at = now().boot_ns;
        for (host, addresses) in self.store.addresses()? {
            self.book.learn(&host, &addresses, MIN_TTL, at);
        }
        Ok(())
    }

    /// Takes over an answer of the resolver.
    pub(super) fn learn(&mut self, answer: &Answer) {
        let at = now();
        let Answer {
            host,
            addresses,
            ttl,
        } = answer;
        self.book.learn(host, addresses, *ttl, at.boot_ns);
        if let Err(error) = self.store.keep_addresses(host, addresses) {
            tracing::error!(error = error_chain(&error), host, "addresses not kept");
        }
        self.update_addresses();
    }

    /// The addresses of all hosts, and those that the policy itself names.
    pub(super) fn wanted_addresses(&self, named: &Wanted) -> Wanted {
        let revision = &self.running.revision;
        let mut wanted = self.book.wanted(&revision.hosts(), &revision.flags());
        for (key, destination) in named {
            let merged = match wanted.get(key) {
                Some(known) => known.merged(destination),
                None => *destination,
            };
            wanted.insert(*key, merged);
        }
        wanted
    }

    /// Brings the address map from what is installed to what is wanted, entry by entry.
    pub(super) fn update_addresses(&mut self) {
        let wanted = self.wanted_addresses(&self.named_addresses);
        let changed: Vec<_> = wanted
            .iter()
            .filter(|(key, destination)| self.installed_addresses.get(key) != Some(destination))
            .map(|(key, destination)| (*key, *destination))
            .collect();
        let gone: Vec<(Address, u16)> = self
            .installed_addresses
            .keys()
            .filter(|key| !wanted.contains_key(key))
            .copied()
            .collect();
        let result = changed
            .into_iter()
            .try_for_each(|((address, port), destination)| {
                self.maps.policy.put_address(address, port, destination)
            })
            .and_then(|()| {
                gone.into_iter()
                    .try_for_each(|(address, port)| self.maps.policy.remove_address(address, port))
            });
        match result {
            Ok(()) => self.installed_addresses = wanted,
            Err(error) => tracing::error!(error = error_chain(&error), "addresses not updated"),
        }
    }
}
