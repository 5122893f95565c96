//! `weir policy`

mod diff;
mod recorded;
mod test;

use std::{fs, path::PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use jiff::Timestamp;

use super::{Answer, grant::approval::print_waiting, output::Out};
use crate::{
    api::{
        client::Client,
        types::{CheckReport, PolicyChange, PolicyDocuments, PolicyFile, Removal},
    },
    daemon::{check_files, sources},
};

/// Check, compare and install policy files
///
/// The agent also reads every file in its policy directory by itself, within a second of a change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir policy check /etc/weir/policy.d")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check files by themselves; needs no agent
    #[command(after_help = "Example:\n  weir policy check team-a.yaml team-b.yaml")]
    Check {
        /// Files, or directories of them
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run the tests that stand beside a policy; needs no agent
    ///
    /// A document of kind PolicyTest has cases: who calls, which endpoint or host, and the verdict that
    /// is expected. Exit code 1 if one does not hold.
    #[command(after_help = "Example:\n  weir policy test /etc/weir/policy.d")]
    Test(test::Test),
    /// Install all objects of files, or none if there is a mistake
    #[command(after_help = "Example:\n  weir policy apply team-a.yaml")]
    Apply {
        /// Files, or directories of them
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what files would change, and who would gain or lose which endpoints
    #[command(
        after_help = "Examples:\n  weir policy diff team-a.yaml\n  weir policy diff --whole ~/checkout/policy.d\n  weir policy diff --against enforce --since 7d"
    )]
    Diff(diff::Diff),
    /// Print everything that is in force
    #[command(after_help = "Example:\n  weir policy show > backup.yaml")]
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an object that was installed with `apply`, `grant issue` or `deny add`
    #[command(after_help = "Example:\n  weir policy remove ModelEndpoint vllm.prod")]
    Remove {
        /// ModelEndpoint, InvocationGrant, EgressDeny or Posture
        kind: String,
        name: String,
        /// Kept in the history
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        match self.command {
            Command::Check { paths, json } => check(&paths, json, out),
            Command::Test(test) => test.run(out),
            Command::Apply { paths, json } => {
                let result = client.apply(&documents(&paths)?).await?;
                if json {
                    out.json(&result)?;
                } else {
                    print_changes(&result.changes, out)?;
                    for warning in &result.warnings {
                        out.line(format!("warning: {warning}"))?;
                    }
                    for waiting in &result.waiting {
                        print_waiting(&waiting.name, &waiting.needs, out)?;
                    }
                    out.line(format!("revision {} is in force", result.revision))?;
                }
                Ok(Answer::Done)
            }
            Command::Diff(diff) => diff.run(client, out).await,
            Command::Show { json } => {
                let view = client.policy().await?;
                if json {
                    out.json(&view)?;
                    return Ok(Answer::Done);
                }
                out.line(format!("# revision {}", view.revision))?;
                for object in &view.objects {
                    out.line("---")?;
                    out.line(format!("# {}", object.source))?;
                    out.raw(object.yaml.trim_end().as_bytes())?;
                    out.blank()?;
                }
                Ok(Answer::Done)
            }
            Command::Remove { kind, name, why } => {
                let result = client.remove_object(&kind, &name, &Removal { why }).await?;
                print_changes(&result.changes, out)?;
                out.line(format!("revision {} is in force", result.revision))?;
                Ok(Answer::Done)
            }
        }
    }
}

fn check(paths: &[PathBuf], json: bool, out: &mut Out<'_>) -> anyhow::Result<Answer> {
    let files = files(paths)?;
    let report = match check_files(&files, Timestamp::now()) {
        Ok(checked) => checked.into(),
        Err(errors) => CheckReport {
            errors,
            ..CheckReport::default()
        },
    };
    if json {
        out.json(&report)?;
    } else {
        for line in report.errors.iter().chain(&report.warnings) {
            out.line(line)?;
        }
        for finding in &report.findings {
            out.line(format!("finding: {finding}"))?;
        }
        if report.errors.is_empty() {
            out.line(format!(
                "{} objects in {} files are valid",
                report.objects,
                files.len()
            ))?;
        }
    }
    Ok(if report.errors.is_empty() {
        Answer::Done
    } else {
        Answer::No
    })
}

fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            bail!("there is no file or directory `{}`", path.display());
        }
        if path.is_dir() {
            let found = sources::list(path);
            files.extend(found.with_context(|| format!("list `{}`", path.display()))?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn documents(paths: &[PathBuf]) -> anyhow::Result<PolicyDocuments> {
    let mut documents = Vec::new();
    for file in files(paths)? {
        let text = fs::read_to_string(&file);
        documents.push(PolicyFile {
            file: file.display().to_string(),
            text: text.with_context(|| format!("read `{}`", file.display()))?,
        });
    }
    Ok(PolicyDocuments {
        files: documents,
        whole: false,
    })
}

fn print_changes(changes: &[PolicyChange], out: &mut Out<'_>) -> anyhow::Result<()> {
    if changes.is_empty() {
        return out.line("no change");
    }
    for change in changes {
        let sign = match change.what.as_str() {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        let fields = if change.fields.is_empty() {
            String::new()
        } else {
            format!(" ({})", change.fields.join(", "))
        };
        out.line(format!("{sign} {} {}{fields}", change.kind, change.name))?;
    }
    Ok(())
}
