//! Slow changes: hour by hour a little more than expected, which no window finds by itself.

use serde::{Deserialize, Serialize};

/// Part by which a rate rises that is looked for, as a logarithm; more where hours differ more.
const LEAST_RISE: f32 = 0.26;
/// Evidence, as a logarithm of odds, that makes an alert.
const ENOUGH: f32 = 8.0;
/// Evidence of one hour at most: no single burst is a slow change.
const MOST: f32 = 1.2;
/// Evidence beyond what is enough that is kept, so that an end is noticed soon.
const KEPT: f32 = 3.0;
/// Variance of an hour's logarithm that is assumed before anything is known.
const VARIANCE: f32 = 0.15;
const LEAST_VARIANCE: f32 = 0.01;
/// How fast variance and centre follow, an hour.
const VARIANCE_PACE: f32 = 0.02;
const CENTRE_PACE: f32 = 0.01;
/// What one hour counts for at most, and how far the centre goes: a profile that is further off is
/// wrong, and learnt anew.
const MOST_CHANGE: f32 = 0.3;
const MOST_CENTRE: f32 = 0.1;
/// How like hours are to the hours before: assumed, and at most.
const LIKENESS: f32 = 0.3;
const MOST_LIKENESS: f32 = 0.9;
const LIKENESS_PACE: f32 = 0.006;
/// A deviation counts as so many standard deviations at most.
const MOST_DEVIATION: f32 = 2.5;
/// Of a squared deviation, what counts at most, in variances.
const WINSOR: f32 = 6.0;

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Drift {
    /// Logarithm of the odds that the rate has risen.
    evidence: f32,
    /// Mean of the logarithm of observed by expected.
    centre: f32,
    variance: f32,
    /// Deviation of the hour before, in standard deviations.
    last: f32,
    /// Mean product of such deviations of one hour and the next.
    likeness: f32,
}

/// One hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hour {
    pub(super) observed: f32,
    pub(super) expected: f32,
    /// What is expected of an hour in the mean of all.
    pub(super) level: f32,
    /// Days that the expectation comes from.
    pub(super) days: f32,
}

impl Drift {
    pub(super) const NONE: Self = Self {
        evidence: 0.0,
        centre: 0.0,
        variance: VARIANCE,
        last: 0.0,
        likeness: LIKENESS,
    };

    /// From 0 to 1, which is enough for an alert, and a little more.
    pub(super) fn part(&self) -> f32 {
        self.evidence / ENOUGH
    }

    pub(super) fn forget(&mut self) {
        self.evidence = 0.0;
    }

    /// `few` is added to both sides, so that few calls are no evidence; `is_told`: the hour is part
    /// of an alarm for another reason.
    pub(super) fn learn(&mut self, hour: Hour, few: f32, is_told: bool) {
        if few <= 0.0 {
            return;
        }
        let Hour {
            observed,
            expected,
            level,
            days,
        } = hour;
        let change = ((observed + few) / (expected + few)).ln() - self.centre;
        // Quiet hours say less, and so does an expectation from few days.
        let factor = 0.5 * (1.0 + (level + few) / (expected + few)) * (1.0 + 1.0 / days.max(1.0));
        let variance = self.variance * factor;
        // Hours that are alike are evidence of less.
        let alike = (1.0 + self.likeness) / (1.0 - self.likeness);
        let deviation = (change / variance.sqrt()).clamp(-MOST_DEVIATION, MOST_DEVIATION);
        self.likeness += LIKENESS_PACE * (deviation * self.last - self.likeness);
        self.likeness = self.likeness.clamp(0.0, MOST_LIKENESS);
        self.last = deviation;
        let variance = variance * alike;
        let rise = variance.sqrt().max(LEAST_RISE);
        let evidence = rise / variance * (change - 0.5 * rise);
        if !is_told {
            self.evidence = (self.evidence + evidence.min(MOST)).clamp(0.0, ENOUGH + KEPT);
        }
        let square = (change * change / factor).min(WINSOR * self.variance);
        self.variance += VARIANCE_PACE * (square - self.variance);
        self.variance = self.variance.max(LEAST_VARIANCE);
        let centre = self.centre + CENTRE_PACE * change.clamp(-MOST_CHANGE, MOST_CHANGE);
        self.centre = centre.clamp(-MOST_CENTRE, MOST_CENTRE);
    }
}
