//! `weir identities`

use super::{
    Answer,
    output::{Out, relative},
};
use crate::api::{client::Client, types::Identity};

/// List every identity that has been seen
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir identities --live")]
pub(super) struct Args {
    /// Only those that have a cgroup now
    #[arg(long)]
    live: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let mut list = client.identities().await?;
        if self.live {
            list.identities
                .retain(|identity| !identity.cgroups.is_empty());
        }
        if self.json {
            out.json(&list)?;
        } else {
            print(&list.identities, out)?;
        }
        Ok(Answer::Done)
    }
}

pub(super) fn print(identities: &[Identity], out: &mut Out<'_>) -> anyhow::Result<()> {
    if identities.is_empty() {
        return out.line("no identities");
    }
    let now = out.now;
    let rows = identities.iter().map(|identity| {
        let cgroups = match identity.cgroups.as_slice() {
            [] => "gone".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        vec![
            identity.name.clone(),
            cgroups,
            identity.slice.clone().unwrap_or_else(|| "-".to_owned()),
            identity.pod.clone().unwrap_or_else(|| "-".to_owned()),
            relative(identity.first_seen, now),
        ]
    });
    let rows = rows.collect();
    out.table(
        &["IDENTITY", "CGROUP", "SLICE", "POD", "FIRST SEEN"],
        &[],
        rows,
    )
}
