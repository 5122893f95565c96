//! What is recorded of lives before and after a revision comes into force.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt};

use jiff::Timestamp;

use super::{Known, Move, Origin, entry, write};
use crate::{
    audit::{self, Action, Actor, Target, Via},
    daemon::{
        ChangeError, Core, Waiting,
        audit::owner,
        changes::audit_all,
        revision::{API_SOURCE, Revision},
    },
    host::clock::now,
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
        let sources = &revision.sources;
        let at = now().wall;
        let begun = self.store.at_once(|store| -> Result<_, StoreError> {
            let mut begun = Vec::new();
            for standing in new {
                let id = store.begin_life(standing.name, standing.digest, standing.needs)?;
                let steps = first_steps(&standing, origin, requesters.of(standing.name));
                let life = Life::replay(!standing.needs.is_empty(), &steps);
                for step in &steps {
                    store.add_step(id, step)?;
                    if is_decision(step, &standing, at) {
                        let source = source_of(sources, standing.name);
                        store.audit(at, &told(step, &standing, source, origin))?;
                    }
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
        self.record(&moves, origin)?;
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
        if let Err(error) = self.record(&moves, Origin::Files) {
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
        match self.record(&moves, Origin::Files) {
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
        origin: Origin<'_>,
    ) -> Result<Option<Move>, ChangeError> {
        let Some(known) = self.lives.of(name) else {
            return Ok(None);
        };
        let gone = known.place(name, LifePlace::Gone);
        if !known.life.stage().is_over() {
            self.take_step(name, entry, origin)?;
        }
        Ok(Some(gone))
    }

    /// Records a step of the life of a grant.
    pub(in crate::daemon) fn take_step(
        &mut self,
        name: &str,
        entry: Entry,
        origin: Origin<'_>,
    ) -> Result<(), ChangeError> {
        let step = self.lives.step(name, entry);
        let step = step.map_err(|error| ChangeError::Step {
            name: name.to_owned(),
            error,
        })?;
        let moves: Vec<_> = step.into_iter().collect();
        self.record(&moves, origin)?;
        self.lives.follow(moves);
        Ok(())
    }

    /// Keeps steps together with what the audit is told of them.
    fn record(&mut self, moves: &[Move], origin: Origin<'_>) -> Result<(), StoreError> {
        if moves.is_empty() {
            return Ok(());
        }
        let entries = self.told(&self.running.revision, moves, origin);
        let at = now().wall;
        self.store.at_once(|store| {
            write(store, moves)?;
            audit_all(store, at, &entries)
        })
    }

    /// What the audit is told of steps.
    pub(in crate::daemon) fn told(
        &self,
        revision: &Revision,
        moves: &[Move],
        origin: Origin<'_>,
    ) -> Vec<audit::Entry> {
        let steps = moves.iter().filter_map(|one| match one {
            Move::Step(_, name, entry) => Some((name, entry)),
            Move::Place(..) => None,
        });
        let entries = steps.map(|(name, entry)| {
            let source = source_of(&revision.sources, name);
            match revision.set.standing(name) {
                Some(standing) => told(entry, &standing, source, origin),
                None => told_of(entry, name, source, origin),
            }
        });
        entries.collect()
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
            self.record(&moves, Origin::Files)?;
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

fn source_of<'s>(sources: &'s BTreeMap<(Kind, String), String>, name: &str) -> &'s str {
    let key = (Kind::InvocationGrant, name.to_owned());
    sources.get(&key).map_or(API_SOURCE, String::as_str)
}

/// Whether the audit is told of a first step by itself: what needs nobody's approval is told when it
/// is in force, and before only if that takes time.
fn is_decision(entry: &Entry, standing: &GrantStanding<'_>, at: Timestamp) -> bool {
    match entry.step {
        Step::Approve(Basis::Rules) => standing.span.not_before.is_some_and(|start| at < start),
        Step::Request => standing.held.is_some(),
        Step::Approve(Basis::Lease | Basis::Person | Basis::BreakGlass)
        | Step::Activate
        | Step::Expire
        | Step::Revoke
        | Step::Reject => false,
    }
}

fn told(
    entry: &Entry,
    standing: &GrantStanding<'_>,
    source: &str,
    origin: Origin<'_>,
) -> audit::Entry {
    let mut told = told_of(entry, standing.name, source, origin).with("digest", standing.digest);
    if !standing.needs.is_empty() {
        told = told.with("needs", standing.needs.to_vec());
    }
    if let Some(ticket) = &standing.grant.ticket {
        told = told.with("ticket", ticket.as_str());
    }
    if entry.step == Step::Activate {
        standing.grant.purpose.clone_into(&mut told.reason);
    }
    if matches!(entry.step, Step::Request | Step::Activate) {
        let object = Object::of_grant(standing.name, standing.grant);
        // One that cannot be rendered is still named.
        if let Ok(yaml) = object.to_yaml() {
            told = told.with("object", yaml);
        }
    }
    told
}

/// Of a grant that is gone, or of any.
fn told_of(entry: &Entry, name: &str, source: &str, origin: Origin<'_>) -> audit::Entry {
    let action = match entry.step {
        Step::Request => Action::GrantRequested,
        Step::Approve(Basis::BreakGlass) => Action::BreakGlass,
        Step::Approve(Basis::Rules | Basis::Lease | Basis::Person) => Action::GrantApproved,
        Step::Activate => Action::GrantActivated,
        Step::Expire => Action::GrantExpired,
        Step::Revoke => Action::GrantRevoked,
        Step::Reject => Action::GrantRejected,
    };
    let actor = match (entry.by, origin) {
        (By::Person(_), Origin::Api(author) | Origin::Lease(author, _))
            if author.by() == entry.by =>
        {
            author.actor.clone()
        }
        // Whoever has changed the policy has brought it into force.
        (By::Agent, Origin::Api(author) | Origin::Lease(author, _))
            if entry.step == Step::Activate =>
        {
            author.actor.clone()
        }
        (By::Agent, _) => Actor::agent(),
        (By::Person(_), _) if source != API_SOURCE => owner(source),
        (By::Person(person), _) => Actor {
            via: Via::Api,
            uid: Some(person.uid),
            ..Actor::default()
        },
    };
    let told = audit::Entry::new(
        action,
        actor,
        Target::new(Kind::InvocationGrant.name(), name),
    );
    let told = told.because(entry.why.clone()).with("source", source);
    match entry.by {
        By::Person(Person {
            uid: _,
            login: Some(login),
        }) => told.with("login", login),
        By::Person(_) | By::Agent => told,
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
                Origin::Api(author) | Origin::Lease(author, _) => author.by(),
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
