//! Arguments that several commands share.

use anyhow::{Context, bail};
use clap::Args;
use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::api::types::SubjectSpec;

/// Whom a rule concerns. Parts given together must all match.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct SubjectArgs {
    /// Systemd unit, as in batch.service; `*` stands for any characters
    #[arg(long, value_name = "UNIT", help_heading = "Whom")]
    unit: Option<String>,
    /// Systemd slice, as in agents.slice
    #[arg(long, value_name = "SLICE", help_heading = "Whom")]
    slice: Option<String>,
    /// Container by its full id
    #[arg(long, value_name = "ID", help_heading = "Whom")]
    container: Option<String>,
    /// Kubernetes pod by its UID
    #[arg(long, value_name = "UID", help_heading = "Whom")]
    pod: Option<String>,
    /// Cgroup below the root of the hierarchy, with everything below it
    #[arg(long, value_name = "PATH", help_heading = "Whom")]
    cgroup: Option<String>,
    /// Everybody
    #[arg(long, conflicts_with_all = ["unit", "slice", "container", "pod", "cgroup"], help_heading = "Whom")]
    any: bool,
}

impl From<SubjectArgs> for SubjectSpec {
    fn from(args: SubjectArgs) -> Self {
        let SubjectArgs {
            unit,
            slice,
            container,
            pod,
            cgroup,
            any,
        } = args;
        Self {
            unit,
            slice,
            container,
            pod,
            cgroup,
            any,
        }
    }
}

/// An instant: RFC 3339, or how long ago.
///
/// # Errors
///
/// When it is neither.
pub(super) fn moment(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let Ok(span) = text.parse::<Span>() else {
        bail!("`{text}` is neither a time such as 2026-01-31T08:00:00Z nor a duration such as 90m");
    };
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .and_then(|ago| Timestamp::now().checked_sub(ago))
        .with_context(|| format!("`{text}` is no distance into the past that can be told"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_distance() {
        let at = moment("2026-01-31T08:00:00Z").expect("a time");
        assert_eq!(at.to_string(), "2026-01-31T08:00:00Z");
        let ago = Timestamp::now().duration_since(moment("2h").expect("a duration"));
        assert!((ago.as_secs() - 7_200).abs() < 60, "{ago:?}");
        let week = Timestamp::now().duration_since(moment("7d").expect("a duration"));
        assert!((week.as_secs() - 7 * 86_400).abs() < 60, "{week:?}");
        let error = moment("yesterday").expect_err("neither");
        assert!(
            error.to_string().starts_with("`yesterday` is neither"),
            "{error}"
        );
    }
}
