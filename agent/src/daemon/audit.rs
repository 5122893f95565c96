//! What the agent does, as it is told to the audit.
//!
//! A change of state is recorded in the transaction that keeps it: `store.audit` within
//! `store.at_once`. What changes nothing in the store is recorded by [`Core::audit`].

mod life;
mod proof;
mod reading;
mod refusals;
mod tallies;
mod witness;

pub use self::reading::{VerifyError, verify_audit};
pub(super) use self::{
    proof::Prover, reading::DATABASE, refusals::Refusals, tallies::risky_endpoints,
};

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt};

use super::{
    Core,
    lives::Origin,
    policy::Running,
    revision::{API_SOURCE, Revision},
};
use crate::{
    audit::{Action, Actor, Entry, Target, Via},
    host::{accounts, clock::now, incarnation::Incarnation, process},
    policy::{By, Change, Kind, Object, Person, Spec, What},
    store::StoreError,
};

/// Who changes something over the API, or the agent itself.
#[derive(Clone, Debug, Default)]
pub struct Author {
    pub actor: Actor,
    /// The user that the session of the process was opened for, if any.
    pub login: Option<u32>,
}

impl Author {
    #[must_use]
    pub fn agent() -> Self {
        Self::default()
    }

    /// To tell one person from another.
    #[must_use]
    pub fn by(&self) -> By {
        match (self.actor.via, self.actor.uid) {
            (Via::Agent, _) => By::Agent,
            (Via::Api | Via::File | Via::Workload, uid) => By::Person(Person {
                uid: uid.unwrap_or(u32::MAX),
                login: self.login,
            }),
        }
    }
}

impl Core {
    /// Records something that leaves no other trace in the store.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn audit(&mut self, entry: &Entry) -> Result<u64, StoreError> {
        let at = now().wall;
        self.store.at_once(|store| store.audit(at, entry))
    }

    /// Who is behind a request.
    #[must_use]
    pub fn actor(&self, uid: u32, process: Option<Incarnation>) -> Actor {
        let process = process.filter(|process| process.is_running());
        let cgroup = process.and_then(|process| process::cgroup_path(process.pid).ok());
        let identity = cgroup
            .as_deref()
            .and_then(|path| self.workloads.at_path(path))
            .map(|(identity, _)| identity.key());
        Actor {
            via: Via::Api,
            uid: Some(uid).filter(|uid| *uid != u32::MAX),
            user: user(uid),
            pid: process.map(|process| process.pid),
            cgroup,
            identity,
        }
    }
}

/// A record for each object that another revision has changed. What happens to grants is told by the
/// steps of their lives.
pub(super) fn entries(
    changes: &[Change],
    former: &Revision,
    running: &Running,
    origin: Origin<'_>,
    why: Option<&str>,
) -> Vec<Entry> {
    let (before, after) = (by_name(former), by_name(&running.revision));
    let entry = |change: &Change| {
        let key = (change.kind, change.name.as_str());
        let object = after.get(&key).or_else(|| before.get(&key))?;
        let sources = match change.what {
            What::Removed => &former.sources,
            What::Added | What::Changed { .. } => &running.revision.sources,
        };
        let source = sources.get(&(change.kind, change.name.clone()));
        let source = source.map_or(API_SOURCE, String::as_str);
        let mut entry = told(change, object)?;
        entry.actor = match origin {
            Origin::Api(author) | Origin::Lease(author, _) => author.actor.clone(),
            Origin::Files => owner(source),
        };
        if let Some(why) = why {
            why.clone_into(&mut entry.reason);
        }
        Some(
            entry
                .with("source", source)
                .with("revision", running.number),
        )
    };
    changes.iter().filter_map(entry).collect()
}

fn by_name(revision: &Revision) -> BTreeMap<(Kind, &str), &Object> {
    let objects = revision.set.objects();
    objects
        .map(|object| ((object.kind(), object.name()), object))
        .collect()
}

fn told(change: &Change, object: &Object) -> Option<Entry> {
    let is_removed = change.what == What::Removed;
    let (action, reason) = match &object.spec {
        Spec::InvocationGrant(_) => return None,
        Spec::EgressDeny(deny) if !is_removed => (Action::DenyAdded, deny.reason.as_str()),
        Spec::EgressDeny(_) => (Action::DenyRemoved, ""),
        Spec::ModelEndpoint(_) | Spec::Posture(_) if !is_removed => (Action::PolicyApplied, ""),
        Spec::ModelEndpoint(_) | Spec::Posture(_) => (Action::PolicyDeleted, ""),
    };
    let target = Target::new(change.kind.name(), &change.name);
    let entry = Entry::new(action, Actor::agent(), target).because(reason);
    // One that cannot be rendered is still named.
    let entry = match object.to_yaml() {
        Ok(yaml) if !is_removed => entry.with("object", yaml),
        Ok(_) | Err(_) => entry,
    };
    Some(match &change.what {
        What::Changed { fields } => entry.with("changed", fields.clone()),
        What::Added | What::Removed => entry,
    })
}

/// Whoever a policy file belongs to; one that is gone tells nobody.
pub(super) fn owner(file: &str) -> Actor {
    let uid = fs::metadata(file).ok().map(|metadata| metadata.uid());
    Actor {
        via: Via::File,
        uid,
        user: uid.and_then(user),
        ..Actor::default()
    }
}

fn user(uid: u32) -> Option<String> {
    let users = accounts::users().into_iter();
    let mut found = users.filter(|(_, number)| *number == uid);
    found.next().map(|(name, _)| name)
}
