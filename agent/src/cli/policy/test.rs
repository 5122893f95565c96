//! `weir policy test`

use std::path::PathBuf;

use anyhow::bail;
use jiff::Timestamp;
use serde::Serialize;

use super::{super::Answer, files};
use crate::{
    cli::output::{Out, instant},
    daemon::{CaseOutcome, sentence, test_files},
    identity::Labels,
    policy::{Case, CasePlace},
};

#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// Files, or directories of them: the policy together with its tests
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One case as JSON.
#[derive(Serialize)]
struct Outcome {
    file: String,
    line: u64,
    test: String,
    case: String,
    holds: bool,
    expected: String,
    found: String,
}

impl Test {
    pub(super) fn run(self, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let files = files(&self.paths)?;
        let outcomes = match test_files(&files, Timestamp::now()) {
            Ok(outcomes) => outcomes,
            Err(errors) => {
                for error in &errors {
                    out.line(error)?;
                }
                return Ok(Answer::No);
            }
        };
        if outcomes.is_empty() {
            bail!("there is no PolicyTest in these files: docs/policy.md shows how to write one");
        }
        let n_failed = outcomes.iter().filter(|outcome| !outcome.holds()).count();
        if self.json {
            let told: Vec<_> = outcomes.iter().map(outcome).collect();
            out.json(&told)?;
        } else {
            for failed in outcomes.iter().filter(|outcome| !outcome.holds()) {
                print(&outcome(failed), failed, out)?;
            }
            out.line(format!(
                "{} of {} cases hold",
                outcomes.len() - n_failed,
                outcomes.len()
            ))?;
        }
        Ok(if n_failed == 0 {
            Answer::Done
        } else {
            Answer::No
        })
    }
}

fn print(told: &Outcome, failed: &CaseOutcome, out: &mut Out<'_>) -> anyhow::Result<()> {
    let Outcome {
        file,
        line,
        test,
        case,
        expected,
        found,
        holds: _,
    } = told;
    out.line(format!("{file}:{line}: {test}: {case}"))?;
    out.line(format!("  - {expected}"))?;
    out.line(format!("  + {found}"))?;
    if let Ok((decision, _)) = &failed.found {
        out.line(format!("    {}", sentence(decision.reason())))?;
    }
    Ok(())
}

fn outcome(outcome: &CaseOutcome) -> Outcome {
    let expected = outcome.case.expected;
    let said = |is_allowed: bool, reason: Option<&str>| {
        let verdict = if is_allowed { "allow" } else { "deny" };
        reason.map_or_else(
            || verdict.to_owned(),
            |reason| format!("{verdict}, {reason}"),
        )
    };
    let found = match &outcome.found {
        Ok((decision, rule)) => {
            let reason = decision.reason().name();
            let found = said(decision.is_entitled_when_enforced(), Some(reason));
            match rule {
                Some(rule) => format!("{found} by {rule}"),
                None => found,
            }
        }
        Err(error) => error.clone(),
    };
    Outcome {
        file: outcome.file.clone(),
        line: outcome.case.at.line,
        test: outcome.test.clone(),
        case: words(&outcome.case),
        holds: outcome.holds(),
        expected: said(
            expected.is_allowed,
            expected.reason.map(|reason| reason.name()),
        ),
        found,
    }
}

fn words(case: &Case) -> String {
    let who = case
        .subject
        .as_ref()
        .map_or_else(|| "anybody".to_owned(), subject);
    let place = match &case.place {
        CasePlace::Endpoint(name) => format!("endpoint {name}"),
        CasePlace::Host(host) => format!("host {host}"),
    };
    match case.time {
        Some(time) => format!("{who}, {place}, {}", instant(time)),
        None => format!("{who}, {place}"),
    }
}

/// The labels that a case gives.
fn subject(labels: &Labels) -> String {
    let Labels {
        cgroup,
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
        task,
        exe,
        user,
        ..
    } = labels;
    let cgroup = (cgroup != "/").then(|| cgroup.clone());
    let user = user
        .as_ref()
        .map(|user| user.name.clone().unwrap_or_else(|| user.uid.to_string()));
    let parts = [
        ("unit", unit),
        ("slice", slice),
        ("user unit", user_unit),
        ("container", container),
        ("container", container_name),
        ("image", image),
        ("pod", pod),
        ("namespace", namespace),
        ("service account", service_account),
        ("cgroup", &cgroup),
        ("task", task),
        ("exe", exe),
        ("user", &user),
    ];
    let mut words: Vec<_> = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)))
        .collect();
    let labels = pod_labels.iter();
    words.extend(labels.map(|(name, value)| format!("label {name}={value}")));
    words.join(" and ")
}
