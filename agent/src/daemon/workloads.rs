//! Which cgroup is which identity, and which identities are there now.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::identity::IdentityId;

use crate::identity::{Identity, Labels};

/// How long the kernel keeps the identity of a cgroup that is gone: its connections may still end.
const LINGER_NS: u64 = 60_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Workloads {
    cgroups: BTreeMap<u64, Cgroup>,
    identities: BTreeMap<IdentityId, Identity>,
}

#[derive(Debug)]
struct Cgroup {
    path: String,
    identity: IdentityId,
    /// Boot-clock instant at which it was found to be gone.
    gone_at_ns: Option<u64>,
}

impl Workloads {
    /// Whether `cgroup`, which is there, has its name already.
    pub(super) fn sees(&mut self, cgroup: u64) -> bool {
        match self.cgroups.get_mut(&cgroup) {
            Some(known) => {
                known.gone_at_ns = None;
                true
            }
            None => false,
        }
    }

    /// Every cgroup with its identity.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = (u64, IdentityId)> {
        self.cgroups
            .iter()
            .map(|(id, cgroup)| (*id, cgroup.identity))
    }

    /// Records that `cgroup` is there.
    pub(super) fn add(&mut self, cgroup: u64, id: IdentityId, labels: Labels) {
        let known = Cgroup {
            path: labels.cgroup.clone(),
            identity: id,
            gone_at_ns: None,
        };
        self.cgroups.insert(cgroup, known);
        self.identities.insert(id, Identity { id, labels });
    }

    /// Marks everything at or below `path` as gone.
    pub(super) fn remove_below(&mut self, path: &str, now_ns: u64) {
        for cgroup in self.cgroups.values_mut() {
            let below = cgroup.path.strip_prefix(path);
            if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                cgroup.gone_at_ns.get_or_insert(now_ns);
            }
        }
    }

    /// Marks everything that is not in `found` as gone.
    pub(super) fn retain(&mut self, found: &BTreeMap<u64, String>, now_ns: u64) {
        for (id, cgroup) in &mut self.cgroups {
            if found.contains_key(id) {
                cgroup.gone_at_ns = None;
            } else {
                cgroup.gone_at_ns.get_or_insert(now_ns);
            }
        }
    }

    /// Forgets what has been gone for long and returns the cgroups that the kernel can forget.
    pub(super) fn sweep(&mut self, now_ns: u64) -> Vec<u64> {
        let is_over = |cgroup: &Cgroup| {
            cgroup
                .gone_at_ns
                .is_some_and(|gone| gone.saturating_add(LINGER_NS) <= now_ns)
        };
        let over: Vec<u64> = self
            .cgroups
            .iter()
            .filter(|(_, cgroup)| is_over(cgroup))
            .map(|(id, _)| *id)
            .collect();
        self.cgroups.retain(|_, cgroup| !is_over(cgroup));
        let used: BTreeSet<IdentityId> = self
            .cgroups
            .values()
            .map(|cgroup| cgroup.identity)
            .collect();
        self.identities.retain(|id, _| used.contains(id));
        over
    }

    pub(super) fn identities(&self) -> Vec<Identity> {
        self.identities.values().cloned().collect()
    }

    pub(super) fn identity(&self, id: IdentityId) -> Option<&Identity> {
        self.identities.get(&id)
    }

    /// The identity that the kernel would give a process in `path`: its own or that of the nearest
    /// known ancestor, and the path of the cgroup that it comes from.
    pub(super) fn at_path(&self, path: &str) -> Option<(&Identity, &str)> {
        let mut path = path.trim_end_matches('/');
        loop {
            let wanted = if path.is_empty() { "/" } else { path };
            let found = self
                .cgroups
                .values()
                .find(|cgroup| cgroup.path == wanted && cgroup.gone_at_ns.is_none());
            if let Some(cgroup) = found {
                let identity = self.identities.get(&cgroup.identity)?;
                return Some((identity, &cgroup.path));
            }
            path = path.rsplit_once('/')?.0;
        }
    }

    /// The identity of a cgroup that has its own name.
    pub(super) fn of_cgroup(&self, cgroup: u64) -> Option<&Identity> {
        self.identities.get(&self.cgroups.get(&cgroup)?.identity)
    }

    pub(super) fn path(&self, cgroup: u64) -> Option<&str> {
        self.cgroups.get(&cgroup).map(|cgroup| cgroup.path.as_str())
    }

    /// Paths of the cgroups that have `identity` now.
    pub(super) fn paths_of(&self, identity: IdentityId) -> Vec<String> {
        self.cgroups
            .values()
            .filter(|cgroup| cgroup.identity == identity && cgroup.gone_at_ns.is_none())
            .map(|cgroup| cgroup.path.clone())
            .collect()
    }

    pub(super) fn n_cgroups(&self) -> usize {
        self.cgroups.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workloads(rows: &[(u64, u32, &str)]) -> Workloads {
        let mut workloads = Workloads::default();
        for (cgroup, identity, path) in rows {
            let labels = Labels::from_cgroup_path(path);
            workloads.add(*cgroup, IdentityId::from_raw(*identity), labels);
        }
        workloads
    }

    #[test]
    fn a_process_in_an_unknown_cgroup_is_its_nearest_known_ancestor() {
        let workloads = workloads(&[
            (1, 1, "/"),
            (2, 2, "/a.slice"),
            (3, 3, "/a.slice/b.service"),
        ]);
        let at = |path| {
            workloads
                .at_path(path)
                .map(|(identity, path)| (identity.id.to_raw(), path))
        };
        assert_eq!(
            at("/a.slice/b.service/x/y"),
            Some((3, "/a.slice/b.service"))
        );
        assert_eq!(at("/a.slice/other"), Some((2, "/a.slice")));
        assert_eq!(at("/elsewhere"), Some((1, "/")));
        assert_eq!(at("/"), Some((1, "/")));
    }

    #[test]
    fn a_cgroup_that_is_gone_lingers_and_then_goes_with_its_identity() {
        let mut workloads = workloads(&[(1, 1, "/"), (2, 2, "/ab"), (3, 3, "/a"), (4, 3, "/a/c")]);
        workloads.remove_below("/a", 5);
        assert_eq!(workloads.sweep(5 + LINGER_NS - 1), [0; 0]);
        assert_eq!(workloads.sweep(5 + LINGER_NS), [3, 4]);
        let left: Vec<_> = workloads
            .identities()
            .iter()
            .map(|one| one.id.to_raw())
            .collect();
        assert_eq!(left, [1, 2]);
        workloads.retain(&BTreeMap::from([(1, "/".to_owned())]), 9);
        assert_eq!(workloads.sweep(u64::MAX), [2]);
    }

    #[test]
    fn a_cgroup_that_is_seen_again_is_not_gone() {
        let mut workloads = workloads(&[(1, 1, "/"), (2, 2, "/a")]);
        workloads.remove_below("/a", 5);
        assert!(workloads.sees(2));
        assert_eq!(workloads.sweep(u64::MAX), [0; 0]);
    }
}
