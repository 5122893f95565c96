//! `weir grant suggest`

use super::super::{args::moment, output::Out};
use crate::api::{client::Client, types::SuggestionQuery};

#[derive(Debug, clap::Args)]
pub(super) struct Suggest {
    /// Whom to suggest for, as `weir identities` names it
    #[arg(long, value_name = "IDENTITY")]
    identity: String,
    /// What was done from a time on, or for a duration up to now
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    since: String,
}

impl Suggest {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<()> {
        let query = SuggestionQuery {
            identity: self.identity,
            since: moment(&self.since)?,
        };
        let suggestion = client.suggest_grant(&query).await?;
        // A file, whose lines must stay as they are.
        out.raw(suggestion.yaml.as_bytes())
    }
}
