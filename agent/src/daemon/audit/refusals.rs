//! Changes that were refused: a record for each caller at once, and then one now and then for as many
//! as there were.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use super::Author;
use crate::{
    audit::{Action, Entry, Outcome, Target},
    daemon::Core,
    error_chain,
};

/// How long a caller's further refusals are counted before they are told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bounds what callers can make the agent remember: the others share one record.
const MOST: usize = 256;

/// Refusals by user and by what was asked for.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Refusals(BTreeMap<(u32, String), Refused>);

#[derive(Debug)]
struct Refused {
    last: Entry,
    /// How many no record stands for.
    n_untold: u64,
    told_at: Instant,
}

impl Refusals {
    /// What is to be told now.
    fn add(&mut self, entry: Entry, at: Instant) -> Option<Entry> {
        let key = (
            entry.actor.uid.unwrap_or(u32::MAX),
            entry.target.name.clone(),
        );
        let is_room = self.0.len() < MOST || self.0.contains_key(&key);
        let key = if is_room {
            key
        } else {
            (u32::MAX, String::new())
        };
        match self.0.get_mut(&key) {
            Some(known) => {
                known.last = entry;
                known.n_untold += 1;
                known.due(at)
            }
            None => {
                let known = Refused {
                    last: entry.clone(),
                    n_untold: 0,
                    told_at: at,
                };
                self.0.insert(key, known);
                Some(entry.with("count", 1))
            }
        }
    }

    /// What has been counted long enough; whoever was quiet is forgotten.
    fn due(&mut self, at: Instant) -> Vec<Entry> {
        let due = self.0.values_mut().filter_map(|known| known.due(at));
        let due = due.collect();
        self.0
            .retain(|_, known| known.n_untold > 0 || at.duration_since(known.told_at) < PATIENCE);
        due
    }

    fn all(&mut self) -> Vec<Entry> {
        let all = mem::take(&mut self.0).into_values();
        let untold = all.filter(|known| known.n_untold > 0);
        untold
            .map(|known| known.last.with("count", known.n_untold))
            .collect()
    }
}

impl Refused {
    fn due(&mut self, at: Instant) -> Option<Entry> {
        if self.n_untold == 0 || at.duration_since(self.told_at) < PATIENCE {
            return None;
        }
        self.told_at = at;
        let count = mem::take(&mut self.n_untold);
        Some(self.last.clone().with("count", count))
    }
}

impl Core {
    /// Records that somebody asked for a change without being entitled to it.
    pub fn note_refusal(&mut self, author: &Author, what: &str, why: &str) {
        let target = Target::new("api", what);
        let entry = Entry::new(Action::ChangeRefused, author.actor.clone(), target);
        let entry = match author.login {
            Some(login) => entry.with("login", login),
            None => entry,
        };
        let entry = entry.because(why).ended(Outcome::Refused);
        let told = self.refusals.add(entry, Instant::now());
        self.tell_refusals(told.into_iter().collect());
    }

    /// Records what was only counted so far, `all` of it or what has waited long enough.
    pub(in crate::daemon) fn record_refusals(&mut self, all: bool) {
        let due = if all {
            self.refusals.all()
        } else {
            self.refusals.due(Instant::now())
        };
        self.tell_refusals(due);
    }

    fn tell_refusals(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if let Err(error) = self.audit(&entry) {
                tracing::error!(error = error_chain(&error), "refused change not recorded");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, Via};

    fn entry(uid: u32, what: &str) -> Entry {
        let actor = Actor {
            via: Via::Api,
            uid: Some(uid),
            ..Actor::default()
        };
        Entry::new(Action::ChangeRefused, actor, Target::new("api", what))
    }

    fn counts(entries: &[Entry]) -> Vec<Option<u64>> {
        let count = |entry: &Entry| entry.details.get("count").and_then(|count| count.as_u64());
        entries.iter().map(count).collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_all_others_are_counted() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        let first = refusals.add(entry(7, "issue a grant"), start);
        assert_eq!(counts(first.as_slice()), [Some(1)]);
        for _ in 0..1_000 {
            assert_eq!(refusals.add(entry(7, "issue a grant"), start), None);
        }
        assert!(refusals.add(entry(8, "issue a grant"), start).is_some());
        assert_eq!(refusals.due(start), []);
        let later = start + PATIENCE;
        assert_eq!(counts(&refusals.due(later)), [Some(1_000)]);
        assert_eq!(refusals.due(later), []);
        refusals.add(entry(7, "issue a grant"), later);
        assert_eq!(counts(&refusals.all()), [Some(1)]);
    }

    #[test]
    fn many_callers_share_what_is_left() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        let told = (0..1_000).filter_map(|uid| refusals.add(entry(uid, "x"), start));
        assert_eq!(told.count(), MOST + 1);
        let untold = refusals.due(start + PATIENCE);
        assert_eq!(counts(&untold), [Some(1_000 - MOST as u64 - 1)]);
    }
}
