//! `weir audit`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;

use super::{
    Answer,
    args::moment,
    output::{Out, instant},
};
use crate::{
    api::{
        backend::{expected, verification},
        client::Client,
        types::{AuditExportQuery, AuditQuery, AuditRecord, AuditVerification, AuditVerifyQuery},
    },
    audit::Known,
};

/// Read, verify and hand over the records of who decided what
///
/// Each decision about grants, deny rules, policy, mode and coverage has a record, and so have
/// refused and high-risk invocations. Records are chained by hashes and proven by signed
/// checkpoints.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir audit list --since 1d")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the newest records
    #[command(after_help = "Example:\n  weir audit list --action grant-revoked --since 7d")]
    List {
        /// Only since a time, or for a duration up to now
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
        /// Only of this action, as in grant-revoked
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Only about what has this name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Find out whether records were changed, removed or added; exit code 1 if so
    ///
    /// What cannot be found out: what somebody with the agent's key has forged, and an older copy
    /// of the whole state directory that was put in place of the newer one while no agent ran.
    /// Against both, keep the last record that this command prints elsewhere, and give it to
    /// --expect later, or let the agent forward the records.
    #[command(
        after_help = "Example:\n  weir audit verify\n  weir audit verify --state-dir /mnt/backup/weir"
    )]
    Verify {
        /// Read this state directory instead of asking the agent
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
        /// A record that has to be there, as an earlier verification printed it. May be given again
        #[arg(long, value_name = "SEQ:HASH")]
        expect: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print all records for another program, one JSON object a line
    #[command(after_help = "Example:\n  weir audit export --format ocsf --since 1d > audit.jsonl")]
    Export {
        /// Form of the objects
        #[arg(long, default_value = "jsonl")]
        format: Format,
        /// Only since a time, or for a duration up to now
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// As `weir audit list --json` has them
    Jsonl,
    /// Open Cybersecurity Schema Framework, version 1.5.0
    Ocsf,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        match self.command {
            Command::List {
                since,
                action,
                name,
                limit,
                json,
            } => {
                let query = AuditQuery {
                    since: since.as_deref().map(moment).transpose()?,
                    after: None,
                    action,
                    name,
                    limit: Some(limit),
                };
                let list = client.audit(&query).await?;
                if json {
                    out.json(&list)?;
                } else {
                    print(&list.records, out)?;
                }
                Ok(Answer::Done)
            }
            Command::Verify {
                state_dir,
                expect,
                json,
            } => {
                let expect = expect.join(",");
                let verified = match state_dir {
                    Some(directory) => offline(&directory, &expect)?,
                    None => {
                        let expect = Some(expect).filter(|expect| !expect.is_empty());
                        client.verify_audit(&AuditVerifyQuery { expect }).await?
                    }
                };
                if json {
                    out.json(&verified)?;
                } else {
                    print_verification(&verified, out)?;
                }
                Ok(if verified.problems.is_empty() {
                    Answer::Done
                } else {
                    Answer::No
                })
            }
            Command::Export { format, since } => {
                let since = since.as_deref().map(moment).transpose()?;
                export(client, format, since, out).await?;
                Ok(Answer::Done)
            }
        }
    }
}

fn offline(directory: &Path, expect: &str) -> anyhow::Result<AuditVerification> {
    let expected = expected(expect).map_err(|error| anyhow::anyhow!(error.message))?;
    let known = Known {
        written: None,
        expected,
    };
    let verified = verification(directory, known);
    verified.with_context(|| format!("verify the audit in `{}`", directory.display()))
}

async fn export(
    client: &Client,
    format: Format,
    since: Option<Timestamp>,
    out: &mut Out<'_>,
) -> anyhow::Result<()> {
    let format = match format {
        Format::Jsonl => "jsonl",
        Format::Ocsf => "ocsf",
    };
    let mut query = AuditExportQuery {
        format: format.to_owned(),
        since,
        after: None,
    };
    loop {
        let portion = client.export_audit(&query).await?;
        for event in &portion.events {
            out.raw(event.to_string().as_bytes())?;
            out.raw(b"\n")?;
        }
        if portion.next.is_none() {
            return Ok(());
        }
        query.after = portion.next;
    }
}

fn print(records: &[AuditRecord], out: &mut Out<'_>) -> anyhow::Result<()> {
    if records.is_empty() {
        return out.line("no records");
    }
    let rows = records.iter().map(|record| {
        let AuditRecord {
            seq,
            at,
            action,
            outcome,
            actor,
            kind,
            name,
            reason,
            details,
            ..
        } = record;
        let action = match outcome.as_str() {
            "done" => action.clone(),
            outcome => format!("{action} ({outcome})"),
        };
        let count = details.get("count").and_then(serde_json::Value::as_u64);
        let reason = match count {
            Some(count) => format!("{reason} ({count} times)"),
            None => reason.clone(),
        };
        vec![
            seq.to_string(),
            instant(*at),
            action,
            actor.name.clone(),
            format!("{kind} {name}"),
            reason,
        ]
    });
    let header = ["SEQ", "AT", "ACTION", "BY", "WHAT", "WHY"];
    out.table(&header, &["SEQ"], rows.collect())
}

pub(super) fn print_verification(
    verified: &AuditVerification,
    out: &mut Out<'_>,
) -> anyhow::Result<()> {
    let AuditVerification {
        records,
        last,
        checkpoints,
        proven,
        public_key,
        problems,
        notes,
    } = verified;
    for problem in problems {
        out.line(problem)?;
    }
    for note in notes {
        out.line(format!("note: {note}"))?;
    }
    out.line(format!(
        "{records} records, proven up to {proven} by {checkpoints} checkpoints of key {public_key}"
    ))?;
    if let Some(last) = last {
        out.line(format!("last record {last}"))?;
    }
    out.line(match problems.len() {
        0 => "nothing was changed, removed or added".to_owned(),
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    })
}
