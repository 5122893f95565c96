//! Lives of the grants that are there, and what is recorded around a change of policy.
//!
//! What is asked for is recorded before the kernel learns of it, and that it is in force after. A
//! life of which only the beginning is there belongs to a change that never came into force; one
//! that is revoked while its object is there, to a revocation that is still to be completed.

mod recording;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Author;
use crate::{
    host::clock::{boot_id, boot_ns, now},
    policy::{By, End, Entry, GrantStanding, Kind, Life, PolicySet, Stage, Step, StepError},
    store::{LifePlace, Removed, Store, StoreError},
};

/// The life of every grant by name, and those of which the object is not in force yet.
#[derive(Debug, Default)]
pub(super) struct Lives {
    current: BTreeMap<String, Known>,
    pending: BTreeMap<String, Known>,
    /// When one begins or ends next.
    next_due: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Known {
    id: i64,
    pub(super) digest: String,
    pub(super) life: Life,
}

/// Who changes the policy.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'o> {
    /// Whoever has written the files.
    Files,
    Api(&'o Author),
    /// A task's lease of this name, within the right of whoever asks for it.
    Lease(&'o Author, &'o str),
}

/// One change of a life.
#[derive(Debug)]
pub(super) enum Move {
    Step(i64, String, Entry),
    Place(i64, String, LifePlace),
}

impl Known {
    pub(super) fn place(&self, name: &str, place: LifePlace) -> Move {
        Move::Place(self.id, name.to_owned(), place)
    }
}

impl Origin<'_> {
    pub(super) fn by(self) -> By {
        match self {
            Self::Files => By::Agent,
            Self::Api(author) | Self::Lease(author, _) => author.by(),
        }
    }
}

impl Lives {
    /// Those in the store, after whatever was left half-done has been completed.
    pub(super) fn recover(store: &mut Store) -> Result<Self, StoreError> {
        let mut lives = Self::default();
        for stored in store.open_lives()? {
            let life = match Life::replay(!stored.needs.is_empty(), &stored.steps) {
                Ok(life) => life,
                Err(error) => {
                    // Without a life it has to be asked for again.
                    tracing::error!(name = stored.name, %error, "life of a grant not understood");
                    store.place_life(stored.id, LifePlace::Gone)?;
                    continue;
                }
            };
            let known = Known {
                id: stored.id,
                digest: stored.digest,
                life,
            };
            match stored.place {
                LifePlace::Pending => lives.pending.insert(stored.name, known),
                LifePlace::Current => lives.current.insert(stored.name, known),
                LifePlace::Gone => None,
            };
        }
        let given_up = lives.give_up("the agent ended before it was in force");
        store.at_once(|store| write(store, &given_up))?;
        lives.follow(given_up);
        lives.complete_revocations(store)?;
        Ok(lives)
    }

    fn complete_revocations(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let kind = Kind::InvocationGrant.name();
        for object in store.objects()? {
            let Some(known) = self.current.get(&object.name) else {
                continue;
            };
            if object.kind != kind || known.life.stage() != Stage::Revoked {
                continue;
            }
            let gone = Move::Place(known.id, object.name.clone(), LifePlace::Gone);
            let removed = removal(known.life.last());
            store.at_once(|store| -> Result<(), StoreError> {
                store.remove_object(kind, &object.name, &removed)?;
                write(store, std::slice::from_ref(&gone))
            })?;
            tracing::warn!(name = object.name, by = removed.by, "revocation completed");
            self.follow(vec![gone]);
        }
        Ok(())
    }

    /// The life of this content.
    pub(super) fn get(&self, name: &str, digest: &str) -> Option<&Life> {
        let known = self.current.get(name)?;
        (known.digest == digest).then_some(&known.life)
    }

    pub(super) fn of(&self, name: &str) -> Option<&Known> {
        self.current.get(name)
    }

    /// What follows from a change that did not come into force.
    fn give_up(&self, why: &str) -> Vec<Move> {
        let pending = self.pending.iter();
        let given_up = pending.flat_map(|(name, known)| {
            let step = if known.life.stage() == Stage::Requested {
                Step::Reject
            } else {
                Step::Revoke
            };
            let entry = entry(step, By::Agent, why);
            [
                Move::Step(known.id, name.clone(), entry),
                Move::Place(known.id, name.clone(), LifePlace::Gone),
            ]
        });
        given_up.collect()
    }

    /// A step of the life of `name`, if it may be taken.
    pub(super) fn step(&self, name: &str, entry: Entry) -> Result<Option<Move>, StepError> {
        let Some(known) = self.current.get(name) else {
            return Ok(None);
        };
        known.life.after(&entry)?;
        Ok(Some(Move::Step(known.id, name.to_owned(), entry)))
    }

    /// What has been written.
    pub(super) fn follow(&mut self, moves: Vec<Move>) {
        for one in moves {
            match one {
                Move::Step(id, name, entry) => {
                    let all = self.pending.get_mut(&name).into_iter();
                    let mut all = all.chain(self.current.get_mut(&name));
                    if let Some(known) = all.find(|known| known.id == id)
                        && let Ok(after) = known.life.after(&entry)
                    {
                        known.life = after;
                    }
                }
                Move::Place(id, name, LifePlace::Current) => {
                    if let Some(known) = self.pending.remove(&name).filter(|known| known.id == id) {
                        self.current.insert(name, known);
                    }
                }
                Move::Place(id, name, LifePlace::Gone | LifePlace::Pending) => {
                    for all in [&mut self.pending, &mut self.current] {
                        if all.get(&name).is_some_and(|known| known.id == id) {
                            all.remove(&name);
                        }
                    }
                }
            }
        }
    }

    /// Lives that end because their content is gone or another one.
    fn replaced(&self, set: &PolicySet, origin: Origin<'_>) -> Vec<Move> {
        let mut moves = Vec::new();
        for (name, known) in &self.current {
            let why = match (self.pending.contains_key(name), set.standing(name)) {
                (true, Some(now)) if now.digest == known.digest => {
                    format!("needs approval by now: {}", now.needs.join(", "))
                }
                (true, _) => "its content has changed".to_owned(),
                (false, None) => "it is no longer in the policy".to_owned(),
                (false, Some(_)) => continue,
            };
            if !known.life.stage().is_over() {
                let entry = entry(Step::Revoke, origin.by(), &why);
                moves.push(Move::Step(known.id, name.clone(), entry));
            }
            moves.push(Move::Place(known.id, name.clone(), LifePlace::Gone));
        }
        let pending = self.pending.iter();
        let current = |(name, known): (&String, &Known)| {
            Move::Place(known.id, name.clone(), LifePlace::Current)
        };
        moves.extend(pending.map(current));
        moves
    }

    /// Lives whose time has come by `at`, and when the next one's comes.
    fn due(&self, set: &PolicySet, at: Timestamp) -> (Vec<Move>, Option<Timestamp>) {
        let mut moves = Vec::new();
        let mut next: Option<Timestamp> = None;
        for standing in set.standings() {
            let pending = self.pending.get(standing.name);
            let known = pending.or_else(|| self.current.get(standing.name));
            let Some(known) = known.filter(|known| known.digest == standing.digest) else {
                continue;
            };
            let (begins, ends) = instants(&standing);
            let stage = known.life.stage();
            let step = if stage.is_over() {
                continue;
            } else if ends.is_some_and(|end| end <= at) {
                Step::Expire
            } else if stage == Stage::Approved && begins.is_none_or(|begin| begin <= at) {
                Step::Activate
            } else {
                let waited = begins.filter(|_| stage == Stage::Approved);
                next = next.into_iter().chain(waited).chain(ends).min();
                continue;
            };
            next = next.into_iter().chain(ends.filter(|end| at < *end)).min();
            let why = if step == Step::Expire {
                "its time is over"
            } else {
                "in force"
            };
            let entry = entry(step, By::Agent, why);
            moves.push(Move::Step(known.id, standing.name.to_owned(), entry));
        }
        (moves, next)
    }
}

/// When a grant begins and ends. The `ttl` of one that waits has not begun.
fn instants(standing: &GrantStanding<'_>) -> (Option<Timestamp>, Option<Timestamp>) {
    let is_open = standing.held.is_some() && matches!(standing.grant.validity.end, End::After(_));
    let ends = standing.span.not_after.filter(|_| !is_open);
    (standing.span.not_before, ends)
}

pub(super) fn entry(step: Step, by: By, why: &str) -> Entry {
    Entry {
        step,
        by,
        at: now().wall,
        why: why.to_owned(),
    }
}

pub(super) fn removal(entry: &Entry) -> Removed {
    Removed {
        by: entry.by.to_string(),
        at: entry.at,
        why: Some(entry.why.clone()).filter(|why| !why.is_empty()),
    }
}

/// Within a transaction.
pub(super) fn write(store: &mut Store, moves: &[Move]) -> Result<(), StoreError> {
    for one in moves {
        match one {
            Move::Step(life, _, entry) => {
                store.add_step(*life, entry)?;
                if entry.step.counts_anew() {
                    let boot = boot_id().unwrap_or_default();
                    store.count_from_approval(*life, entry.at, boot_ns(), &boot)?;
                }
            }
            Move::Place(life, _, place) => store.place_life(*life, *place)?,
        }
    }
    Ok(())
}
