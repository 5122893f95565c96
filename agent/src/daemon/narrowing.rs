//! Identities of certain processes: those of an executable, of a user, or both.
//!
//! A rule about `process` selects some processes of a cgroup and not the others, so they are an
//! identity of their own, derived from that of the cgroup. The kernel finds it by the executable's
//! inode and the caller's user.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use agent_common::identity::IdentityId;
use jiff::Timestamp;

use crate::{
    bpf::{KernelError, classes::ClassMaps, policy::Narrowed},
    error_chain,
    host::{
        accounts,
        executable::{self, Executable, Mounts},
    },
    identity::{Identity, Labels, LocalUser},
    policy::{PolicySet, Selection, Selections, UserSelector},
    store::{Store, StoreError},
};

/// The executables and users that the running policy names, as they are on this host now.
#[derive(Debug, Default)]
pub(super) struct Narrowing {
    exes: BTreeMap<String, Executable>,
    users: BTreeSet<LocalUser>,
    /// From which identity of a cgroup each derived one comes.
    bases: BTreeMap<IdentityId, Identity>,
    derived: BTreeMap<IdentityId, Identity>,
}

/// Why identities could not be derived.
#[derive(Debug, thiserror::Error)]
pub(super) enum NarrowingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// What belongs to a set of identities.
#[derive(Debug, Default)]
pub(super) struct Derived {
    pub(super) identities: Vec<Identity>,
    pub(super) narrowed: Narrowed,
}

impl Narrowing {
    /// Looks again for what `set` names. True if anything has changed.
    pub(super) fn look(&mut self, set: &PolicySet) -> bool {
        let (paths, selectors) = set.process_parts();
        let mut has_changed = false;
        let known = self.exes.len();
        self.exes.retain(|path, _| paths.contains(path));
        has_changed |= self.exes.len() != known;
        let mounts = if paths.is_empty() {
            None
        } else {
            Mounts::read().ok()
        };
        for path in paths {
            let mounts = mounts.as_ref();
            let found = mounts.and_then(|mounts| executable::open(Path::new(&path), mounts).ok());
            let before = self.exes.get(&path).map(|exe| exe.key);
            if found.as_ref().map(|exe| exe.key) == before {
                continue;
            }
            has_changed = true;
            match found {
                Some(exe) => drop(self.exes.insert(path, exe)),
                None => drop(self.exes.remove(&path)),
            }
        }
        let users = resolve(&selectors);
        has_changed |= users != self.users;
        self.users = users;
        has_changed
    }

    /// Identities for the processes of `bases` about which policy says something of its own.
    pub(super) fn derive(
        &mut self,
        bases: &[Identity],
        selections: &Selections,
        classes: &mut ClassMaps,
        store: &mut Store,
        now: Timestamp,
    ) -> Result<Derived, NarrowingError> {
        let mut derived = Derived::default();
        if self.exes.is_empty() && self.users.is_empty() {
            return Ok(derived);
        }
        let (exes, users) = self.numbered(classes)?;
        for base in bases {
            // By what selects them: equal ones are one identity.
            let mut known: BTreeMap<Selection, IdentityId> = BTreeMap::new();
            known.insert(selections.of(Some(&base.labels)), base.id);
            // From the least narrow to the most, so that an executable alone is preferred.
            for (exe, user) in combinations(&exes, &users) {
                let mut labels = Labels::clone(&base.labels);
                labels.exe = exe.map(|(path, _)| path.clone());
                labels.user = user.map(|(user, _)| user.clone());
                let selection = selections.of(Some(&labels));
                let id = match known.get(&selection) {
                    Some(id) => *id,
                    None => {
                        let id = store.identity_number(&labels.key(), &labels, now)?;
                        known.insert(selection, id);
                        let labels = labels.into();
                        let identity = Identity { id, labels };
                        self.bases.insert(id, base.clone());
                        self.derived.insert(id, identity.clone());
                        derived.identities.push(identity);
                        id
                    }
                };
                if id != base.id {
                    let class = |numbered: Option<u16>| numbered.unwrap_or(0);
                    let key = (
                        base.id,
                        class(exe.map(|(_, class)| *class)),
                        class(user.map(|(_, class)| *class)),
                    );
                    derived.narrowed.insert(key, id);
                }
            }
        }
        Ok(derived)
    }

    /// Forgets the derived identities of former revisions.
    pub(super) fn begin(&mut self) {
        self.bases.clear();
        self.derived.clear();
    }

    /// Forgets the numbers of executables and users that no revision uses any more.
    pub(super) fn forget_numbers(&self, classes: &mut ClassMaps) {
        let keys: BTreeSet<_> = self.exes.values().map(|exe| exe.key).collect();
        let uids: BTreeSet<_> = self.users.iter().map(|user| user.uid).collect();
        let forgotten = classes
            .exes
            .retain(|key| keys.contains(key))
            .and_then(|()| classes.users.retain(|uid| uids.contains(uid)));
        if let Err(error) = forgotten {
            tracing::warn!(error = error_chain(&error), "executables not forgotten");
        }
    }

    pub(super) fn identity(&self, id: IdentityId) -> Option<&Identity> {
        self.derived.get(&id)
    }

    /// The identity of the cgroup that a derived one comes from.
    pub(super) fn base(&self, id: IdentityId) -> Option<&Identity> {
        self.bases.get(&id)
    }

    /// The identities that processes of `base` have if policy says something of its own about their
    /// executable, or about the user `uid`.
    pub(super) fn of_user(&self, base: IdentityId, uid: u32) -> impl Iterator<Item = &Identity> {
        self.derived.values().filter(move |identity| {
            let is_of_base = self.bases.get(&identity.id).map(|base| base.id) == Some(base);
            let user = identity.labels.user.as_ref();
            is_of_base && user.is_none_or(|user| user.uid == uid)
        })
    }

    /// Executables that policy names and this host does not have.
    pub(super) fn missing(&self, set: &PolicySet) -> Vec<String> {
        let (paths, _) = set.process_parts();
        paths
            .into_iter()
            .filter(|path| !self.exes.contains_key(path))
            .collect()
    }

    #[expect(
        clippy::type_complexity,
        reason = "two lists of names with their numbers"
    )]
    fn numbered(
        &self,
        classes: &mut ClassMaps,
    ) -> Result<(Vec<(String, u16)>, Vec<(LocalUser, u16)>), KernelError> {
        let exes = self.exes.iter();
        let exes = exes.map(|(path, exe)| Ok((path.clone(), classes.exes.number(exe.key)?)));
        let exes = exes.collect::<Result<_, KernelError>>()?;
        let users = self.users.iter();
        let users = users.map(|user| Ok((user.clone(), classes.users.number(user.uid)?)));
        Ok((exes, users.collect::<Result<_, KernelError>>()?))
    }
}

type Combination<'a> = (Option<&'a (String, u16)>, Option<&'a (LocalUser, u16)>);

fn combinations<'a>(
    exes: &'a [(String, u16)],
    users: &'a [(LocalUser, u16)],
) -> impl Iterator<Item = Combination<'a>> {
    let by_exe = exes.iter().map(|exe| (Some(exe), None));
    let by_user = users.iter().map(|user| (None, Some(user)));
    let by_both = exes
        .iter()
        .flat_map(|exe| users.iter().map(move |user| (Some(exe), Some(user))));
    by_exe.chain(by_user).chain(by_both)
}

fn resolve(selectors: &BTreeSet<UserSelector>) -> BTreeSet<LocalUser> {
    if selectors.is_empty() {
        return BTreeSet::new();
    }
    let known = accounts::users();
    let name_of = |uid: u32| {
        let mut named = known.iter();
        named
            .find(|(_, known)| **known == uid)
            .map(|(name, _)| name.clone())
    };
    let users = selectors.iter().filter_map(|selector| match selector {
        UserSelector::Uid(uid) => Some(LocalUser {
            uid: *uid,
            name: name_of(*uid),
        }),
        UserSelector::Name(name) => Some(LocalUser {
            uid: *known.get(name)?,
            name: Some(name.clone()),
        }),
    });
    users.collect()
}
