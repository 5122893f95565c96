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

    /// As [`Core::discover`], of a cgroup that may have another name already.
    pub(super) fn rename(
        &mut self,
        cgroup: u64,
        path: &str,
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.try_name(cgroup, path, &now())
    }

    fn try_name(
        &mut self,
        cgroup: u64,
        path: &str,
        at: &Now,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let task = self.tasks.of_cgroup(&self.host.cgroup_root, cgroup, path);
        let labels = Labels {
            task: task.map(ToOwned::to_owned),
            ..Labels::from_cgroup_path(path)
        };
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
