//! `weir anomalies`

mod input;
mod replay;
mod told;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use self::replay::{Replay, ReplayError};
use super::{Answer, ask, output::Out};
use crate::{anomaly::Metric, api::client::Client};

/// Find calls that are unusual for whoever makes them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir anomalies list")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what was unusual, the newest first
    ///
    /// Without --all, what nobody has acknowledged yet and what is not muted.
    #[command(after_help = "Example:\n  weir anomalies list --open")]
    List(told::ListArgs),
    /// Show one anomaly and what it was found by
    #[command(after_help = "Example:\n  weir anomalies show 7")]
    Show {
        id: i64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take note of an anomaly, so that it is not listed any more
    #[command(after_help = "Example:\n  weir anomalies ack 7 --why \"load test, see OPS-12\"")]
    Ack {
        id: i64,
        /// What it was
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Have nobody told of some anomalies for a time; they are kept all the same
    #[command(
        after_help = "Example:\n  weir anomalies mute --identity ci-runner.service --for 2h --why \"load test\""
    )]
    Mute(told::MuteArgs),
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
    pub(super) fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        match self.command {
            Command::List(args) => ask(args.run(client, out)),
            Command::Show { id, json } => ask(told::show(client, id, json, out)),
            Command::Ack { id, why } => ask(told::ack(client, id, why, out)),
            Command::Mute(args) => ask(args.run(client, out)),
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
