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
        let labels = self.labels.labels_of(cgroup, path);
        if let Err(error) = self.try_name(cgroup, labels, at) {
            tracing::error!(
                error = error_chain(&*error),
                path,
                "cgroup keeps its ancestor's identity"
            );
        }
    }

    /// Gives cgroups another identity of which more is known now than when they were named.
    pub(super) fn rename(&mut self, at: &Now) {
        for (cgroup, labels) in self.labels.ask_again() {
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
