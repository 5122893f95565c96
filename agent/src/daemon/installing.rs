//! Makes the running revision what the kernel looks up.

use std::collections::BTreeSet;

use super::Core;
use crate::{
    bpf::KernelError,
    error_chain,
    host::clock::{Now, now},
};

impl Core {
    /// Makes the running revision what the kernel looks up.
    pub(super) fn install(&mut self) -> Result<(), KernelError> {
        let uses = self.running.revision.hosts();
        let at = now();
        let unsuitable =
            |error: &dyn std::error::Error| KernelError::Unsuitable(error_chain(error));
        let before: Vec<_> = self.workloads.cgroups().collect();
        let moves = self.regroup(at.wall).map_err(|error| unsuitable(&error))?;
        if let Err(error) = self.install_for_groups(&at) {
            for (cgroup, identity) in before {
                self.workloads.move_to(cgroup, identity);
            }
            return Err(error);
        }
        for (cgroup, identity) in &moves {
            self.maps.identities.set(*cgroup, *identity)?;
        }
        if !moves.is_empty() {
            self.maps.policy.judge_again()?;
        }
        self.end_unentitled_flows();
        self.budgets.look_again();
        self.hosts.send_replace(uses.into_keys().collect());
        Ok(())
    }

    fn install_for_groups(&mut self, at: &Now) -> Result<(), KernelError> {
        let identities = self.workloads.identities();
        self.narrowing.begin();
        self.n_left_rules = 0;
        let derived = self
            .narrowing
            .derive(
                &identities,
                &self.running.revision.selections,
                &mut self.maps.classes,
                &mut self.store,
                at.wall,
            )
            .map_err(|error| KernelError::Unsuitable(error_chain(&error)))?;
        let all = [identities, derived.identities].concat();
        let mut tables = self.running.tables(&all, at)?;
        tables.narrowed = derived.narrowed;
        let named = std::mem::take(&mut tables.addresses);
        tables.addresses = self.wanted_addresses(&named);
        let has_limits = !tables.limits.is_empty();
        if has_limits {
            self.tell_accounts(&all, at.wall)
                .map_err(|error| KernelError::Unsuitable(error_chain(&*error)))?;
        }
        self.maps.policy.install(&tables)?;
        let wanted: BTreeSet<_> = all.iter().map(|identity| identity.id).collect();
        self.maps
            .policy
            .retain_accounts(|id| has_limits && wanted.contains(&id))?;
        self.narrowing.forget_numbers(&mut self.maps.classes);
        self.installed_addresses = tables.addresses;
        self.named_addresses = named;
        Ok(())
    }
}
