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
    /// Unit of a user's own manager; users name these, so give --unit user@UID.service too
    #[arg(long, value_name = "UNIT", help_heading = "Whom")]
    user_unit: Option<String>,
    /// Container by its full id
    #[arg(long, value_name = "ID", help_heading = "Whom")]
    container: Option<String>,
    /// Container by its name; `*` stands for any characters
    #[arg(long, value_name = "NAME", help_heading = "Whom")]
    container_name: Option<String>,
    /// Containers of an image, as in ghcr.io/org/app:1; `*` stands for any characters
    #[arg(long, value_name = "IMAGE", help_heading = "Whom")]
    image: Option<String>,
    /// Kubernetes pod by its UID
    #[arg(long, value_name = "UID", help_heading = "Whom")]
    pod: Option<String>,
    /// Pods of a Kubernetes namespace
    #[arg(long, value_name = "NAME", help_heading = "Whom")]
    namespace: Option<String>,
    /// Pods of a Kubernetes service account
    #[arg(long, value_name = "NAME", help_heading = "Whom")]
    service_account: Option<String>,
    /// Pods with this label. May be given again
    #[arg(
        long = "pod-label",
        value_name = "NAME=VALUE",
        value_parser = pod_label,
        help_heading = "Whom"
    )]
    pod_labels: Vec<(String, String)>,
    /// Cgroup below the root of the hierarchy, with everything below it
    #[arg(long, value_name = "PATH", help_heading = "Whom")]
    cgroup: Option<String>,
    /// Registered task by its id
    #[arg(long, value_name = "ID", help_heading = "Whom")]
    task: Option<String>,
    /// Processes of this executable, as in /usr/bin/curl
    #[arg(long, value_name = "PATH", help_heading = "Whom")]
    exe: Option<String>,
    /// Processes of this user: a name or a UID
    #[arg(long, value_name = "USER", help_heading = "Whom")]
    user: Option<String>,
    /// Everybody
    #[arg(
        long,
        conflicts_with_all = [
            "unit", "slice", "user_unit", "container", "container_name", "image", "pod",
            "namespace", "service_account", "pod_labels", "cgroup", "task", "exe", "user",
        ],
        help_heading = "Whom"
    )]
    any: bool,
}

fn pod_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}

impl From<SubjectArgs> for SubjectSpec {
    fn from(args: SubjectArgs) -> Self {
        let SubjectArgs {
            unit,
            slice,
            user_unit,
            container,
            container_name,
            image,
            pod,
            namespace,
            service_account,
            pod_labels,
            cgroup,
            task,
            exe,
            user,
            any,
        } = args;
        Self {
            unit,
            slice,
            user_unit,
            container,
            container_name,
            image,
            pod,
            namespace,
            service_account,
            pod_labels: pod_labels.into_iter().collect(),
            cgroup,
            task,
            exe,
            user,
            any,
        }
    }
}

/// An instant so long after `now`.
///
/// # Errors
///
/// When that is no duration.
pub(super) fn after(now: Timestamp, duration: &str) -> anyhow::Result<Timestamp> {
    let span = duration.parse::<Span>();
    let span = span.with_context(|| format!("`{duration}` is no duration such as 2h"))?;
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .and_then(|length| now.checked_add(length))
        .with_context(|| format!("`{duration}` ends at no time that can be told"))
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
