//! One window's measure of surprise: how far from what is expected, and how rare is that here.

use serde::{Deserialize, Serialize};

use super::windows::Sums;

/// Constants of one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Of the score: short windows are looked at more often.
    pub(super) weight: f32,
    /// Mean excess over the quantile that is assumed before anything is known.
    pub(super) tail: f32,
    /// Calls beyond what is expected that are worth an alert.
    pub(super) impact: f32,
    /// Times what is expected.
    pub(super) ratio: f32,
    /// Spread that is assumed before anything is known, and how fast it follows, per look.
    pub(super) spread: f32,
    pub(super) spread_pace: f32,
    /// How fast quantile and tail follow, per look.
    pub(super) pace: f32,
    /// Nothing is learnt of a window without a call: bursts are measured by bursts.
    pub(super) skips_breaks: bool,
}

/// Of each window, from a step to a day.
pub(super) const KINDS: [Kind; 5] = [
    Kind {
        weight: 0.86,
        tail: 0.7,
        impact: 10.0,
        ratio: 1.25,
        spread: 0.3,
        spread_pace: 0.01,
        pace: 0.04,
        skips_breaks: true,
    },
    Kind {
        weight: 0.82,
        tail: 0.7,
        impact: 20.0,
        ratio: 1.25,
        spread: 0.2,
        spread_pace: 0.005,
        pace: 0.016,
        skips_breaks: true,
    },
    Kind {
        weight: 0.85,
        tail: 0.6,
        impact: 40.0,
        ratio: 1.25,
        spread: 0.1,
        spread_pace: 0.015,
        pace: 0.04,
        skips_breaks: false,
    },
    Kind {
        weight: 0.97,
        tail: 0.45,
        impact: 120.0,
        ratio: 1.25,
        spread: 0.05,
        spread_pace: 0.005,
        pace: 0.012,
        skips_breaks: false,
    },
    Kind {
        weight: 0.97,
        tail: 0.35,
        impact: 240.0,
        ratio: 1.15,
        spread: 0.03,
        spread_pace: 0.0025,
        pace: 0.006,
        skips_breaks: false,
    },
];

/// The quantile that the tail begins at.
const QUANTILE: f32 = 0.98;
/// What `-log10` is at the quantile.
const AT_QUANTILE: f32 = 1.7;
const LEAST_TAIL: f32 = 0.25;
const LEAST_QUANTILE: f32 = 1.5;
/// What one look adds to the mean excess at most, in means.
const WINSOR: f32 = 3.0;
/// What is learnt of one step at most, in standard deviations above what is expected.
const CAP: f32 = 8.0;
/// How much heavier than exponential a tail is.
const HEAVINESS: f32 = 0.1;
/// The score of what is not worth an alert, at most.
const BENEATH: f32 = 1.5;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Channel {
    /// Variance beyond that of independent calls, as a part of the square of the mean.
    spread: f32,
    /// The value that 98 % stay below.
    quantile: f32,
    /// Mean excess over it.
    tail: f32,
}

/// What one window looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Look {
    pub(super) sums: Sums,
    pub(super) statistic: f32,
    pub(super) score: f32,
}

impl Channel {
    pub(super) const fn new(kind: &Kind) -> Self {
        Self {
            spread: kind.spread,
            quantile: 2.0,
            tail: kind.tail,
        }
    }

    /// `sums` in units of one call.
    pub(super) fn look(&self, kind: &Kind, sums: Sums) -> Look {
        let Sums {
            observed, expected, ..
        } = sums;
        let statistic = ((observed + 0.375).sqrt() - (expected + 0.375).sqrt())
            / (0.5 * (1.0 + self.spread * sums.burst).sqrt());
        let rarity = AT_QUANTILE + rarer((statistic - self.quantile) / self.tail);
        let is_worth = observed - expected >= kind.impact && observed >= kind.ratio * expected;
        let score = kind.weight * rarity;
        Look {
            sums,
            statistic,
            score: if is_worth { score } else { score.min(BENEATH) },
        }
    }

    pub(super) fn learn(&mut self, kind: &Kind, look: &Look) {
        let Sums {
            observed,
            expected,
            burst,
        } = look.sums;
        if observed <= 0.0 && kind.skips_breaks {
            return;
        }
        let variance = expected * (1.0 + self.spread * burst);
        let is_far = (observed - expected).abs() > 0.6745 * variance.sqrt();
        let step = if is_far {
            kind.spread_pace
        } else {
            -kind.spread_pace
        };
        self.spread = (self.spread * (1.0 + step)).clamp(1e-4, 30.0);
        let excess = look.statistic - self.quantile;
        let pace = kind.pace;
        if excess > 0.0 {
            self.quantile += pace * QUANTILE;
            self.tail += pace * (excess.min(WINSOR * self.tail) - self.tail);
            self.tail = self.tail.max(LEAST_TAIL);
        } else {
            self.quantile = (self.quantile - pace * (1.0 - QUANTILE)).max(LEAST_QUANTILE);
        }
    }

    /// What 98 % of windows with this expectation stay below.
    pub(super) fn usual_limit(&self, sums: Sums) -> f32 {
        let spread = (1.0 + self.spread * sums.burst).sqrt();
        let root = (sums.expected + 0.375).sqrt() + self.quantile * 0.5 * spread;
        root * root - 0.375
    }

    /// What is learnt of one step at most.
    pub(super) fn cap(&self, expected: f32) -> f32 {
        expected + CAP * (expected * (1.0 + self.spread * expected)).sqrt().max(1.0)
    }
}

/// `-log10` of how rare an excess of so many means is beyond the quantile.
fn rarer(excess: f32) -> f32 {
    let excess = if excess > 0.0 {
        (HEAVINESS * excess).ln_1p() / HEAVINESS
    } else {
        excess
    };
    excess / std::f32::consts::LN_10
}
