//! A number of 16 bits, so that what is known of a series fits into a few cache lines.

use serde::{Deserialize, Serialize};

/// A number from 2^-26 to 2^37, to a part in 2,000: six bits of exponent, ten of mantissa. What is
/// less is zero, what is more is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Short(u16);

impl Short {
    pub(super) const ZERO: Self = Self(0);
    /// Bits of an `f32`'s mantissa that are given up.
    const CUT: u32 = 13;
    /// What the exponent of an `f32` has more.
    const BIAS: u32 = 100 << 10;

    pub(super) const fn new(value: f32) -> Self {
        // Nothing negative, and no NaN, has a greater pattern than the greatest number.
        if value.is_nan() || value <= 0.0 {
            return Self::ZERO;
        }
        let rounded = (value.to_bits() + (1 << (Self::CUT - 1))) >> Self::CUT;
        let code = rounded.saturating_sub(Self::BIAS);
        Self(if code > u16::MAX as u32 {
            u16::MAX
        } else {
            code as u16
        })
    }

    pub(super) const fn get(self) -> f32 {
        if self.0 == 0 {
            return 0.0;
        }
        f32::from_bits((self.0 as u32 + Self::BIAS) << Self::CUT)
    }
}
