//! Keeps the kernel's addresses what the resolver's answers make them.

use agent_common::address::Address;

use super::Core;
use crate::{
    error_chain,
    host::{clock::now, resolver::Answer},
};

impl Core {
    /// Takes over an answer of the resolver.
    pub(super) fn learn(&mut self, answer: &Answer) {
        let at = now();
        let Answer {
            host,
            addresses,
            ttl,
        } = answer;
        self.book.learn(host, addresses, *ttl, at.boot_ns);
        self.update_addresses();
    }

    /// Brings the address map from what is installed to what is wanted, entry by entry.
    pub(super) fn update_addresses(&mut self) {
        let wanted = self.book.wanted(&self.running.revision.hosts());
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
