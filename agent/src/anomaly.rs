//! Anomalies: is this much from this identity to this endpoint usual at this time? Pure.
//!
//! A [`Series`] learns how much is usual at each hour, and compares windows from a step to a day
//! with it. `docs/anomalies.md` says how, and what it cannot tell.

mod channel;
mod cohort;
mod drift;
mod finding;
mod grid;
mod novelty;
mod rate;
mod series;
mod short;
mod streak;
mod windows;

pub use self::{
    cohort::Cohort,
    finding::{Finding, Window},
    grid::Grid,
    novelty::Novelty,
    series::{Metric, Reading, Series, Step, THRESHOLD},
};
