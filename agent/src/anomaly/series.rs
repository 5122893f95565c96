//! One series: what is known of it, and what one more step says about it.

mod judging;
mod learning;

use serde::{Deserialize, Serialize};

use self::learning::Found;
use super::{
    channel::{Channel, KINDS, Look},
    cohort::Cohort,
    drift::Drift,
    finding::Finding,
    grid::Grid,
    rate::Rate,
    streak::Streak,
    windows::{Completed, Sums, Windows},
};

/// Score from which on an alert is made.
pub const THRESHOLD: f32 = 3.75;
const DAY: i64 = 86_400;
/// What a step counts for at most, of any metric.
const MOST: f32 = 1e11;

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Calls,
    /// In any currency: what a call costs is found from the data.
    Cost,
}

/// One step of a series.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Begin, in seconds since 1970.
    pub at: i64,
    pub value: f32,
    /// Something was deployed or announced: what changes now is meant to.
    pub hint: bool,
}

/// What a step says.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// About `-log10` of how often so much happens by chance.
    pub score: f32,
    /// The first step of an episode over the threshold.
    pub alert: bool,
    pub finding: Finding,
}

/// All that is known of one series, in less than 704 octets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    rate: Rate,
    windows: Windows,
    channels: [Channel; 5],
    first: i64,
    hinted_until: i64,
    alarm_since: i64,
    alarm_last: i64,
    /// Of one call; 0 where nothing was seen yet.
    unit: f32,
    is_cost: bool,
    /// An episode has begun and is not over.
    is_open: bool,
    /// It was found by a window of up to an hour.
    is_brief: bool,
    /// What hardly anybody in the cohort exceeded in a step when the series began.
    busy: Option<f32>,
    /// Scores of the windows that are looked at now and then only.
    held: [f32; 3],
    /// Most in a step that raised no alarm.
    record: f32,
    steps: u32,
    drift: Drift,
    streak: Streak,
}

/// What is expected of a step.
#[derive(Clone, Copy)]
struct Expected {
    mean: f32,
    busy: f32,
}

impl Series {
    /// A series that begins now.
    #[must_use]
    pub fn new(at: i64, metric: Metric, cohort: &Cohort) -> Self {
        let is_cost = metric == Metric::Cost;
        Self {
            rate: Rate::UNKNOWN,
            windows: Windows::EMPTY,
            channels: KINDS.each_ref().map(Channel::new),
            first: at,
            hinted_until: i64::MIN,
            alarm_since: i64::MIN / 2,
            alarm_last: i64::MIN / 2,
            unit: if is_cost { 0.0 } else { 1.0 },
            is_cost,
            is_open: false,
            is_brief: false,
            busy: cohort.known(),
            held: [0.0; 3],
            record: 0.0,
            steps: 0,
            drift: Drift::NONE,
            streak: Streak::NONE,
        }
    }

    /// A value as the cohort of its metric is to learn it: calls, or money.
    #[must_use]
    pub const fn in_units(&self, value: f32) -> f32 {
        value
    }

    /// Takes one step into account. Infinite and negative values count as 0, those beyond 10^11 as
    /// that.
    pub fn update(&mut self, grid: &Grid, step: Step) -> Reading {
        let value = if step.value.is_finite() {
            step.value.clamp(0.0, MOST)
        } else {
            0.0
        };
        self.steps = self.steps.saturating_add(1);
        self.learn_unit(value);
        if step.hint {
            self.hinted_until = step.at.saturating_add(DAY);
        }
        self.close_episode(grid, step.at);
        let expected = self.expected(step.at);
        let now = Sums {
            observed: value,
            expected: expected.mean,
            burst: expected.mean * expected.busy,
        };
        let completed = self.windows.push(grid, now);
        if completed.short {
            let hours = f32::from(grid.short) * grid.step() as f32 / 3600.0;
            let is_active = self.windows.newest_short(grid) > 0.0;
            self.streak.learn(hours, is_active, self.days(step.at));
        }
        let looks = self.look(grid, now, expected, completed);
        let reading = self.judge(grid, step.at, &looks);
        let found = Found {
            at: step.at,
            observed: value,
            expected,
            looks: &looks,
            score: reading.score,
            completed,
        };
        self.learn(grid, &found);
        reading
    }

    /// Steps of which nothing is known: as if what was expected had come. Nothing is learnt.
    pub fn skip(&mut self, grid: &Grid, at: i64, steps: u32) {
        for index in 0..steps.min(24 * 60) {
            let expected = self.expected(at + i64::from(index) * i64::from(grid.step()));
            self.windows.push(
                grid,
                Sums {
                    observed: expected.mean,
                    expected: expected.mean,
                    burst: expected.mean * expected.busy,
                },
            );
        }
    }

    /// Whole days since the series began.
    fn days(&self, at: i64) -> u32 {
        u32::try_from(at.saturating_sub(self.first).max(0) / DAY).unwrap_or(u32::MAX)
    }

    /// Part of the first day that has passed, up to 1.
    fn first_day(&self, at: i64) -> f32 {
        at.saturating_sub(self.first).clamp(0, DAY) as f32 / DAY as f32
    }

    fn expected(&self, at: i64) -> Expected {
        let (mean, busy) = self.rate.expected(at);
        let assumed = (1.0 - self.first_day(at)) * self.busy();
        let mean = mean.max(assumed);
        Expected {
            mean,
            busy: busy.max(mean),
        }
    }

    /// What hardly anybody in the cohort exceeds in a step.
    fn busy(&self) -> f32 {
        self.busy.unwrap_or(Cohort::ASSUMED * self.unit)
    }

    fn look(
        &self,
        grid: &Grid,
        now: Sums,
        expected: Expected,
        completed: Completed,
    ) -> [Option<Look>; 5] {
        let short = f32::from(grid.short);
        let hour = short * f32::from(grid.long);
        let windows = &self.windows;
        let is_due = completed.short;
        let sums = [
            Some(busy(now, expected.busy)),
            (grid.short > 1).then(|| {
                let sums = windows.ten_minutes();
                busy(sums, sums.expected.max(short * expected.busy))
            }),
            (is_due && grid.long > 1).then(|| {
                let sums = windows.hour();
                busy(sums, sums.expected.max(per_expected(sums, hour)))
            }),
            is_due.then(|| bursty(windows.six_hours(), 6.0 * hour)),
            is_due.then(|| bursty(windows.day(), 24.0 * hour)),
        ];
        let mut looks = [None; 5];
        for (((look, sums), kind), channel) in
            looks.iter_mut().zip(sums).zip(&KINDS).zip(&self.channels)
        {
            *look = sums.map(|sums| channel.look(kind, sums.in_units(self.unit)));
        }
        looks
    }
}

/// Against what is usual in busy minutes.
fn busy(sums: Sums, expected: f32) -> Sums {
    Sums {
        expected,
        burst: expected,
        ..sums
    }
}

/// `burst` of a window of `steps`, per call that is expected.
fn per_expected(sums: Sums, steps: f32) -> f32 {
    if sums.expected > 0.0 {
        sums.burst / sums.expected * steps
    } else {
        0.0
    }
}

/// Calls come in bursts as long as the window.
fn bursty(sums: Sums, steps: f32) -> Sums {
    Sums {
        burst: per_expected(sums, steps).max(sums.expected),
        ..sums
    }
}

#[cfg(test)]
mod tests;
