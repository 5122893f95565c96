//! Gives cgroups their identities, rules first.

use std::{path::Path, sync::Arc};

use agent_common::cgroup::CgroupRecord;

use super::{Core, StartError, workloads::MAX_DORMANT};
use crate::{
    error_chain,
    host::{
        cgroups,
        clock::{Now, now},
    },
    identity::{Identity, Labels},
};

impl Core {
    pub(super) fn discover(&mut self, directory: &Path) {
        let at = now();
        // A cgroup that is gone again has nothing to be named.
        let found = cgroups::scan(&self.host.cgroup_root, directory).unwrap_or_default();
        for (cgroup, path) in found {
            self.name(cgroup, &path, &at);
        }
    }

    /// Gives a cgroup its identity, rules first, so that it is never judged without them.
    pub(super) fn name(&mut self, cgroup: u64, path: &str, at: &Now) {
        if self.workloads.sees(cgroup) || self.crowds.leaves_out(cgroup) {
            return;
        }
        if let Err(error) = self.name_again(cgroup, path, at) {
            tracing::error!(
                error = error_chain(&*error),
                path,
                "cgroup keeps its ancestor's identity"
            );
        }
    }

    /// As [`Core::name`], of a cgroup that may have another name already.
    pub(super) fn name_again(
        &mut self,
        cgroup: u64,
        path: &str,
        at: &Now,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (labels, account) = self.labels.labels_and_account(cgroup, path);
        if !self.has_room(&account, cgroup, path) {
            return Ok(());
        }
        self.try_name(cgroup, labels, at)?;
        self.crowds.add(&account, cgroup);
        Ok(())
    }

    pub(super) fn task_of(&self, cgroup: u64, path: &str) -> Option<String> {
        let task = self.tasks.of_cgroup(&self.host.cgroup_root, cgroup, path);
        task.map(ToOwned::to_owned)
    }

    /// Gives cgroups another identity of which more is known now than when they were named.
    pub(super) fn rename(&mut self, at: &Now) {
        let is_there = |cgroup| self.workloads.has(cgroup);
        for (cgroup, labels) in self.labels.ask_again(is_there) {
            if self.workloads.path(cgroup) != Some(labels.cgroup.as_str()) {
                continue;
            }
            if let Err(error) = self.try_name(cgroup, labels, at) {
                let error = error_chain(&*error);
                tracing::error!(error, cgroup, "cgroup keeps its former identity");
            }
        }
    }

    pub(super) fn try_name(
        &mut self,
        cgroup: u64,
        mut labels: Labels,
        at: &Now,
    ) -> Result<(), Box<dyn std::error::Error>> {
        labels.task = self.task_of(cgroup, &labels.cgroup);
        let grouped = self.identity_for(cgroup, &labels, at.wall)?;
        let id = grouped.id;
        let labels = Arc::new(labels);
        // Before the first policy is installed there is nothing that a rule could be added to.
        if self.is_in_force {
            if self.workloads.identity(id).is_none() {
                self.add_identity(
                    &Identity {
                        id,
                        labels: labels.clone(),
                    },
                    at,
                )?;
            }
            self.maps.identities.set(cgroup, id)?;
            if labels.is_bound_to_path() {
                self.maps.paths.set(&labels.cgroup, id)?;
            }
        }
        self.workloads.add(cgroup, grouped, labels, at.boot_ns);
        Ok(())
    }

    /// Gives the kernel the rules of an identity, and of those that it narrows to.
    fn add_identity(
        &mut self,
        identity: &Identity,
        at: &Now,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let derived = self.narrowing.derive(
            std::slice::from_ref(identity),
            &self.running.revision.selections,
            &mut self.maps.classes,
            &mut self.store,
            at.wall,
        )?;
        let all = || derived.identities.iter().chain([identity]);
        if self.maps.policy.has_limits() {
            self.tell_accounts(all(), at.wall)?;
        }
        for one in all() {
            let rules = self.running.rules_of(one, at);
            self.maps.policy.add_rules(&rules)?;
        }
        self.maps.policy.add_narrowed(&derived.narrowed)?;
        Ok(())
    }

    /// What the kernel tells of cgroups.
    pub(super) fn hear(&mut self, records: &[CgroupRecord]) {
        for record in records {
            if record.kind == CgroupRecord::REMOVED {
                self.workloads.remove(record.cgroup, record.at_ns);
                self.forget_left_out(record.cgroup);
                continue;
            }
            let Some(path) = record.path.as_str() else {
                // Too long for the record.
                self.search();
                continue;
            };
            let at = now();
            self.name(record.cgroup, path, &at);
            self.naming.add(now().boot_ns.saturating_sub(record.at_ns));
        }
    }

    /// Identities that may come back at a path that is known: the newest of those that the store
    /// remembers.
    pub(super) fn expect_known_identities(&mut self) -> Result<(), StartError> {
        let now_ns = now().boot_ns;
        let mut known = self.store.identities()?;
        known.sort_by_key(|known| known.last_seen);
        let bound = known.into_iter().rev();
        let bound = bound.filter(|known| known.labels.is_bound_to_path());
        for (age, known) in bound.take(MAX_DORMANT).enumerate() {
            let identity = Identity::from(known);
            // The later, the longer it is kept.
            self.workloads
                .expect(identity, now_ns.saturating_sub(age as u64));
        }
        Ok(())
    }

    /// Rows that an earlier agent left for cgroups that are gone. Kept are those that the kernel
    /// may still need: the search that follows replaces them.
    pub(super) fn forget_stale_cgroups(&mut self) -> Result<(), StartError> {
        let found = cgroups::scan(&self.host.cgroup_root, &self.scope).unwrap_or_default();
        for cgroup in self.maps.identities.all()?.into_keys() {
            if !found.contains_key(&cgroup) {
                self.maps.identities.remove(cgroup)?;
            }
        }
        Ok(())
    }
}
