//! One series: what is known of it, and what one more step says about it.

use serde::{Deserialize, Serialize};

use super::{
    channel::{Channel, KINDS, Look},
    cohort::Cohort,
    finding::{Finding, Window},
    grid::Grid,
    rate::Rate,
    windows::{Completed, Sums, Windows},
};

/// Score from which on an alert is made.
pub const THRESHOLD: f32 = 3.75;
/// Score from which on nothing is learnt.
const FREEZE: f32 = 6.0;
/// Of a score within a day of a hint.
const HINTED: f32 = 0.75;
/// The score of a newcomer that is as busy as hardly anybody in the cohort.
const NEWCOMER: f32 = 3.5;
const DAY: i64 = 86_400;
/// An episode that was quiet for so long is over.
const QUIET: i64 = 30 * 60;
/// An episode that lasts so long is the new normal.
const ADOPTED: i64 = 12 * 3600;

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
    /// What hardly anybody in the cohort exceeded when the series began, in units a step.
    busy: f32,
    /// Scores of the windows that are looked at now and then only.
    held: [f32; 3],
    /// Most in a step that raised no alarm, in units.
    record: f32,
    steps: u32,
}

/// What is expected of a step, in units.
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
            busy: cohort.busy(),
            held: [0.0; 3],
            record: 0.0,
            steps: 0,
        }
    }

    /// A value in units of one call, as far as that is known.
    #[must_use]
    pub fn in_units(&self, value: f32) -> f32 {
        value / self.unit.max(f32::MIN_POSITIVE)
    }

    /// Takes one step into account. Infinite and negative values count as 0.
    pub fn update(&mut self, grid: &Grid, step: Step) -> Reading {
        let value = if step.value.is_finite() {
            step.value.max(0.0)
        } else {
            0.0
        };
        self.steps = self.steps.saturating_add(1);
        self.learn_unit(value);
        if step.hint {
            self.hinted_until = step.at.saturating_add(DAY);
        }
        let observed = if self.unit > 0.0 {
            self.in_units(value)
        } else {
            0.0
        };
        let expected = self.expected(step.at);
        let now = Sums {
            observed,
            expected: expected.mean,
            burst: expected.mean * expected.busy,
        };
        let completed = self.windows.push(grid, now);
        let looks = self.look(grid, now, expected, completed);
        let reading = self.judge(grid, step.at, &looks);
        self.learn(
            grid,
            step.at,
            observed,
            expected,
            &looks,
            reading.score,
            completed,
        );
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

    /// Part of the first day that has passed, up to 1.
    fn first_day(&self, at: i64) -> f32 {
        at.saturating_sub(self.first).clamp(0, DAY) as f32 / DAY as f32
    }

    fn expected(&self, at: i64) -> Expected {
        let (mean, busy) = self.rate.expected(at);
        let assumed = (1.0 - self.first_day(at)) * self.busy;
        let mean = mean.max(assumed);
        Expected {
            mean,
            busy: busy.max(mean),
        }
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
            *look = sums.map(|sums| channel.look(kind, sums));
        }
        looks
    }

    fn judge(&mut self, grid: &Grid, at: i64, looks: &[Option<Look>; 5]) -> Reading {
        let mut score = 0.0;
        let mut window = Window::Step;
        let mut best = Look::default();
        for (index, (name, look)) in Window::ALL.into_iter().zip(looks).enumerate() {
            let held = index
                .checked_sub(2)
                .and_then(|index| self.held.get_mut(index));
            if let (Some(held), Some(look)) = (held, look) {
                *held = look.score;
            }
            if let Some(look) = look.filter(|look| look.score > score) {
                (score, window, best) = (look.score, name, look);
            }
        }
        score = self.held.iter().copied().fold(score, f32::max);
        if let Some(newcomer) = self.newcomer(grid, at).filter(|newcomer| *newcomer > score) {
            (score, window) = (newcomer, Window::FirstDay);
            best.sums = Sums {
                expected: self.busy * f32::from(grid.short),
                ..self.windows.ten_minutes()
            };
        }
        if at < self.hinted_until {
            score *= HINTED;
        }
        let alert = self.episode(at, score);
        Reading {
            score,
            alert,
            finding: self.finding(at, window, best.sums),
        }
    }

    fn finding(&self, at: i64, window: Window, sums: Sums) -> Finding {
        Finding {
            window,
            observed: sums.observed * self.unit,
            expected: sums.expected * self.unit,
            limit: self.limit(window, sums) * self.unit,
            record: self.record * self.unit,
            days: u32::try_from((at - self.first).max(0) / DAY).unwrap_or(u32::MAX),
        }
    }

    fn limit(&self, window: Window, sums: Sums) -> f32 {
        let channel = Window::ALL.iter().position(|other| *other == window);
        let channel = channel.and_then(|index| self.channels.get(index));
        channel.map_or(sums.expected, |channel| channel.usual_limit(sums))
    }

    /// On the first day there is no history: as busy as hardly anybody is a finding by itself.
    fn newcomer(&self, grid: &Grid, at: i64) -> Option<f32> {
        if self.first_day(at) >= 1.0 || self.busy <= 0.0 {
            return None;
        }
        let rate = self.windows.ten_minutes().observed / f32::from(grid.short);
        let times = rate / self.busy;
        (times > 0.3).then(|| NEWCOMER + times.log2())
    }

    /// Whether an episode begins.
    fn episode(&mut self, at: i64, score: f32) -> bool {
        if score < THRESHOLD {
            return false;
        }
        let begins = at.saturating_sub(self.alarm_last) > QUIET;
        if begins {
            self.alarm_since = at;
        }
        self.alarm_last = at;
        begins
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what one step has found, each used once"
    )]
    fn learn(
        &mut self,
        grid: &Grid,
        at: i64,
        observed: f32,
        expected: Expected,
        looks: &[Option<Look>; 5],
        score: f32,
        completed: Completed,
    ) {
        let is_alarming = score >= THRESHOLD;
        let is_adopted = is_alarming && at.saturating_sub(self.alarm_since) > ADOPTED;
        if score < FREEZE {
            for ((channel, kind), look) in self.channels.iter_mut().zip(&KINDS).zip(looks) {
                if let Some(look) = look {
                    channel.learn(kind, look);
                }
            }
        }
        let ten = self.windows.ten_minutes().observed / f32::from(grid.short);
        let (most, ten) = if is_alarming && !is_adopted {
            (expected.mean, ten.min(expected.busy))
        } else {
            let cap = self
                .channels
                .first()
                .map_or(expected.busy, |channel| channel.cap(expected.busy));
            self.record = self.record.max(observed.min(cap));
            (cap, ten)
        };
        let factor = (1.0 / self.steps as f32).max(grid.step() as f32 / (2 * DAY) as f32);
        self.rate
            .learn(at, observed.min(most), ten, factor.min(1.0));
        if completed.long && self.first_day(at) >= 1.0 && (!is_alarming || is_adopted) {
            self.follow(at < self.hinted_until, is_adopted);
        }
    }

    /// Moves the whole profile towards what was observed: fast if that is meant or lasts.
    fn follow(&mut self, is_hinted: bool, is_adopted: bool) {
        let (sums, gain) = if is_hinted {
            (self.windows.hour(), 0.3)
        } else if is_adopted {
            (self.windows.six_hours(), 0.3)
        } else {
            (self.windows.day(), 0.02)
        };
        let change = ((sums.observed + 5.0) / (sums.expected + 5.0)).ln();
        self.rate.shift = (self.rate.shift + gain * change.clamp(-1.0, 1.0)).clamp(-4.0, 4.0);
    }

    /// The unit of a cost is what a fifth of the busy steps stay below.
    fn learn_unit(&mut self, value: f32) {
        if !self.is_cost || value <= 0.0 {
            return;
        }
        if self.unit <= 0.0 {
            self.unit = value;
            return;
        }
        let pace = (100.0 / (20.0 + self.steps as f32)).clamp(0.005, 0.2);
        self.unit *= if value < self.unit {
            1.0 - 0.8 * pace
        } else {
            1.0 + 0.2 * pace
        };
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
