//! What is recorded of lives before and after a revision comes into force.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt};

use jiff::Timestamp;

use super::{Known, Move, Origin, entry, write};
use crate::{
    daemon::{
        ChangeError, Core, Waiting,
        revision::{API_SOURCE, Revision},
    },
    policy::{Basis, By, Entry, GrantStanding, Kind, Life, Object, Person, Stage, Step},
    store::{LifePlace, Store, StoreError},
};

impl Core {
    /// Records the grants of `revision` that are new, before any of them is in force.
    pub(in crate::daemon) fn begin_lives(
        &mut self,
        revision: &Revision,
        origin: Origin<'_>,
    ) -> Result<(), StoreError> {
        let lives = &self.lives;
        let is_new = |standing: &GrantStanding<'_>| {
            let life = lives.get(standing.name, standing.digest);
            life.is_none_or(|life| life.lacks(standing.needs))
        };
        let new: Vec<_> = revision.set.standings().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let requesters = Requesters::new(&self.store, revision, origin)?;
        let begun = self.store.at_once(|store| -> Result<_, StoreError> {
            let mut begun = Vec::new();
            for standing in new {
                let id = store.begin_life(standing.name, standing.digest, standing.needs)?;
                let steps = first_steps(&standing, origin, requesters.of(standing.name));
                let life = Life::replay(!standing.needs.is_empty(), &steps);
                for step in &steps {
                    store.add_step(id, step)?;
                }
                // The steps are ours, and follow each other.
                if let Ok(life) = life {
                    let digest = standing.digest.to_owned();
                    begun.push((standing.name.to_owned(), Known { id, digest, life }));
                }
            }
            Ok(begun)
        })?;
        self.lives.pending.extend(begun);
        Ok(())
    }

    /// What follows once the running revision is in force.
    pub(in crate::daemon) fn moves_in_force(
        &self,
        origin: Origin<'_>,
    ) -> (Vec<Move>, Option<Timestamp>) {
        let set = &self.running.revision.set;
        let mut moves = self.lives.replaced(set, origin);
        let (due, next) = self.lives.due(set, self.running.wall_of_kernel());
        moves.extend(due);
        (moves, next)
    }

    /// Records that the running revision is in force.
    pub(in crate::daemon) fn settle_lives(&mut self, origin: Origin<'_>) -> Result<(), StoreError> {
        let (moves, next) = self.moves_in_force(origin);
        if !moves.is_empty() {
            self.store.at_once(|store| write(store, &moves))?;
        }
        self.follow_lives(moves, next);
        Ok(())
    }

    pub(in crate::daemon) fn follow_lives(&mut self, moves: Vec<Move>, next: Option<Timestamp>) {
        self.lives.follow(moves);
        self.lives.next_due = next;
    }

    /// Records that what was asked for did not come into force.
    pub(in crate::daemon) fn give_lives_up(&mut self, why: &str) {
        let moves = self.lives.give_up(why);
        if let Err(error) = self.store.at_once(|store| write(store, &moves)) {
            // The next start does it.
            tracing::error!(
                error = crate::error_chain(&error),
                "lives of grants not closed"
            );
        }
        self.lives.follow(moves);
    }

    /// Records what has begun or ended by itself.
    pub(in crate::daemon) fn advance_lives(&mut self) {
        let at = self.running.wall_of_kernel();
        if self.lives.next_due.is_none_or(|due| at < due) {
            return;
        }
        let (moves, next) = self.lives.due(&self.running.revision.set, at);
        match self.store.at_once(|store| write(store, &moves)) {
            Ok(()) => self.follow_lives(moves, next),
            Err(error) => {
                tracing::error!(
                    error = crate::error_chain(&error),
                    "lives of grants not kept"
                );
            }
        }
    }

    /// Records that a grant is revoked, before the kernel forgets it: whatever happens in between, it
    /// stays revoked. What remains to be recorded when its object is gone.
    pub(in crate::daemon) fn end_life(
        &mut self,
        name: &str,
        entry: Entry,
    ) -> Result<Option<Move>, ChangeError> {
        let Some(known) = self.lives.of(name) else {
            return Ok(None);
        };
        let gone = known.place(name, LifePlace::Gone);
        if !known.life.stage().is_over() {
            self.take_step(name, entry)?;
        }
        Ok(Some(gone))
    }

    /// Records a step of the life of a grant.
    pub(in crate::daemon) fn take_step(
        &mut self,
        name: &str,
        entry: Entry,
    ) -> Result<(), ChangeError> {
        let step = self.lives.step(name, entry);
        let step = step.map_err(|error| ChangeError::Step {
            name: name.to_owned(),
            error,
        })?;
        let moves: Vec<_> = step.into_iter().collect();
        self.store.at_once(|store| write(store, &moves))?;
        self.lives.follow(moves);
        Ok(())
    }

    /// Whoever applies a grant again that was rejected asks for it again.
    pub(in crate::daemon) fn ask_again(&mut self, objects: &[Object]) -> Result<(), ChangeError> {
        let rejected = objects.iter().filter_map(|object| {
            let known = self.lives.of(object.name())?;
            let is_rejected = known.life.stage() == Stage::Rejected;
            (object.kind() == Kind::InvocationGrant && is_rejected)
                .then(|| known.place(object.name(), LifePlace::Gone))
        });
        let moves: Vec<_> = rejected.collect();
        if !moves.is_empty() {
            self.store.at_once(|store| write(store, &moves))?;
            self.lives.follow(moves);
        }
        Ok(())
    }

    pub(in crate::daemon) fn waiting(&self, objects: &[Object]) -> Vec<Waiting> {
        let set = &self.running.revision.set;
        let grants = objects
            .iter()
            .filter(|object| object.kind() == Kind::InvocationGrant);
        let waiting = grants.filter_map(|object| {
            let standing = set.standing(object.name())?;
            (standing.held == Some(Stage::Requested)).then(|| Waiting {
                name: object.name().to_owned(),
                needs: standing.needs.to_vec(),
            })
        });
        waiting.collect()
    }
}

fn first_steps(standing: &GrantStanding<'_>, origin: Origin<'_>, requester: By) -> Vec<Entry> {
    let why = match &standing.grant.ticket {
        Some(ticket) => format!("{} ({ticket})", standing.grant.purpose),
        None => standing.grant.purpose.clone(),
    };
    let mut steps = vec![entry(Step::Request, requester, &why)];
    let is_lease = matches!(origin, Origin::Lease(_, name) if name == standing.name);
    let approval = if is_lease {
        Some((Basis::Lease, "within the right of whoever asks"))
    } else if standing.needs.is_empty() {
        Some((Basis::Rules, "no rule demands a second person"))
    } else {
        None
    };
    steps.extend(approval.map(|(basis, why)| entry(Step::Approve(basis), By::Agent, why)));
    steps
}

/// Who has asked for which grant.
struct Requesters<'r> {
    revision: &'r Revision,
    origin: Origin<'r>,
    /// Of objects of the API that came without a life.
    created: BTreeMap<String, By>,
}

impl<'r> Requesters<'r> {
    fn new(store: &Store, revision: &'r Revision, origin: Origin<'r>) -> Result<Self, StoreError> {
        let kind = Kind::InvocationGrant.name();
        let created = match origin {
            Origin::Files => store.objects()?,
            Origin::Api(_) | Origin::Lease(..) => Vec::new(),
        };
        let created = created.into_iter().filter(|object| object.kind == kind);
        Ok(Self {
            revision,
            origin,
            created: created
                .map(|object| (object.name, written_by(&object.created_by)))
                .collect(),
        })
    }

    fn of(&self, name: &str) -> By {
        let key = (Kind::InvocationGrant, name.to_owned());
        match self.revision.sources.get(&key).map(String::as_str) {
            None | Some(API_SOURCE) => match self.origin {
                Origin::Files => self.created.get(name).copied().unwrap_or(nobody(0)),
                Origin::Api(by) | Origin::Lease(by, _) => by,
            },
            // Of a file that is gone again nobody knows who wrote it.
            Some(file) => nobody(std::fs::metadata(file).map_or(0, |file| file.uid())),
        }
    }
}

const fn nobody(uid: u32) -> By {
    By::Person(Person { uid, login: None })
}

/// As an earlier version has written it.
fn written_by(text: &str) -> By {
    let uid = text.strip_prefix("uid ").and_then(|uid| uid.parse().ok());
    nobody(uid.unwrap_or(0))
}
