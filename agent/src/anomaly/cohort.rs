//! What is usual among all series of a metric: all that is known of a newcomer.

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

/// Busy steps of all series, in a histogram with four bins to an octave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    #[serde(with = "BigArray")]
    bins: [u32; Self::BINS],
    total: u32,
}

impl Cohort {
    const BINS: usize = 160;
    /// Of busy steps that stay below the limit.
    const PART: f32 = 0.99;
    /// Steps without which nothing is said.
    const LEAST: u32 = 5_000;
    /// Assumed until then, in calls a step.
    pub(super) const ASSUMED: f32 = 100.0;

    #[must_use]
    pub const fn new() -> Self {
        Self {
            bins: [0; Self::BINS],
            total: 0,
        }
    }

    /// Adds a step of some series, in units of one call.
    pub fn learn(&mut self, value: f32) {
        if value <= 0.0 {
            return;
        }
        let bin = (value.log2() * 4.0 + 40.0).clamp(0.0, 159.0) as usize;
        if let Some(count) = self.bins.get_mut(bin) {
            *count = count.saturating_add(1);
            self.total = self.total.saturating_add(1);
        }
    }

    /// What 99 % of busy steps stay below.
    #[must_use]
    pub fn busy(&self) -> f32 {
        self.known().unwrap_or(Self::ASSUMED)
    }

    /// What 99 % of busy steps stay below, if enough were seen.
    pub(super) fn known(&self) -> Option<f32> {
        if self.total < Self::LEAST {
            return None;
        }
        let wanted = (self.total as f32 * Self::PART) as u32;
        let mut sum = 0_u32;
        for (bin, count) in self.bins.iter().enumerate() {
            sum = sum.saturating_add(*count);
            if sum >= wanted {
                return Some(((bin as f32 + 1.0 - 40.0) / 4.0).exp2());
            }
        }
        None
    }
}

impl Default for Cohort {
    fn default() -> Self {
        Self::new()
    }
}
