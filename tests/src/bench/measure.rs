//! Rounds, medians and paired differences.

use std::time::Instant;

use serde::Serialize;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    pub samples: usize,
    /// Calls within one reading of the clock.
    pub calls_per_sample: usize,
}

/// One variant compared with the baseline of the same rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub variant: String,
    /// Median time of one call in ns.
    pub median_ns: f64,
    /// Median over rounds of (variant − baseline) in ns.
    pub added_ns: f64,
    /// Quartiles of the same difference.
    pub added_ns_quartiles: (f64, f64),
    /// Median over rounds of variant / baseline.
    pub ratio: f64,
}

/// How single values spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Distribution {
    pub n: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Distribution {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            n: values.len(),
            p50: quantile(&values, 0.5),
            p99: quantile(&values, 0.99),
            max: quantile(&values, 1.0),
        }
    }
}

/// Median time of one call of `call` in ns.
pub fn block(effort: &Effort, mut call: impl FnMut()) -> f64 {
    block_timed(effort, || {
        let start = Instant::now();
        for _ in 0..effort.calls_per_sample {
            call();
        }
        start.elapsed().as_nanos() as f64 / effort.calls_per_sample as f64
    })
}

/// Median of what `sample` says that one call took, in ns.
pub fn block_timed(effort: &Effort, mut sample: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<f64> = (0..effort.samples).map(|_| sample()).collect();
    median(&mut times)
}

/// Compares every variant with the first one. `rounds[r][v]` is the time of variant `v` in round
/// `r`.
pub fn compare(names: &[&str], rounds: &[Vec<f64>]) -> Vec<Comparison> {
    let column = |of: &dyn Fn(&Vec<f64>) -> Option<f64>| -> Vec<f64> {
        let mut values: Vec<f64> = rounds.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let mut times = column(&|round| round.get(index).copied());
            let added = column(&|round| Some(round.get(index)? - round.first()?));
            let mut ratios = column(&|round| Some(round.get(index)? / round.first()?));
            Comparison {
                variant: (*name).to_owned(),
                median_ns: median(&mut times),
                added_ns: quantile(&added, 0.5),
                added_ns_quartiles: (quantile(&added, 0.25), quantile(&added, 0.75)),
                ratio: median(&mut ratios),
            }
        })
        .collect()
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// Of sorted values; 0 of none.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted
        .get((last * part).round() as usize)
        .copied()
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_compared_with_the_baseline_of_its_own_round() {
        // The machine was twice as slow in the second round.
        let rounds = [vec![100.0, 110.0], vec![200.0, 220.0], vec![100.0, 110.0]];
        let compared = compare(&["base", "variant"], &rounds);
        assert_eq!(compared[1].added_ns, 10.0);
        assert!((compared[1].ratio - 1.1).abs() < 1e-9);
        assert_eq!(compared[0].ratio, 1.0);
    }
}
