//! Random numbers that are the same everywhere and for ever, and the distributions of calls.

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64, series: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ series.wrapping_mul(0x9E6C_63D0_876A_9A47))
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, below 1.
    pub(super) fn part(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    pub(super) fn chance(&mut self, part: f64) -> bool {
        self.part() < part
    }

    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.part()
    }

    /// As many below the geometric mean as above.
    pub(super) fn scale(&mut self, least: f64, most: f64) -> f64 {
        self.between(least.ln(), most.ln()).exp()
    }

    pub(super) fn minutes(&mut self, least: u32, most: u32) -> u32 {
        self.between(f64::from(least), f64::from(most)) as u32
    }

    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.part().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.part()).cos()
    }

    /// A gamma variable of mean 1 (Wilson and Hilferty's cube, which is near enough here).
    pub(super) fn about_one(&mut self, shape: f64) -> f64 {
        let ninth = 1.0 / (9.0 * shape);
        (1.0 - ninth + ninth.sqrt() * self.normal())
            .max(0.0)
            .powi(3)
    }

    /// A Poisson variable.
    pub(super) fn count(&mut self, mean: f64) -> f64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let limit = (-mean).exp();
        let mut product = self.part();
        let mut count = 0.0;
        while product > limit {
            product *= self.part();
            count += 1.0;
        }
        count
    }
}
