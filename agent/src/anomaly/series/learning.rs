//! What a series learns of a step: what is usual, unless it is alarming.

use super::{DAY, Expected, Look, Series, THRESHOLD};
use crate::anomaly::{channel::KINDS, grid::Grid, windows::Completed};

/// Score from which on nothing is learnt of how surprising is usual.
const FREEZE: f32 = 6.0;
/// Calls that are added to both sides of a ratio, so that few calls are no evidence.
const FEW: f32 = 5.0;
/// An episode that lasts so long is learnt as usual.
const ADOPTED: i64 = 48 * 3600;
/// How fast the profile follows the last day, an hour, and what that day counts for at most: a day
/// off moves it little.
const FOLLOW: f32 = 0.02;
const MOST_CHANGE: f32 = 0.1;
/// How fast it follows the hour after a hint; the more hours have passed, the less one counts.
const HINT_FOLLOW: f32 = 0.5;
const HINT_FADE: f32 = 6.0;
/// The unit of a cost is not less.
const LEAST_UNIT: f32 = 1e-6;

/// What one step has found.
pub(super) struct Found<'a> {
    pub(super) at: i64,
    pub(super) observed: f32,
    pub(super) expected: Expected,
    pub(super) looks: &'a [Option<Look>; 5],
    pub(super) score: f32,
    pub(super) completed: Completed,
}

impl Series {
    pub(super) fn learn(&mut self, grid: &Grid, found: &Found<'_>) {
        let &Found {
            at,
            score,
            completed,
            ..
        } = found;
        // A slow rise says nothing against a single step.
        let is_alarming = score >= THRESHOLD && score > THRESHOLD * self.drift.part();
        let is_adopted = is_alarming && at.saturating_sub(self.alarm_since) > ADOPTED;
        if score < FREEZE {
            for ((channel, kind), look) in self.channels.iter_mut().zip(&KINDS).zip(found.looks) {
                if let Some(look) = look {
                    channel.learn(kind, look);
                }
            }
        }
        self.learn_rate(grid, found, is_alarming && !is_adopted);
        let is_known = self.first_day(at) >= 1.0 && self.rate.is_known(at);
        if completed.long && is_known && (!is_alarming || is_adopted) {
            self.follow(self.hinted_until.saturating_sub(at));
        }
    }

    /// Of an alarm, only what was expected: less would bias what is learnt of long ones.
    fn learn_rate(&mut self, grid: &Grid, found: &Found<'_>, is_alarming: bool) {
        let &Found {
            at,
            observed,
            expected,
            ..
        } = found;
        let ten = self.windows.ten_minutes().observed / f32::from(grid.short);
        let (value, ten) = if is_alarming {
            (expected.mean, ten.min(expected.busy))
        } else {
            let value = observed.min(self.cap(expected));
            self.record = self.record.max(value);
            (value, ten)
        };
        let factor = (1.0 / self.steps as f32).max(grid.step() as f32 / (2 * DAY) as f32);
        let hour = self.rate.learn(at, value, ten, factor.min(1.0));
        if let Some(hour) = hour {
            if at < self.hinted_until || self.first_day(at) < 1.0 {
                self.drift.forget();
            }
            let is_told = is_alarming && self.drift.part() < 1.0;
            self.drift.learn(hour, FEW * self.unit, is_told);
        }
    }

    /// What is learnt of one step at most.
    fn cap(&self, expected: Expected) -> f32 {
        let unit = self.unit.max(f32::MIN_POSITIVE);
        self.channels.first().map_or(expected.busy, |channel| {
            channel.cap(expected.busy / unit) * unit
        })
    }

    /// Moves the whole profile towards what was observed: slowly, or fast after a hint.
    fn follow(&mut self, hinted: i64) {
        let (sums, gain, most) = if hinted > 0 {
            let passed = 1.0 - hinted as f32 / DAY as f32;
            let gain = HINT_FOLLOW / (1.0 + HINT_FADE * passed);
            (self.windows.hour(), gain, 1.0)
        } else {
            (self.windows.day(), FOLLOW, MOST_CHANGE)
        };
        let few = FEW * self.unit;
        if few <= 0.0 {
            return;
        }
        let change = ((sums.observed + few) / (sums.expected + few)).ln();
        self.rate.shift = (self.rate.shift + gain * change.clamp(-most, most)).clamp(-4.0, 4.0);
    }

    /// The unit of a cost is what a fifth of the busy steps stay below.
    pub(super) fn learn_unit(&mut self, value: f32) {
        if !self.is_cost || value <= 0.0 {
            return;
        }
        if self.unit <= 0.0 {
            self.unit = value.max(LEAST_UNIT);
            return;
        }
        let pace = (100.0 / (20.0 + self.steps as f32)).clamp(0.005, 0.2);
        self.unit *= if value < self.unit {
            1.0 - 0.8 * pace
        } else {
            1.0 + 0.2 * pace
        };
        self.unit = self.unit.max(LEAST_UNIT);
    }
}
