//! Gives cgroups their identities, rules first.

use std::path::Path;

use super::{Core, StartError};
use crate::{
    error_chain,
    host::{
        cgroups,
        clock::{Now, now},
    },
    identity::{Identity, Labels},
};

impl Core {
    /// Looks for cgroups that nobody has reported.
    pub(super) fn rescan(&mut self) {
        let at = now();
        match cgroups::scan(&self.host.cgroup_root, &self.scope) {
            Ok(found) => {
                self.workloads.retain(&found, at.boot_ns);
                for (cgroup, path) in found {
                    self.name(cgroup, &path, &at);
                }
            }
            Err(error) => tracing::error!(%error, "cannot list cgroups"),
        }
    }

    pub(super) fn discover(&mut self, directory: &Path) {
        let at = now();
        // A cgroup that is gone again has nothing to be named.
        let found = cgroups::scan(&self.host.cgroup_root, directory).unwrap_or_default();
        for (cgroup, path) in found {
            self.name(cgroup, &path, &at);
        }
    }

    /// Gives a cgroup its identity, rules first, so that it is never judged without them.
    fn name(&mut self, cgroup: u64, path: &str, at: &Now) {
        if self.workloads.sees(cgroup) {
            return;
        }
        if let Err(error) = self.try_name(cgroup, path, at) {
            tracing::error!(
                error = error_chain(&*error),
                path,
                "cgroup keeps its ancestor's identity"
            );
        }
    }

    fn try_name(
        &mut self,
        cgroup: u64,
        path: &str,
        at: &Now,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let labels = self.labels_of(path);
        self.give(cgroup, labels, at)
    }

    /// What is known about whatever runs in the cgroup at `path`.
    pub(super) fn labels_of(&self, path: &str) -> Labels {
        let mut labels = Labels::from_cgroup_path(path);
        self.pods.describe(&mut labels);
        labels
    }

    /// Gives a cgroup other labels than it had.
    pub(super) fn rename(&mut self, cgroup: u64, labels: Labels, at: &Now) {
        let path = labels.cgroup.clone();
        if let Err(error) = self.give(cgroup, labels, at) {
            tracing::error!(
                error = error_chain(&*error),
                path,
                "cgroup keeps its former identity"
            );
        }
    }

    fn give(
        &mut self,
        cgroup: u64,
        labels: Labels,
        at: &Now,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let id = self
            .store
            .identity_number(&labels.key(), &labels, at.wall)?;
        // Before the first policy is installed there is nothing that a rule could be added to.
        if self.is_in_force {
            if self.workloads.identity(id).is_none() {
                let identity = Identity {
                    id,
                    labels: labels.clone(),
                };
                let rules = self.running.revision.compile_identity(&identity, at)?;
                self.maps.policy.add_rules(&rules)?;
            }
            self.maps.identities.set(cgroup, id)?;
        }
        self.workloads.add(cgroup, id, labels);
        Ok(())
    }

    /// Rows that an earlier agent left for cgroups that are gone. Kept are those that the kernel
    /// may still need: the scan that follows replaces them.
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
