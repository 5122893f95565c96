//! Sightings that belong together are one episode, told once.

use std::collections::BTreeMap;

use super::{
    kind::Kind,
    watch::{Fact, Pair, Sighting},
};

/// An episode that was quiet for so long is over, in seconds.
const QUIET: i64 = 30 * 60;
/// How many times more than what was told is told again.
const WORSE: f32 = 3.0;

/// What an episode is about.
pub type Subject = (Kind, Pair);

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// In seconds since 1970.
    pub last: i64,
    /// Highest score; 0 where there is none.
    pub score: f32,
    /// Most calls beyond what was expected, in one window.
    pub excess: f32,
    /// Excess that was told of last.
    pub told: f32,
}

/// What a sighting means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// A new episode.
    Begins(Extent),
    /// Nothing that has to be told again.
    GoesOn(Extent),
    /// Much worse than what was told.
    IsWorse(Extent),
}

/// The episodes that are not over.
#[derive(Clone, Debug, Default)]
pub struct Episodes {
    open: BTreeMap<Subject, Extent>,
}

impl Episodes {
    /// Goes on with episodes that were open before.
    #[must_use]
    pub fn new(open: impl IntoIterator<Item = (Subject, Extent)>) -> Self {
        Self {
            open: open.into_iter().collect(),
        }
    }

    pub fn take(&mut self, sighting: &Sighting) -> Turn {
        let (score, excess) = match sighting.fact {
            Fact::Unusual { score, finding, .. } => (score, finding.excess()),
            Fact::Calls(calls) | Fact::Woke { calls, .. } => (0.0, calls as f32),
        };
        let key = (sighting.kind, sighting.pair);
        let Some(extent) = self.open.get_mut(&key) else {
            let extent = Extent {
                last: sighting.at,
                score,
                excess,
                told: excess,
            };
            if !sighting.kind.is_moment() {
                self.open.insert(key, extent);
            }
            return Turn::Begins(extent);
        };
        extent.last = sighting.at;
        extent.score = extent.score.max(score);
        extent.excess = extent.excess.max(excess);
        if extent.excess >= WORSE * extent.told {
            extent.told = extent.excess;
            return Turn::IsWorse(*extent);
        }
        Turn::GoesOn(*extent)
    }

    /// Those that were quiet for long at `at`, in seconds since 1970; they are forgotten.
    pub fn ended(&mut self, at: i64) -> Vec<Subject> {
        let ended: Vec<_> = self
            .open
            .iter()
            .filter(|(_, extent)| at - extent.last >= QUIET)
            .map(|(subject, _)| *subject)
            .collect();
        for subject in &ended {
            self.open.remove(subject);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use agent_common::{destination::EndpointId, identity::IdentityId};

    use super::*;

    const PAIR: Pair = Pair {
        identity: IdentityId::from_raw(1),
        endpoint: EndpointId::from_raw(2),
    };

    fn storm(at: i64, calls: u64) -> Sighting {
        Sighting {
            kind: Kind::RefusedStorm,
            pair: PAIR,
            at,
            fact: Fact::Calls(calls),
        }
    }

    #[test]
    fn one_episode_is_told_once_and_again_when_it_is_three_times_as_bad() {
        let mut episodes = Episodes::default();
        assert!(matches!(episodes.take(&storm(0, 100)), Turn::Begins(_)));
        assert!(matches!(episodes.take(&storm(60, 299)), Turn::GoesOn(_)));
        let worse = episodes.take(&storm(120, 300));
        assert!(
            matches!(worse, Turn::IsWorse(extent) if extent.told == 300.0),
            "{worse:?}"
        );
        assert!(matches!(episodes.take(&storm(180, 800)), Turn::GoesOn(_)));
        assert_eq!(episodes.ended(180 + QUIET - 1), []);
        assert_eq!(episodes.ended(180 + QUIET), [(Kind::RefusedStorm, PAIR)]);
        assert!(matches!(episodes.take(&storm(9_000, 1)), Turn::Begins(_)));
    }

    #[test]
    fn an_open_episode_goes_on_after_a_restart() {
        let extent = Extent {
            last: 0,
            excess: 100.0,
            told: 100.0,
            ..Extent::default()
        };
        let mut episodes = Episodes::new([((Kind::RefusedStorm, PAIR), extent)]);
        assert!(matches!(episodes.take(&storm(60, 100)), Turn::GoesOn(_)));
    }

    #[test]
    fn a_moment_has_no_length() {
        let mut episodes = Episodes::default();
        let first_use = Sighting {
            kind: Kind::FirstUse,
            ..storm(0, 1)
        };
        assert!(matches!(episodes.take(&first_use), Turn::Begins(_)));
        assert_eq!(episodes.ended(QUIET), []);
    }
}
