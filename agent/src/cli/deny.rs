//! `weir deny`

use clap::Subcommand;

use super::{Answer, args::SubjectArgs, output::Out};
use crate::api::{
    client::Client,
    types::{DenyRequest, Removal, Rule, SubjectSpec},
};

/// Add, list and remove deny rules
///
/// A deny rule refuses whatever grants say.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir deny list")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a deny rule; it is in force when the command returns
    #[command(
        after_help = "Example:\n  weir deny add freeze --any --endpoint openai --reason \"key leaked\""
    )]
    Add(Box<Add>),
    /// List deny rules
    #[command(after_help = "Example:\n  weir deny list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a deny rule that was added with `weir deny add` or `weir policy apply`
    #[command(after_help = "Example:\n  weir deny remove freeze --why \"key replaced\"")]
    Remove {
        name: String,
        /// Kept in the history
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    name: String,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Endpoint or provider; `*` for all. May be given again
    #[arg(
        long = "endpoint",
        value_name = "NAME",
        required_unless_present = "cidrs",
        help_heading = "What"
    )]
    endpoints: Vec<String>,
    /// Network, as in 10.0.0.0/8. May be given again
    #[arg(
        long = "cidr",
        value_name = "CIDR",
        id = "cidrs",
        help_heading = "What"
    )]
    cidrs: Vec<String>,
    /// Why, for those who are refused
    #[arg(long, value_name = "TEXT", help_heading = "What")]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        match self.command {
            Command::Add(add) => {
                let rule = client
                    .add_deny(&DenyRequest {
                        name: add.name,
                        subjects: vec![SubjectSpec::from(add.subject)],
                        endpoints: add.endpoints,
                        cidrs: add.cidrs,
                        reason: add.reason,
                    })
                    .await?;
                if add.json {
                    out.json(&rule)?;
                } else {
                    out.line(format!("added {}", rule.name))?;
                }
            }
            Command::List { json } => {
                let list = client.denies().await?;
                if json {
                    out.json(&list)?;
                } else {
                    print(&list.denies, out)?;
                }
            }
            Command::Remove { name, why } => {
                client.remove_deny(&name, &Removal { why }).await?;
                out.line(format!("removed {name}"))?;
            }
        }
        Ok(Answer::Done)
    }
}

pub(super) fn print(rules: &[Rule], out: &mut Out<'_>) -> anyhow::Result<()> {
    if rules.is_empty() {
        return out.line("no deny rules");
    }
    let rows = rules.iter().map(|rule| {
        let targets: Vec<_> = rule.endpoints.iter().chain(&rule.cidrs).cloned().collect();
        vec![
            rule.name.clone(),
            rule.subjects.join(" or "),
            targets.join(", "),
            rule.reason.clone(),
            rule.source.clone(),
        ]
    });
    let rows = rows.collect();
    out.table(&["NAME", "WHOM", "WHAT", "REASON", "SOURCE"], &[], rows)
}
