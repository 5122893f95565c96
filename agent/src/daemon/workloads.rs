//! Which cgroup is which identity, and which identities are there now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::identity::IdentityId;

use super::grouping::Grouped;
use crate::identity::{Identity, Labels};

/// How long the kernel keeps the identity of a cgroup that is gone: its connections may still end.
const LINGER_NS: u64 = 60_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Workloads {
    cgroups: BTreeMap<u64, Cgroup>,
    /// The same by identity.
    members: BTreeSet<(IdentityId, u64)>,
    identities: BTreeMap<IdentityId, Identity>,
    /// Identities without a cgroup that may come back: by path, since when they are away.
    dormant: BTreeMap<String, (u64, Identity)>,
}

/// How many identities without a cgroup keep their rules in the kernel.
pub(super) const MAX_DORMANT: usize = 4_096;

#[derive(Debug)]
struct Cgroup {
    labels: Arc<Labels>,
    identity: IdentityId,
    /// The identity that its name alone gives it.
    base: IdentityId,
    /// Boot-clock instant at which it was named.
    since_ns: u64,
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

    /// Whether `cgroup` is there, as far as is known.
    pub(super) fn has(&self, cgroup: u64) -> bool {
        let known = self.cgroups.get(&cgroup);
        known.is_some_and(|known| known.gone_at_ns.is_none())
    }

    fn members_of(&self, id: IdentityId) -> impl Iterator<Item = u64> {
        members_in(&self.members, id)
    }

    /// Every cgroup with its identity.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = (u64, IdentityId)> {
        self.cgroups
            .iter()
            .map(|(id, cgroup)| (*id, cgroup.identity))
    }

    /// Every cgroup that is there, with its path.
    pub(super) fn present(&self) -> Vec<(u64, String)> {
        self.cgroups
            .iter()
            .filter(|(_, cgroup)| cgroup.gone_at_ns.is_none())
            .map(|(id, cgroup)| (*id, cgroup.labels.cgroup.clone()))
            .collect()
    }

    pub(super) fn labels_at(&self, cgroup: u64) -> Option<&Labels> {
        self.cgroups.get(&cgroup).map(|cgroup| &*cgroup.labels)
    }

    /// The labels of the identity `id`, if another cgroup than this one has it.
    pub(super) fn other_labels(&self, id: IdentityId, cgroup: u64) -> Option<&Labels> {
        let has_other = self.members_of(id).any(|other| other != cgroup);
        let identity = self.identities.get(&id).filter(|_| has_other);
        identity.map(|identity| &*identity.labels)
    }

    /// Every cgroup, its identity and its labels; those that are there before those that are gone.
    pub(super) fn grouped(&self) -> impl Iterator<Item = (u64, Grouped, &Arc<Labels>)> {
        let of = |is_gone: bool| {
            let all = self.cgroups.iter();
            all.filter(move |(_, known)| known.gone_at_ns.is_some() == is_gone)
        };
        of(false).chain(of(true)).map(|(cgroup, known)| {
            let grouped = Grouped {
                base: known.base,
                id: known.identity,
            };
            (*cgroup, grouped, &known.labels)
        })
    }

    /// Gives an identity the labels that it is selected by.
    pub(super) fn represent(&mut self, id: IdentityId, labels: Arc<Labels>) {
        if let Some(known) = self.identities.get_mut(&id) {
            known.labels = labels;
        }
    }

    /// Gives a cgroup another identity.
    pub(super) fn move_to(&mut self, cgroup: u64, id: IdentityId) {
        if let Some(known) = self.cgroups.get_mut(&cgroup) {
            self.members.remove(&(known.identity, cgroup));
            self.members.insert((id, cgroup));
            known.identity = id;
            let labels = known.labels.clone();
            self.identities.entry(id).or_insert(Identity { id, labels });
        }
    }

    /// Records that `cgroup` is there.
    pub(super) fn add(&mut self, cgroup: u64, grouped: Grouped, labels: Arc<Labels>, now_ns: u64) {
        let Grouped { base, id } = grouped;
        self.dormant.remove(&labels.cgroup);
        let is_shared = self.other_labels(id, cgroup).is_some();
        let known = Cgroup {
            labels: labels.clone(),
            identity: id,
            base,
            since_ns: now_ns,
            gone_at_ns: None,
        };
        if let Some(former) = self.cgroups.insert(cgroup, known) {
            self.members.remove(&(former.identity, cgroup));
        }
        self.members.insert((id, cgroup));
        // Of several that policy does not tell apart, the labels of the first stand for all.
        if !is_shared {
            self.identities.insert(id, Identity { id, labels });
        }
    }

    /// Marks everything at or below `path` as gone.
    pub(super) fn remove_below(&mut self, path: &str, now_ns: u64) {
        for cgroup in self.cgroups.values_mut() {
            let below = cgroup.labels.cgroup.strip_prefix(path);
            if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                cgroup.gone_at_ns.get_or_insert(now_ns);
            }
        }
    }

    /// Marks everything that is not in `found` as gone, and what is in it as there. Of what has
    /// changed since that search began, more is known already.
    pub(super) fn retain(&mut self, found: &BTreeMap<u64, String>, began_ns: u64, now_ns: u64) {
        for (id, cgroup) in &mut self.cgroups {
            match cgroup.gone_at_ns {
                Some(gone) if gone < began_ns && found.contains_key(id) => {
                    cgroup.gone_at_ns = None;
                }
                None if cgroup.since_ns < began_ns && !found.contains_key(id) => {
                    cgroup.gone_at_ns = Some(now_ns);
                }
                Some(_) | None => {}
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
        let heads = (!over.is_empty()).then(|| self.heads());
        let mut missed: Vec<_> = heads
            .into_iter()
            .flatten()
            .filter(|(cgroup, _)| is_over(cgroup))
            .map(|(cgroup, identity)| {
                let mut identity = identity.clone();
                if identity.labels.cgroup != cgroup.labels.cgroup {
                    let labels = Arc::make_mut(&mut identity.labels);
                    labels.cgroup.clone_from(&cgroup.labels.cgroup);
                }
                (cgroup.gone_at_ns.unwrap_or(now_ns), identity)
            })
            .collect();
        for cgroup in &over {
            if let Some(known) = self.cgroups.remove(cgroup) {
                self.members.remove(&(known.identity, *cgroup));
            }
        }
        let Self {
            members,
            identities,
            ..
        } = self;
        identities.retain(|id, _| members_in(members, *id).next().is_some());
        missed.retain(|(_, identity)| members_in(members, identity.id).next().is_none());
        for (since, identity) in missed {
            self.expect(identity, since);
        }
        over
    }

    /// Cgroups that are bound to their path and not merely a part of their parent.
    fn heads(&self) -> impl Iterator<Item = (&Cgroup, &Identity)> {
        let by_path: BTreeMap<&str, IdentityId> = self
            .cgroups
            .values()
            .map(|cgroup| (cgroup.labels.cgroup.as_str(), cgroup.identity))
            .collect();
        self.cgroups.values().filter_map(move |cgroup| {
            let identity = self.identities.get(&cgroup.identity)?;
            let parent = cgroup
                .labels
                .cgroup
                .rsplit_once('/')
                .map_or("", |(parent, _)| parent);
            let is_part = by_path.get(parent) == Some(&cgroup.identity);
            (identity.labels.is_bound_to_path() && !is_part).then_some((cgroup, identity))
        })
    }

    /// Keeps the rules of an identity whose cgroup may be made again at the same path.
    pub(super) fn expect(&mut self, identity: Identity, away_since_ns: u64) {
        if !identity.labels.is_bound_to_path() {
            return;
        }
        let path = identity.labels.cgroup.clone();
        self.dormant.insert(path, (away_since_ns, identity));
        if self.dormant.len() > MAX_DORMANT {
            let longest = self.dormant.iter().min_by_key(|(_, (since, _))| *since);
            let longest = longest.map(|(path, _)| path.clone());
            longest.and_then(|path| self.dormant.remove(&path));
        }
    }

    /// The identity that a cgroup at each of these paths has as soon as it is made.
    pub(super) fn expected(&self) -> BTreeMap<String, IdentityId> {
        let dormant = self.dormant.iter();
        let dormant = dormant.map(|(path, (_, identity))| (path.clone(), identity.id));
        let live = self.heads();
        let live = live.map(|(cgroup, identity)| (cgroup.labels.cgroup.clone(), identity.id));
        dormant.chain(live).collect()
    }

    /// Identities that have a cgroup now.
    pub(super) fn n_live(&self) -> usize {
        self.identities.len()
    }

    /// Every identity whose rules the kernel needs.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let mut all: BTreeMap<_, _> = self
            .dormant
            .values()
            .map(|(_, identity)| (identity.id, identity))
            .collect();
        all.extend(self.identities.iter().map(|(id, identity)| (*id, identity)));
        all.into_values().cloned().collect()
    }

    /// Marks one cgroup as gone.
    pub(super) fn remove(&mut self, cgroup: u64, now_ns: u64) {
        if let Some(known) = self.cgroups.get_mut(&cgroup) {
            known.gone_at_ns.get_or_insert(now_ns);
        }
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.identities.values().map(|identity| &*identity.labels)
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
                .find(|cgroup| cgroup.labels.cgroup == wanted && cgroup.gone_at_ns.is_none());
            if let Some(cgroup) = found {
                let identity = self.identities.get(&cgroup.identity)?;
                return Some((identity, &cgroup.labels.cgroup));
            }
            path = path.rsplit_once('/')?.0;
        }
    }

    /// The identity of a cgroup that has its own name.
    pub(super) fn of_cgroup(&self, cgroup: u64) -> Option<&Identity> {
        self.identities.get(&self.cgroups.get(&cgroup)?.identity)
    }

    pub(super) fn path(&self, cgroup: u64) -> Option<&str> {
        self.cgroups
            .get(&cgroup)
            .map(|cgroup| cgroup.labels.cgroup.as_str())
    }

    /// Paths of the cgroups that have `identity` now.
    pub(super) fn paths_of(&self, identity: IdentityId) -> Vec<String> {
        self.members_of(identity)
            .filter_map(|cgroup| self.cgroups.get(&cgroup))
            .filter(|cgroup| cgroup.gone_at_ns.is_none())
            .map(|cgroup| cgroup.labels.cgroup.clone())
            .collect()
    }

    pub(super) fn n_cgroups(&self) -> usize {
        self.cgroups.len()
    }
}

fn members_in(members: &BTreeSet<(IdentityId, u64)>, id: IdentityId) -> impl Iterator<Item = u64> {
    let found = members.range((id, 0)..=(id, u64::MAX));
    found.map(|(_, cgroup)| *cgroup)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workloads(rows: &[(u64, u32, &str)]) -> Workloads {
        let mut workloads = Workloads::default();
        for (cgroup, identity, path) in rows {
            let labels = Labels::from_cgroup_path(path);
            let id = IdentityId::from_raw(*identity);
            workloads.add(*cgroup, Grouped { base: id, id }, labels.into(), 1);
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
        assert!(workloads.identity(IdentityId::from_raw(3)).is_none());
        assert_eq!(workloads.n_live(), 2);
        workloads.retain(&BTreeMap::from([(1, "/".to_owned())]), 9, 9);
        assert_eq!(workloads.sweep(u64::MAX), [2]);
    }

    #[test]
    fn what_is_bound_to_its_path_keeps_its_rules_and_is_expected_there() {
        let mut workloads = workloads(&[
            (1, 1, "/"),
            (2, 2, "/system.slice/a.service"),
            (3, 2, "/system.slice/a.service/worker"),
            (4, 4, "/user.slice/session-3.scope"),
        ]);
        let expected = workloads.expected();
        let expected = |path| expected.get(path).map(|id| id.to_raw());
        assert_eq!(expected("/system.slice/a.service"), Some(2));
        // Part of its parent, which the kernel inherits by itself.
        assert_eq!(expected("/system.slice/a.service/worker"), None);
        assert_eq!(expected("/user.slice/session-3.scope"), None);
        workloads.remove_below("/system.slice", 5);
        workloads.remove_below("/user.slice", 5);
        workloads.sweep(5 + LINGER_NS);
        let kept: Vec<_> = workloads
            .identities()
            .iter()
            .map(|one| one.id.to_raw())
            .collect();
        assert_eq!(kept, [1, 2]);
        let expected = workloads.expected();
        assert_eq!(
            expected.keys().collect::<Vec<_>>(),
            ["/", "/system.slice/a.service"]
        );
    }

    #[test]
    fn dormant_identities_are_limited_to_the_newest() {
        let mut workloads = Workloads::default();
        for index in 0..=MAX_DORMANT as u32 {
            let path = format!("/system.slice/{index}.service");
            let identity = Identity {
                id: IdentityId::from_raw(index + 1),
                labels: Labels::from_cgroup_path(&path).into(),
            };
            workloads.expect(identity, u64::from(index));
        }
        let expected = workloads.expected();
        assert_eq!(expected.len(), MAX_DORMANT);
        assert!(!expected.contains_key("/system.slice/0.service"));
    }

    #[test]
    fn a_search_knows_nothing_of_what_came_after_it() {
        let mut workloads = workloads(&[(1, 1, "/a"), (2, 2, "/b"), (3, 3, "/c"), (4, 4, "/d")]);
        workloads.remove(2, 5);
        workloads.remove(3, 15);
        let grouped = workloads.grouped().next().map(|(_, grouped, _)| grouped);
        let labels = Labels::from_cgroup_path("/new");
        workloads.add(5, grouped.expect("some"), labels.into(), 15);
        let found = [(1, "/a"), (2, "/b"), (3, "/c")].map(|(id, path)| (id, path.to_owned()));
        workloads.retain(&BTreeMap::from(found), 10, 20);
        let there = [1, 2, 3, 4, 5].map(|cgroup| workloads.has(cgroup));
        assert_eq!(there, [true, true, false, false, true]);
    }

    #[test]
    fn others_of_an_identity_are_known_wherever_they_have_moved() {
        let id = IdentityId::from_raw;
        let mut workloads = workloads(&[(1, 1, "/a"), (2, 1, "/b"), (3, 3, "/c")]);
        let path = |workloads: &Workloads, of, but| {
            let labels = workloads.other_labels(id(of), but);
            labels.map(|labels| labels.cgroup.clone())
        };
        assert_eq!(path(&workloads, 1, 1).as_deref(), Some("/a"));
        assert_eq!(path(&workloads, 3, 3), None);
        workloads.move_to(2, id(3));
        assert_eq!(path(&workloads, 1, 1), None);
        assert_eq!(path(&workloads, 3, 3).as_deref(), Some("/c"));
        assert_eq!(workloads.paths_of(id(3)), ["/b", "/c"]);
        let grouped = Grouped {
            base: id(1),
            id: id(1),
        };
        workloads.add(3, grouped, Labels::from_cgroup_path("/c").into(), 1);
        assert_eq!(workloads.paths_of(id(3)), ["/b"]);
        assert_eq!(workloads.paths_of(id(1)), ["/a", "/c"]);
        workloads.remove(3, 5);
        workloads.sweep(5 + LINGER_NS);
        assert_eq!(path(&workloads, 1, 1), None);
    }

    #[test]
    fn a_cgroup_that_is_seen_again_is_not_gone() {
        let mut workloads = workloads(&[(1, 1, "/"), (2, 2, "/a")]);
        workloads.remove_below("/a", 5);
        assert!(workloads.sees(2));
        assert_eq!(workloads.sweep(u64::MAX), [0; 0]);
    }
}
