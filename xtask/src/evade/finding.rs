//! What the suite prints: a line of JSON for each technique and setting, and a last line that must agree
//! with them.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// What became of one technique under one setting of the agent.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Finding {
    pub setting: String,
    pub family: String,
    pub id: String,
    pub title: String,
    /// Why it may stay open.
    pub limit: Option<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
enum Outcome {
    Impossible { why: String },
    Open,
    Stopped { reasons: Vec<String>, seen: String },
    Unclear { why: String },
}

/// All findings of one kernel.
#[derive(Debug)]
pub(super) struct Report {
    pub kernel: String,
    pub findings: Vec<Finding>,
}

impl Finding {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Open)
    }

    /// Why it proves nothing, if so.
    pub(super) fn unclear(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Unclear { why } => Some(why),
            Outcome::Impossible { .. } | Outcome::Open | Outcome::Stopped { .. } => None,
        }
    }

    /// Why the kernel does not have it, if so.
    pub(super) fn impossible(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Impossible { why } => Some(why),
            Outcome::Unclear { .. } | Outcome::Open | Outcome::Stopped { .. } => None,
        }
    }

    /// In the table: reasons of the agent's events, then what the caller saw.
    pub(super) fn cell(&self) -> String {
        match &self.outcome {
            Outcome::Open => super::table::OPEN.into(),
            Outcome::Impossible { .. } => super::table::IMPOSSIBLE.into(),
            Outcome::Unclear { why } => format!("unclear: {why}"),
            Outcome::Stopped { reasons, seen } => {
                let reasons = reasons.iter().map(|reason| format!("`{reason}`"));
                let seen = match seen.as_str() {
                    // A packet that is dropped tells nobody.
                    "nothing" | "silence" => "dropped",
                    seen => seen,
                };
                let parts: Vec<String> = reasons.chain([seen.to_owned()]).collect();
                // What the table uses between its own parts.
                parts
                    .join(", ")
                    .replace(['(', ')', ';', '|'], " ")
                    .trim()
                    .to_owned()
            }
        }
    }
}

/// Reads what the suite has printed on this kernel, among other lines.
pub(super) fn read(kernel: &str, said: &str) -> Result<Report> {
    let lines = said.lines().map(str::trim_end);
    let findings = lines
        .clone()
        .filter(|line| line.starts_with("{\"setting\""))
        .map(|line| serde_json::from_str(line).with_context(|| format!("read `{line}`")));
    let findings: Vec<Finding> = findings.collect::<Result<_>>()?;
    let Some(total) = lines.rev().find_map(|line| line.strip_prefix("evade: ")) else {
        bail!("{kernel}: the suite did not end: {}", last_words(said));
    };
    let count =
        |is: fn(&Outcome) -> bool| findings.iter().filter(|found| is(&found.outcome)).count();
    let counted = format!(
        "{} stopped, ",
        count(|outcome| matches!(outcome, Outcome::Stopped { .. }))
    );
    let open = format!(
        " {} open ",
        count(|outcome| matches!(outcome, Outcome::Open))
    );
    if !total.starts_with(&counted) || !total.contains(&open) {
        bail!("{kernel}: the suite says {total}, its lines say {counted}{open}");
    }
    Ok(Report {
        kernel: kernel.to_owned(),
        findings,
    })
}

/// What it said instead of an end.
fn last_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    let start = lines.len().saturating_sub(8);
    lines.get(start..).unwrap_or_default().join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"[    1.0] a kernel message
{"setting":"default","family":"TCP","id":"a","title":"t","limit":null,"outcome":"stopped","reasons":["no-grant"],"seen":"EPERM"}
{"setting":"default","family":"TCP","id":"b","title":"t","limit":"x","outcome":"open"}
{"setting":"default","family":"TCP","id":"c","title":"t","limit":null,"outcome":"impossible","why":"ENXIO"}
evade: 1 stopped, 1 open (0 of them not by a stated limit), 1 not possible here
"#;

    #[test]
    fn lines_and_total_agree_or_nothing_is_believed() {
        let report = read("6.1", LINES).expect("a report");
        let cells: Vec<String> = report.findings.iter().map(Finding::cell).collect();
        assert_eq!(cells, ["`no-grant`, EPERM", "open", "–"]);
        let error = read("6.1", &LINES.replace("1 stopped", "2 stopped")).expect_err("a lie");
        assert!(
            error
                .to_string()
                .starts_with("6.1: the suite says 2 stopped")
        );
        let error = read("6.1", "Kernel panic\n").expect_err("no end");
        assert_eq!(
            error.to_string(),
            "6.1: the suite did not end: Kernel panic"
        );
    }
}
