//! `weir anomalies`

mod input;
mod replay;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use self::replay::{Replay, ReplayError};
use super::{Answer, output::Out};
use crate::anomaly::Metric;

/// Find calls that are unusual for whoever makes them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir anomalies replay --input calls.csv --output scores.csv")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what would have been found in recorded counts; needs no agent
    ///
    /// Reads the columns timestamp and value, and series and metric where they are, whatever else
    /// is there. A timestamp is in seconds since 1970 or ISO 8601, UTC if it does not say. Writes
    /// series, timestamp, score and alert, row for row; prints a sentence for each alert. Only what
    /// came before a row is used for it.
    #[command(
        after_help = "Example:\n  weir anomalies replay --input calls.csv --output scores.csv"
    )]
    Replay {
        /// CSV with a header, ordered by time within each series
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// CSV to write; replaced when all is done
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// CSV of series and timestamp: something was deployed or announced then
        #[arg(long, value_name = "FILE")]
        hints: Option<PathBuf>,
        /// What is counted, where the input has no such column
        #[arg(long, value_enum, default_value_t = MetricArg::Calls)]
        metric: MetricArg,
        /// How to score
        #[arg(long, value_enum, default_value_t = Profile::Default)]
        profile: Profile,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MetricArg {
    Calls,
    Cost,
}

impl From<MetricArg> for Metric {
    fn from(metric: MetricArg) -> Self {
        match metric {
            MetricArg::Calls => Self::Calls,
            MetricArg::Cost => Self::Cost,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// As the agent does: too many calls, too much cost
    Default,
    /// Novelty of values that are no counts and may be negative; raises no alerts
    Benchmark,
}

impl Args {
    pub(super) fn run(self, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        match self.command {
            Command::Replay {
                input,
                output,
                hints,
                metric,
                profile,
            } => {
                let hints = match hints {
                    Some(path) => input::hints(&path).map_err(ReplayError::from)?,
                    None => input::Hints::default(),
                };
                let metric = metric.into();
                let replay = Replay {
                    input: &input,
                    metric,
                    profile,
                };
                let mut lines = Ok(());
                let tally = replay.run(&output, hints, &mut |line| {
                    if lines.is_ok() {
                        lines = out.line(line);
                    }
                })?;
                lines?;
                out.line(tally.to_string())?;
                Ok(Answer::Done)
            }
        }
    }
}

#[cfg(test)]
mod tests;
