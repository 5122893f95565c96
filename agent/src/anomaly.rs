//! Anomalies: is this much from this identity to this endpoint usual at this time? Pure.
//!
//! A [`Series`] learns how much is usual at each hour, and compares windows from a step to a day
//! with it. `docs/anomalies.md` says how, and what it cannot tell.

mod channel;
mod cohort;
mod drift;
mod episode;
mod finding;
mod grid;
mod kind;
mod novelty;
mod rate;
mod series;
mod short;
mod streak;
mod watch;
mod windows;

pub use self::{
    cohort::Cohort,
    episode::{Episodes, Extent, Subject, Turn},
    finding::{Finding, Window},
    grid::Grid,
    kind::{Kind, Severity},
    novelty::Novelty,
    series::{Metric, Reading, Series, Step, THRESHOLD},
    watch::{Common, Fact, Growth, Pair, STORM, Sighting, Watch, Watched},
};
