//! `weir grant`

pub(in crate::cli) mod approval;
mod suggest;
mod unused;

use clap::Subcommand;
use jiff::Timestamp;

use self::approval::{Approve, Decide, print_history, print_waiting, requests, until};
use super::{
    Answer,
    args::SubjectArgs,
    output::{Out, relative},
};
use crate::api::{
    client::Client,
    types::{Grant, GrantRequest, IdentityRevocation, Removal, SubjectSpec},
};

/// Issue, list and revoke grants
///
/// A grant is the right of an identity to invoke model endpoints, for a purpose and until a time.
/// It ends in the kernel, whether the agent runs or not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir grant list --all")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue a grant; it is in force when this returns, unless it needs approval
    ///
    /// One that waits for approval entitles nobody; the exit code is 1 then.
    #[command(
        after_help = "Example:\n  weir grant issue nightly --unit batch.service --endpoint openai \\\n      --purpose \"nightly summaries\" --ttl 8h\n  weir grant issue shop-api --namespace shop --service-account api --endpoint anthropic \\\n      --purpose \"answers to customers\" --ttl 30d"
    )]
    Issue(Box<Issue>),
    /// List grants in force or to come
    #[command(after_help = "Example:\n  weir grant list")]
    List {
        /// Also those that have ended, were revoked or rejected
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List grants that are not used, or are broader than their use
    #[command(after_help = "Example:\n  weir grant unused --since 30d")]
    Unused(unused::Unused),
    /// Print a policy file that fits what an identity was seen to do
    #[command(
        after_help = "Example:\n  weir grant suggest --identity unit:batch.service > batch.yaml"
    )]
    Suggest(suggest::Suggest),
    /// List grants that wait for approval
    #[command(after_help = "Example:\n  weir grant requests")]
    Requests {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Approve a grant that another person has asked for
    #[command(
        after_help = "Examples:\n  weir grant approve admin-keys --reason \"agreed in OPS-12\"\n  weir grant approve admin-keys --break-glass --reason \"incident 4711\""
    )]
    Approve(Approve),
    /// Reject a grant that waits for approval
    #[command(after_help = "Example:\n  weir grant reject admin-keys --reason \"too broad\"")]
    Reject(Decide),
    /// Show a grant and everything that has happened to grants of its name
    #[command(after_help = "Example:\n  weir grant show nightly")]
    Show {
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a grant, or all rights of an identity
    ///
    /// The grant was issued with `weir grant issue` or `weir policy apply`. Live connections that
    /// rested on it end at once.
    #[command(
        after_help = "Examples:\n  weir grant revoke nightly --why \"incident 4711\"\n  \
                      weir grant revoke --identity unit:nightly.service --all --why \"key leaked\""
    )]
    Revoke {
        #[arg(required_unless_present = "identity", conflicts_with = "identity")]
        name: Option<String>,
        /// Refuse this identity everything, whatever grants say, until `weir deny remove`
        #[arg(long, value_name = "IDENTITY", requires = "all")]
        identity: Option<String>,
        /// All its rights, from files, too
        #[arg(long, requires = "identity")]
        all: bool,
        /// Kept in the history
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Issue {
    name: String,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Endpoint or provider; `*` for all. May be given again
    #[arg(
        long = "endpoint",
        value_name = "NAME",
        required = true,
        help_heading = "What"
    )]
    endpoints: Vec<String>,
    /// invoke, manage or resolve [default: invoke; and resolve, for encrypted-dns]
    #[arg(long = "plane", value_name = "PLANE", help_heading = "What")]
    planes: Vec<String>,
    /// What for
    #[arg(long, value_name = "TEXT", help_heading = "What")]
    purpose: String,
    /// What it refers to in a tracker of changes
    #[arg(long, value_name = "TEXT", help_heading = "What")]
    ticket: Option<String>,
    /// Let another person approve it, whether a rule demands that or not
    #[arg(long, help_heading = "What")]
    needs_approval: bool,
    /// How long, as in 8h
    #[arg(
        long,
        value_name = "DURATION",
        conflicts_with = "not_after",
        help_heading = "When"
    )]
    ttl: Option<String>,
    /// First time at which it no longer holds
    #[arg(long, value_name = "TIME", help_heading = "When")]
    not_after: Option<Timestamp>,
    /// First time at which it holds
    #[arg(long, value_name = "TIME", help_heading = "When")]
    not_before: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        match self.command {
            Command::Issue(issue) => return issue.run(client, out).await,
            Command::Requests { json } => return requests(json, client, out).await,
            Command::Approve(approve) => approve.run(client, out).await?,
            Command::Reject(decide) => decide.reject(client, out).await?,
            Command::Show { name, json } => {
                let history = client.grant_history(&name).await?;
                if json {
                    out.json(&history)?;
                } else {
                    print_history(&history, out)?;
                }
            }
            Command::List { all, json } => {
                let list = client.grants(all).await?;
                if json {
                    out.json(&list)?;
                } else {
                    print(&list.grants, out)?;
                }
            }
            Command::Unused(unused) => unused.run(client, out).await?,
            Command::Suggest(suggest) => suggest.run(client, out).await?,
            Command::Revoke {
                name: Some(name),
                why,
                json,
                ..
            } => {
                let grant = client
                    .revoke_grant(&name, &Removal { why: Some(why) })
                    .await?;
                if json {
                    out.json(&grant)?;
                } else {
                    out.line(format!("revoked {name}"))?;
                }
            }
            Command::Revoke {
                identity,
                why,
                json,
                ..
            } => {
                let identity = identity.unwrap_or_default();
                let request = IdentityRevocation { identity, why };
                let rule = client.revoke_identity(&request).await?;
                if json {
                    out.json(&rule)?;
                } else {
                    out.line(format!(
                        "refused everything to {}; `weir deny remove {}` ends that",
                        request.identity, rule.name
                    ))?;
                }
            }
        }
        Ok(Answer::Done)
    }
}

impl Issue {
    async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let grant = client
            .issue_grant(&GrantRequest {
                name: self.name,
                subjects: vec![SubjectSpec::from(self.subject)],
                endpoints: self.endpoints,
                planes: self.planes,
                purpose: self.purpose,
                ticket: self.ticket,
                requires_approval: self.needs_approval,
                not_before: self.not_before,
                not_after: self.not_after,
                ttl: self.ttl,
            })
            .await?;
        let waits = grant.state == "requested";
        if self.json {
            out.json(&grant)?;
        } else if waits {
            print_waiting(&grant.name, &grant.needs_approval, out)?;
        } else {
            out.line(format!("issued {}, {}", grant.name, until(&grant)))?;
        }
        Ok(if waits { Answer::No } else { Answer::Done })
    }
}

pub(super) fn print(grants: &[Grant], out: &mut Out<'_>) -> anyhow::Result<()> {
    if grants.is_empty() {
        return out.line("no grants: `weir grant issue --help` shows how to issue one");
    }
    let now = out.now;
    let rows = grants.iter().map(|grant| {
        vec![
            grant.name.clone(),
            grant.state.clone(),
            grant.subjects.join(" or "),
            grant.endpoints.join(", "),
            grant.purpose.clone(),
            match grant.not_after {
                // The time of one that waits has not begun.
                _ if grant.state == "requested" => "-".to_owned(),
                Some(end) => relative(Some(end), now),
                None => "never".to_owned(),
            },
            grant.source.clone(),
        ]
    });
    let rows = rows.collect();
    let header = [
        "NAME",
        "STATE",
        "WHOM",
        "ENDPOINTS",
        "PURPOSE",
        "ENDS",
        "SOURCE",
    ];
    out.table(&header, &[], rows)
}
