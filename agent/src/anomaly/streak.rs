//! Activity without a break. What comes in bursts hides a steady trickle in all of its windows, but
//! not that its breaks stay out.

use serde::{Deserialize, Serialize};

/// Hours that are no streak yet.
const LEAST: f32 = 5.0;
/// Times the longest one so far that makes an alert.
const TIMES: f32 = 1.5;
/// A streak of so many hours is how the series is.
const MOST: f32 = 96.0;
/// What is left of the longest one after a day.
const KEPT: f32 = 0.97;
/// Days that must be known.
const DAYS: u32 = 6;

/// In hours.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Streak {
    /// Since the last slot without a call.
    now: f32,
    /// The longest one that is over.
    longest: f32,
}

impl Streak {
    pub(super) const NONE: Self = Self {
        now: 0.0,
        longest: 0.0,
    };

    /// Takes a slot of so many hours into account, in a series that is known for `days`.
    pub(super) fn learn(&mut self, hours: f32, is_active: bool, days: u32) {
        self.longest *= 1.0 - (1.0 - KEPT) * hours / 24.0;
        if is_active {
            self.now += hours;
        }
        if days < DAYS || self.now > MOST {
            self.longest = self.longest.max(self.now);
        } else if !is_active {
            self.longest = self.longest.max(self.now.min(TIMES * self.longest));
        }
        if !is_active {
            self.now = 0.0;
        }
    }

    /// From 0 to 1, which is enough for an alert, and more.
    pub(super) fn part(&self, days: u32) -> f32 {
        if days < DAYS || self.now > MOST {
            return 0.0;
        }
        self.now / (TIMES * self.longest).max(LEAST)
    }
}
