//! How the steps of a series make up the windows that are looked at.

use std::num::NonZeroU32;

const MINUTE: u32 = 60;

/// The windows of a series, in steps: a step, ten minutes, an hour, six hours, a day.
///
/// With a step that does not divide ten minutes or an hour, the windows are about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    step: NonZeroU32,
    /// Steps in a short slot, of about ten minutes; 1 to 10.
    pub(super) short: u8,
    /// Short slots in a long slot, of about an hour; 1 to 6.
    pub(super) long: u8,
}

impl Grid {
    /// A step of a minute, as the agent counts.
    pub const MINUTES: Self = Self {
        step: NonZeroU32::new(MINUTE).expect("not zero"),
        short: 10,
        long: 6,
    };

    /// `step` in seconds.
    #[must_use]
    pub fn new(step: NonZeroU32) -> Self {
        let seconds = step.get();
        let short = rounded(10 * MINUTE, seconds).clamp(1, 10);
        let slot = seconds.saturating_mul(short);
        let long = rounded(60 * MINUTE, slot).clamp(1, 6);
        Self {
            step,
            short: u8::try_from(short).unwrap_or(1),
            long: u8::try_from(long).unwrap_or(1),
        }
    }

    /// Seconds.
    #[must_use]
    pub const fn step(&self) -> u32 {
        self.step.get()
    }
}

const fn rounded(length: u32, step: u32) -> u32 {
    length.saturating_add(step / 2) / step
}
