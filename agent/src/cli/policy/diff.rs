//! `weir policy diff`

use std::{collections::BTreeMap, path::PathBuf};

use super::{super::Answer, documents, print_changes, recorded};
use crate::{
    api::{
        client::Client,
        types::{PolicyDiff, RightChange},
    },
    cli::output::Out,
};

/// How many endpoints a line names.
const MOST_NAMED: usize = 4;

#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// Files, or directories of them
    #[arg(required_unless_present = "against", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Judge recorded calls instead: which that went through would be refused in that mode, by the
    /// running policy or, with files, by what would run
    #[arg(long, value_name = "MODE")]
    against: Option<Against>,
    /// With --against: calls from a time on, or for a duration up to now
    #[arg(long, value_name = "WHEN", default_value = "7d", requires = "against")]
    since: String,
    /// These are all policy files: what stands in others in the policy directory is gone
    #[arg(long)]
    whole: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A mode in which something is refused.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Against {
    Enforce,
}

impl Diff {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let mut documents = documents(&self.paths)?;
        documents.whole = self.whole;
        if let Some(Against::Enforce) = self.against {
            return recorded::run(documents, &self.since, self.json, client, out).await;
        }
        let diff = client.diff(&documents).await?;
        if self.json {
            out.json(&diff)?;
        } else {
            print(&diff, out)?;
        }
        let is_same = diff.errors.is_empty() && diff.changes.is_empty();
        Ok(if is_same { Answer::Done } else { Answer::No })
    }
}

fn print(diff: &PolicyDiff, out: &mut Out<'_>) -> anyhow::Result<()> {
    let PolicyDiff {
        changes,
        errors,
        rights,
    } = diff;
    for error in errors {
        out.line(error)?;
    }
    if !errors.is_empty() {
        return Ok(());
    }
    print_changes(changes, out)?;
    if changes.is_empty() {
        return Ok(());
    }
    if rights.is_empty() {
        return out.line("nobody who is known gains or loses an endpoint");
    }
    for (
        Same {
            identity,
            what,
            rule,
            after,
        },
        endpoints,
    ) in &together(rights)
    {
        let by = match rule {
            Some(rule) => format!("{after} by {rule}"),
            None => (*after).to_owned(),
        };
        out.line(format!("{identity} {what} {} ({by})", listed(endpoints)))?;
    }
    Ok(())
}

/// What one line is about.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Same<'a> {
    identity: &'a str,
    what: &'a str,
    rule: Option<&'a str>,
    after: &'a str,
}

fn together(rights: &[RightChange]) -> BTreeMap<Same<'_>, Vec<&str>> {
    let mut lines: BTreeMap<Same<'_>, Vec<&str>> = BTreeMap::new();
    for right in rights {
        let RightChange {
            identity,
            endpoint,
            what,
            before: _,
            after,
            rule,
        } = right;
        let same = Same {
            identity,
            what,
            rule: rule.as_deref(),
            after,
        };
        lines.entry(same).or_default().push(endpoint);
    }
    lines
}

fn listed(endpoints: &[&str]) -> String {
    let named: Vec<_> = endpoints.iter().take(MOST_NAMED).copied().collect();
    let named = named.join(", ");
    match endpoints.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more endpoints"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::PolicyChange, cli::output::printed};

    fn right(identity: &str, endpoint: &str, what: &str, rule: Option<&str>) -> RightChange {
        RightChange {
            identity: identity.to_owned(),
            endpoint: endpoint.to_owned(),
            what: what.to_owned(),
            before: "no-grant".to_owned(),
            after: if what == "gains" {
                "granted"
            } else {
                "no-grant"
            }
            .to_owned(),
            rule: rule.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn endpoints_of_one_identity_are_one_line() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut rights: Vec<_> = names
            .map(|name| right("unit:x.service", name, "gains", Some("new")))
            .to_vec();
        rights.push(right("anybody else", "a", "loses", None));
        let diff = PolicyDiff {
            changes: vec![PolicyChange {
                kind: "InvocationGrant".to_owned(),
                name: "new".to_owned(),
                what: "added".to_owned(),
                fields: Vec::new(),
            }],
            errors: Vec::new(),
            rights,
        };
        assert_eq!(
            printed(|out| print(&diff, out)),
            "+ InvocationGrant new\nanybody else loses a (no-grant)\nunit:x.service gains a, b, c, d and \
             2 more endpoints (granted by new)\n"
        );
    }
}
