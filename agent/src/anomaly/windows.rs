//! What was observed and what was expected, over windows from a step to a day.

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

use super::{grid::Grid, short::Short};

/// Sums of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) observed: f32,
    pub(super) expected: f32,
    /// Of the products of what is expected and what is usual in busy minutes of the hour.
    pub(super) burst: f32,
}

impl Sums {
    /// Amounts in units of so much.
    pub(super) fn in_units(self, unit: f32) -> Self {
        self.times(1.0 / unit.max(f32::MIN_POSITIVE))
    }

    pub(super) fn times(self, factor: f32) -> Self {
        Self {
            observed: self.observed * factor,
            expected: self.expected * factor,
            burst: self.burst * factor * factor,
        }
    }

    fn add(self, other: Self) -> Self {
        Self {
            observed: self.observed + other.observed,
            expected: self.expected + other.expected,
            burst: self.burst + other.burst,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Ring<const N: usize> {
    #[serde(with = "BigArray")]
    observed: [Short; N],
    #[serde(with = "BigArray")]
    expected: [Short; N],
    #[serde(with = "BigArray")]
    burst: [Short; N],
}

impl<const N: usize> Ring<N> {
    const EMPTY: Self = Self {
        observed: [Short::ZERO; N],
        expected: [Short::ZERO; N],
        burst: [Short::ZERO; N],
    };

    fn set(&mut self, index: usize, sums: Sums) {
        let set = |slots: &mut [Short; N], value| {
            if let Some(slot) = slots.get_mut(index) {
                *slot = Short::new(value);
            }
        };
        set(&mut self.observed, sums.observed);
        set(&mut self.expected, sums.expected);
        set(&mut self.burst, sums.burst);
    }

    /// What is more than expected was as expected.
    fn forgive(&mut self) {
        for (observed, expected) in self.observed.iter_mut().zip(&self.expected) {
            if observed.get() > expected.get() {
                *observed = *expected;
            }
        }
    }

    fn sum(&self) -> Sums {
        self.sum_of(|_| true)
    }

    /// Of the `count` slots that were set last, the newest of them at `newest`.
    fn last(&self, newest: usize, count: usize) -> Sums {
        self.sum_of(|index| (newest + N - index) % N < count)
    }

    fn sum_of(&self, is_wanted: impl Fn(usize) -> bool) -> Sums {
        let sum = |slots: &[Short; N]| {
            let wanted = slots
                .iter()
                .enumerate()
                .filter(|(index, _)| is_wanted(*index));
            wanted.map(|(_, slot)| slot.get()).sum()
        };
        Sums {
            observed: sum(&self.observed),
            expected: sum(&self.expected),
            burst: sum(&self.burst),
        }
    }
}

/// What a step has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Completed {
    pub(super) short: bool,
    pub(super) long: bool,
}

/// Sums in a cascade: each level's full slot becomes one slot of the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Windows {
    steps: Ring<10>,
    shorts: Ring<6>,
    longs: Ring<24>,
    /// Of the short and of the long slot that are not full yet.
    short: Sums,
    long: Sums,
    next: [u8; 3],
}

impl Windows {
    pub(super) const EMPTY: Self = Self {
        steps: Ring::EMPTY,
        shorts: Ring::EMPTY,
        longs: Ring::EMPTY,
        short: Sums {
            observed: 0.0,
            expected: 0.0,
            burst: 0.0,
        },
        long: Sums {
            observed: 0.0,
            expected: 0.0,
            burst: 0.0,
        },
        next: [0; 3],
    };

    pub(super) fn push(&mut self, grid: &Grid, sums: Sums) -> Completed {
        let [step, short, long] = &mut self.next;
        self.steps.set(usize::from(*step), sums);
        self.short = self.short.add(sums);
        *step += 1;
        let mut completed = Completed {
            short: *step >= grid.short,
            long: false,
        };
        if completed.short {
            *step = 0;
            self.shorts.set(usize::from(*short), self.short);
            self.long = self.long.add(self.short);
            self.short = Sums::default();
            *short += 1;
            completed.long = *short >= grid.long;
        }
        if completed.long {
            *short = 0;
            self.longs.set(usize::from(*long), self.long);
            self.long = Sums::default();
            *long = (*long + 1) % 24;
        }
        completed
    }

    /// What is more than expected was as expected, in all windows.
    pub(super) fn forgive(&mut self) {
        self.shorts.forgive();
        self.longs.forgive();
        for sums in [&mut self.short, &mut self.long] {
            sums.observed = sums.observed.min(sums.expected);
        }
    }

    /// Of the last ten minutes.
    pub(super) fn ten_minutes(&self) -> Sums {
        self.steps.sum()
    }

    /// Observed in the short slot that was completed last.
    pub(super) fn newest_short(&self, grid: &Grid) -> f32 {
        let slots = usize::from(grid.long).max(1);
        let newest = (usize::from(self.next[1]) + slots - 1) % slots;
        self.shorts.last(newest, 1).observed
    }

    /// Of the last hour; to be asked for when a short slot is complete.
    pub(super) fn hour(&self) -> Sums {
        self.shorts.sum()
    }

    /// Of at least six hours, and less than seven.
    pub(super) fn six_hours(&self) -> Sums {
        let newest = (usize::from(self.next[2]) + 23) % 24;
        self.longs.last(newest, 6).add(self.long)
    }

    /// Of at least a day, and less than an hour more.
    pub(super) fn day(&self) -> Sums {
        self.longs.sum().add(self.long)
    }
}
