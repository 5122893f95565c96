//! What a step says of a series: the most surprising window, and whether an episode begins.

use super::{Look, Reading, Series, THRESHOLD};
use crate::anomaly::{
    finding::{Finding, Window},
    grid::Grid,
    windows::Sums,
};

/// Of a score within a day of a hint.
const HINTED: f32 = 0.75;
/// The score of a newcomer that is as busy as hardly anybody in the cohort.
const NEWCOMER: f32 = 3.5;
/// An episode that was quiet for so long, and for a step, is over.
const QUIET: i64 = 30 * 60;
/// Times what is expected of six hours, and calls more, without which a streak is not worth an
/// alert.
const STREAK_RATIO: f32 = 1.5;
const STREAK_IMPACT: f32 = 40.0;

impl Series {
    pub(super) fn judge(&mut self, grid: &Grid, at: i64, looks: &[Option<Look>; 5]) -> Reading {
        let (mut score, mut window, mut best) = self.loudest(looks);
        if let Some(newcomer) = self.newcomer(grid, at).filter(|newcomer| *newcomer > score) {
            (score, window) = (newcomer, Window::FirstDay);
            best = Sums {
                expected: self.busy() * f32::from(grid.short),
                ..self.windows.ten_minutes()
            };
        }
        let drift = slow_score(self.drift.part());
        if drift > score {
            (score, window, best) = (drift, Window::Drift, self.windows.day());
        }
        let streak = slow_score(self.streak.part(self.days(at)));
        if let Some(sums) = (streak > score).then(|| self.streak_sums()).flatten() {
            (score, window, best) = (streak, Window::Streak, sums);
        }
        if at < self.hinted_until {
            score *= HINTED;
        }
        let is_brief = self.is_brief_alarm(looks);
        let alert = self.episode(at, score, is_brief);
        Reading {
            score,
            alert,
            finding: self.finding(at, window, best),
        }
    }

    /// The most surprising window of those that are due; the others are held.
    fn loudest(&mut self, looks: &[Option<Look>; 5]) -> (f32, Window, Sums) {
        let mut score = 0.0;
        let mut window = Window::Step;
        let mut best = Sums::default();
        for (index, (name, look)) in Window::ALL.into_iter().zip(looks).enumerate() {
            let held = index
                .checked_sub(2)
                .and_then(|index| self.held.get_mut(index));
            if let (Some(held), Some(look)) = (held, look) {
                *held = look.score;
            }
            if let Some(look) = look.filter(|look| look.score > score) {
                (score, window, best) = (look.score, name, look.sums.times(self.unit));
            }
        }
        for (held, name) in self.held.into_iter().zip(Window::ALL.iter().skip(2)) {
            if held > score {
                (score, window) = (held, *name);
                // Nobody asks for the sums of what is no alarm.
                if held >= THRESHOLD {
                    best = self.sums_of(*name);
                }
            }
        }
        (score, window, best)
    }

    fn sums_of(&self, window: Window) -> Sums {
        match window {
            Window::Hour => self.windows.hour(),
            Window::SixHours | Window::Streak => self.windows.six_hours(),
            Window::Day | Window::Drift => self.windows.day(),
            Window::Step | Window::TenMinutes | Window::FirstDay => self.windows.ten_minutes(),
        }
    }

    /// Whether a window of up to an hour is alarming.
    fn is_brief_alarm(&self, looks: &[Option<Look>; 5]) -> bool {
        let mut brief = looks.iter().take(2).flatten();
        brief.any(|look| look.score >= THRESHOLD)
            || self.held.first().is_some_and(|held| *held >= THRESHOLD)
    }

    /// Of the last six hours, if they are worth an alert for want of breaks.
    fn streak_sums(&self) -> Option<Sums> {
        let sums = self.windows.six_hours();
        let Sums {
            observed, expected, ..
        } = sums.in_units(self.unit);
        let is_worth = observed >= STREAK_RATIO * expected && observed - expected >= STREAK_IMPACT;
        is_worth.then_some(sums)
    }

    fn finding(&self, at: i64, window: Window, sums: Sums) -> Finding {
        Finding {
            window,
            observed: sums.observed,
            expected: sums.expected,
            limit: self.limit(window, sums),
            record: self.record,
            days: self.days(at),
        }
    }

    fn limit(&self, window: Window, sums: Sums) -> f32 {
        let window = match window {
            Window::Drift => Window::Day,
            Window::Streak => Window::SixHours,
            Window::Step
            | Window::TenMinutes
            | Window::Hour
            | Window::SixHours
            | Window::Day
            | Window::FirstDay => window,
        };
        let channel = Window::ALL.iter().position(|other| *other == window);
        let channel = channel.and_then(|index| self.channels.get(index));
        channel.map_or(sums.expected, |channel| {
            channel.usual_limit(sums.in_units(self.unit)) * self.unit
        })
    }

    /// On the first day there is no history: as busy as hardly anybody is a finding by itself.
    fn newcomer(&self, grid: &Grid, at: i64) -> Option<f32> {
        let busy = self.busy();
        if self.first_day(at) >= 1.0 || busy <= 0.0 {
            return None;
        }
        let rate = self.windows.ten_minutes().observed / f32::from(grid.short);
        let times = rate / busy;
        (times > 0.3).then(|| NEWCOMER + times.log2())
    }

    /// What an episode has told is not told again by the longer windows that it is part of.
    pub(super) fn close_episode(&mut self, grid: &Grid, at: i64) {
        let quiet = QUIET.max(i64::from(grid.step()));
        if self.is_open && at.saturating_sub(self.alarm_last) > quiet {
            self.is_open = false;
            self.windows.forgive();
            self.held = [0.0; 3];
        }
    }

    /// Whether an episode begins. One that was found by a brief window lasts for as long as brief
    /// windows find it.
    fn episode(&mut self, at: i64, score: f32, is_brief: bool) -> bool {
        if score < THRESHOLD {
            return false;
        }
        let begins = !self.is_open;
        if begins {
            self.is_open = true;
            self.is_brief = is_brief;
            self.alarm_since = at;
        }
        if is_brief || !self.is_brief {
            self.alarm_last = at;
        }
        begins
    }
}

/// The score of a part of what is enough for an alert: little is less than its part.
fn slow_score(part: f32) -> f32 {
    THRESHOLD * part * part.min(1.0)
}
