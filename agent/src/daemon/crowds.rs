//! Workloads that make cgroups without end.
//!
//! Each cgroup with a name takes room in the kernel, and time before the next one has its name. So a
//! workload has so many of them, and what it makes beyond is what it was made in: the kernel finds that
//! by itself, and does not tell of more until some are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::identity::IdentityId;

use super::Core;
use crate::{
    error_chain,
    policy::{PostureScope, Spec, Subject},
};

/// Cgroups of one workload that are named.
const MOST: usize = 1_024;
/// When there is room again.
const FEW: usize = 768;

#[derive(Debug, Default)]
pub(super) struct Crowds {
    /// How many named cgroups each workload has.
    sizes: BTreeMap<Arc<str>, usize>,
    /// Which workload has each of them.
    members: BTreeMap<u64, Arc<str>>,
    /// Identities of whose new cgroups the kernel does not tell, and their workload.
    closed: BTreeMap<IdentityId, String>,
    /// What nobody names.
    left_out: BTreeSet<u64>,
}

impl Crowds {
    pub(super) fn leaves_out(&self, cgroup: u64) -> bool {
        self.left_out.contains(&cgroup)
    }

    fn is_full_for(&self, account: &str, cgroup: u64) -> bool {
        let size = self.sizes.get(account).copied().unwrap_or_default();
        let is_member = || self.members.get(&cgroup).is_some_and(|of| **of == *account);
        size >= MOST && !is_member()
    }

    pub(super) fn add(&mut self, account: &str, cgroup: u64) {
        self.remove(cgroup);
        let (account, size) = match self.sizes.get_key_value(account) {
            Some((account, size)) => (account.clone(), *size),
            None => (account.into(), 0),
        };
        self.sizes.insert(account.clone(), size + 1);
        self.members.insert(cgroup, account);
    }

    fn remove(&mut self, cgroup: u64) {
        let Some(account) = self.members.remove(&cgroup) else {
            return;
        };
        match self.sizes.get_mut(&account) {
            Some(size) if *size > 1 => *size -= 1,
            Some(_) | None => drop(self.sizes.remove(&account)),
        }
    }

    /// Forgets cgroups that are gone, and returns whom the kernel has to tell of again.
    fn forget(&mut self, gone: &[u64]) -> Vec<IdentityId> {
        for cgroup in gone {
            self.remove(*cgroup);
        }
        let sizes = &self.sizes;
        let is_open = |account: &str| sizes.get(account).is_none_or(|size| *size < FEW);
        let opened = self.closed.extract_if(.., |_, account| is_open(account));
        let opened: Vec<_> = opened.map(|(identity, _)| identity).collect();
        if !opened.is_empty() {
            self.left_out.clear();
        }
        opened
    }
}

impl Core {
    /// Whether this cgroup of a workload is to have a name: those that policy names have, and those of
    /// tasks. Else the kernel is told that there are too many.
    pub(super) fn has_room(&mut self, account: &str, cgroup: u64, path: &str) -> bool {
        if !self.crowds.is_full_for(account, cgroup)
            || self.task_of(cgroup, path).is_some()
            || self.names_cgroup(path)
        {
            return true;
        }
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let parent = self
            .workloads
            .at_path(above)
            .map(|(identity, _)| identity.id);
        let told = self.maps.identities.remove(cgroup).and_then(|()| {
            let Some(parent) = parent else { return Ok(()) };
            self.maps.identities.close(parent)
        });
        if let Err(error) = told {
            tracing::warn!(
                error = error_chain(&error),
                path,
                "a crowd is not kept away"
            );
        }
        self.crowds.left_out.insert(cgroup);
        if let Some(parent) = parent
            && self
                .crowds
                .closed
                .insert(parent, account.to_owned())
                .is_none()
        {
            tracing::warn!(
                workload = account,
                most = MOST,
                "too many cgroups of one workload"
            );
        }
        false
    }

    fn names_cgroup(&self, path: &str) -> bool {
        self.running.revision.set.objects().any(|object| {
            let subjects = match &object.spec {
                Spec::InvocationGrant(grant) => &grant.subjects,
                Spec::EgressDeny(deny) => &deny.subjects,
                Spec::Posture(posture) => match &posture.scope {
                    PostureScope::Subjects(subjects) => subjects,
                    PostureScope::Default => return false,
                },
                Spec::ModelEndpoint(_) => return false,
            };
            let mut cgroups = subjects.iter().filter_map(|subject| match subject {
                Subject::Parts(parts) => parts.cgroup.as_deref(),
                Subject::Any => None,
            });
            cgroups.any(|named| named == path)
        })
    }

    /// Makes room for those that nobody has named, if there is.
    pub(super) fn forget_crowds(&mut self, gone: &[u64]) {
        if gone.is_empty() {
            return;
        }
        let opened = self.crowds.forget(gone);
        for identity in &opened {
            if let Err(error) = self.maps.identities.open_again(*identity) {
                tracing::warn!(error = error_chain(&error), "a crowd stays kept away");
            }
        }
        if !opened.is_empty() {
            self.search();
        }
    }

    /// A cgroup that nobody has named is gone.
    pub(super) fn forget_left_out(&mut self, cgroup: u64) {
        self.crowds.left_out.remove(&cgroup);
    }

    /// Workloads with too many cgroups, one line each.
    pub(super) fn crowded(&self) -> Vec<String> {
        let accounts: BTreeSet<_> = self.crowds.closed.values().collect();
        let told = accounts.into_iter().map(|account| {
            format!(
                "{account} has made more than {MOST} cgroups: further ones count as what they are \
                 made in; if root makes them, `cgroup_parents` may have their directory"
            )
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_enough_are_gone_there_is_room_again() {
        let mut crowds = Crowds::default();
        let account = || "unit:a.service".to_owned();
        let most = MOST as u64;
        for cgroup in 0..most {
            assert!(!crowds.is_full_for(&account(), cgroup));
            crowds.add(&account(), cgroup);
        }
        assert!(crowds.is_full_for(&account(), most));
        assert!(!crowds.is_full_for(&account(), 0));
        assert!(!crowds.is_full_for("unit:b.service", most));
        let parent = IdentityId::from_raw(7);
        crowds.closed.insert(parent, account());
        crowds.left_out.insert(most);

        let gone: Vec<_> = (0..most - FEW as u64).collect();
        assert_eq!(crowds.forget(&gone), []);
        assert!(crowds.leaves_out(most));
        assert!(!crowds.is_full_for(&account(), most));
        assert_eq!(crowds.forget(&[most - 1]), [parent]);
        assert!(!crowds.leaves_out(most));
        assert_eq!(crowds.forget(&(0..most).collect::<Vec<_>>()), []);
        assert!(crowds.members.is_empty() && crowds.sizes.is_empty());
        // Another name, the same cgroup.
        crowds.add("container:1", 1);
        crowds.add("container:web", 1);
        assert_eq!(crowds.sizes.len(), 1);
    }
}
