//! The rate that is expected at a time of the day, learnt from the days before.

use serde::{Deserialize, Serialize};

use super::{drift::Hour, short::Short};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// The first day of 1970 was a Thursday.
const THURSDAY: i64 = 4;

/// Of each hour, on days of one kind: half of what is known is as old as ten such days.
const HOUR_FACTOR: f32 = 0.07;
/// What a missing profile counts for, in days.
const PRIOR_DAYS: f32 = 0.35;
/// Nothing is impossible at any hour: this part of the mean is expected always.
const FLOOR: f32 = 0.05;
/// How fast the busy rate rises; it falls as slowly as all is forgotten.
const RISE: f32 = 0.3;

/// One hour, on working days or at weekends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    kind: usize,
    hour: usize,
}

impl Bucket {
    fn at(seconds: i64) -> Self {
        let day = (seconds.div_euclid(DAY) + THURSDAY).rem_euclid(7);
        Self {
            kind: usize::from(day == 0 || day == 6),
            hour: usize::try_from(seconds.rem_euclid(DAY) / HOUR).unwrap_or(0),
        }
    }
}

/// Means by hour, for working days and weekends, in values a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    hours: [[Short; 24]; 2],
    busy: [[Short; 24]; 2],
    days: [[u8; 24]; 2],
    /// Logarithm of how much higher the whole profile has become.
    pub(super) shift: f32,
    /// Mean over all hours, of about the last day.
    pub(super) level: f32,
    sum: f32,
    /// Of the present hour: the most in ten minutes, per step.
    peak: f32,
    count: u32,
    hour: i32,
}

impl Rate {
    pub(super) const UNKNOWN: Self = Self {
        hours: [[Short::ZERO; 24]; 2],
        busy: [[Short::ZERO; 24]; 2],
        peak: 0.0,
        days: [[0; 24]; 2],
        shift: 0.0,
        level: 0.0,
        sum: 0.0,
        count: 0,
        hour: i32::MIN,
    };

    /// What is expected of one step, between the centres of two hours; and in busy minutes.
    pub(super) fn expected(&self, seconds: i64) -> (f32, f32) {
        let from_centre = seconds - HOUR / 2;
        let part = from_centre.rem_euclid(HOUR) as f32 / HOUR as f32;
        let before = self.hour_of(Bucket::at(from_centre));
        let after = self.hour_of(Bucket::at(from_centre + HOUR));
        let mean = before.0 + (after.0 - before.0) * part;
        let shift = self.shift.exp();
        let mean = mean * shift + FLOOR * self.level;
        (mean, (before.1.max(after.1) * shift).max(mean))
    }

    /// Whether this hour was seen before on a day of this kind.
    pub(super) fn is_known(&self, seconds: i64) -> bool {
        let Bucket { kind, hour } = Bucket::at(seconds);
        let days = self.days.get(kind).and_then(|days| days.get(hour));
        days.is_some_and(|days| *days > 0)
    }

    fn hour_of(&self, Bucket { kind, hour }: Bucket) -> (f32, f32) {
        let of = |kind: usize| {
            let mean = self.hours.get(kind)?.get(hour)?.get();
            let busy = self.busy.get(kind)?.get(hour)?.get();
            Some((mean, busy, f32::from(*self.days.get(kind)?.get(hour)?)))
        };
        let (own, busy, days) = of(kind).unwrap_or_default();
        let (other, other_busy, other_days) = of(1 - kind).unwrap_or_default();
        let fallback = if other_days > 0.0 {
            (other * other_days + self.level * PRIOR_DAYS) / (other_days + PRIOR_DAYS)
        } else {
            self.level
        };
        let mean = (own * days + fallback * PRIOR_DAYS) / (days + PRIOR_DAYS);
        (
            mean,
            if days > 1.0 {
                busy
            } else {
                busy.max(other_busy)
            },
        )
    }

    /// Takes a step's value into account: `level_factor` is the weight of the value in the mean,
    /// `ten` the mean of the last ten minutes.
    pub(super) fn learn(
        &mut self,
        seconds: i64,
        value: f32,
        ten: f32,
        level_factor: f32,
    ) -> Option<Hour> {
        self.level += level_factor * (value - self.level);
        let hour = i32::try_from(seconds.div_euclid(HOUR)).unwrap_or(i32::MAX);
        let mut closed = None;
        if hour != self.hour {
            closed = self.close_hour();
            self.hour = hour;
        }
        self.sum += value;
        self.peak = self.peak.max(ten);
        self.count += 1;
        closed
    }

    /// What the hour was like that is over, if anything is known of it.
    fn close_hour(&mut self) -> Option<Hour> {
        let mut closed = None;
        if self.count > 0 {
            let shift = (-self.shift).exp();
            let mean = self.sum / self.count as f32 * shift;
            let peak = self.peak * shift;
            let Bucket { kind, hour } = Bucket::at(i64::from(self.hour) * HOUR);
            let bucket = self
                .hours
                .get_mut(kind)
                .and_then(|hours| hours.get_mut(hour));
            let busy = self
                .busy
                .get_mut(kind)
                .and_then(|hours| hours.get_mut(hour));
            let days = self.days.get_mut(kind).and_then(|days| days.get_mut(hour));
            if let (Some(bucket), Some(busy), Some(days)) = (bucket, busy, days) {
                *days = days.saturating_add(1);
                let factor = (1.0 / f32::from(*days)).max(HOUR_FACTOR);
                let former = bucket.get();
                if *days > 1 {
                    let steps = self.count as f32;
                    closed = Some(Hour {
                        observed: self.sum,
                        expected: former * steps / shift,
                        level: self.level * steps,
                        days: f32::from(*days - 1),
                    });
                }
                *bucket = Short::new(former + factor * (mean - former));
                let former = busy.get();
                let factor = if peak > former {
                    factor.max(RISE)
                } else {
                    HOUR_FACTOR
                };
                *busy = Short::new(former + factor * (peak - former));
            }
        }
        self.sum = 0.0;
        self.peak = 0.0;
        self.count = 0;
        closed
    }
}
