//! `weir grant unused`

use super::super::{
    args::moment,
    output::{Out, or_dash, relative},
};
use crate::api::{client::Client, types::ReviewQuery};

#[derive(Debug, clap::Args)]
pub(super) struct Unused {
    /// What was used from a time on, or for a duration up to now
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    since: String,
    /// Print JSON: all grants, with what was used of each
    #[arg(long)]
    json: bool,
}

impl Unused {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<()> {
        let since = moment(&self.since)?;
        let list = client.review_grants(&ReviewQuery { since }).await?;
        if self.json {
            return out.json(&list);
        }
        let live = list.grants.iter().filter(|grant| grant.ended_at.is_none());
        let now = out.now;
        let rows: Vec<_> = live
            .filter(|grant| !grant.findings.is_empty())
            .map(|grant| {
                vec![
                    grant.name.clone(),
                    grant.calls.to_string(),
                    relative(grant.last_used, now),
                    or_dash(grant.issued_by.as_deref()),
                    grant.findings.join("; "),
                ]
            })
            .collect();
        if rows.is_empty() {
            return out.line("every grant is used in full");
        }
        let header = ["GRANT", "CALLS", "LAST USED", "ISSUED BY", "FINDINGS"];
        out.table(&header, &["CALLS"], rows)
    }
}
