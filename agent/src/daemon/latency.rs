//! How long new cgroups waited for their names.

use std::collections::VecDeque;

const KEPT: usize = 4_096;

/// The newest measurements.
#[derive(Debug, Default)]
pub(super) struct Latency {
    newest_ns: VecDeque<u64>,
    count: u64,
}

/// Over the newest 4,096 cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyView {
    /// Of all.
    pub count: u64,
    pub median_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl Latency {
    pub(super) fn add(&mut self, ns: u64) {
        if self.newest_ns.len() == KEPT {
            self.newest_ns.pop_front();
        }
        self.newest_ns.push_back(ns);
        self.count += 1;
    }

    /// `None` before the first.
    pub(super) fn view(&self) -> Option<LatencyView> {
        let mut sorted: Vec<_> = self.newest_ns.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(index).map(|ns| ns / 1_000)
        };
        Some(LatencyView {
            count: self.count,
            median_us: at(50)?,
            p99_us: at(99)?,
            max_us: at(100)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_newest() {
        let mut latency = Latency::default();
        assert_eq!(latency.view(), None);
        for ms in 1..=100 {
            latency.add(ms * 1_000_000);
        }
        let view = latency.view().expect("some");
        assert_eq!(
            (view.median_us, view.p99_us, view.max_us),
            (50_000, 99_000, 100_000)
        );
        for _ in 0..KEPT {
            latency.add(7_000);
        }
        let view = latency.view().expect("some");
        assert_eq!((view.count, view.max_us), (100 + KEPT as u64, 7));
    }
}
