//! `weir identities`

mod tree;

use super::{
    Answer,
    output::{Out, or_dash, relative},
};
use crate::api::{client::Client, types::Identity};

/// List every identity that has been seen
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weir identities --live\n  weir identities --tree --live")]
pub(super) struct Args {
    /// Only those that have a cgroup now
    #[arg(long)]
    live: bool,
    /// Draw slices, units, containers and what is below them
    #[arg(long, conflicts_with = "json")]
    tree: bool,
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
        } else if self.tree {
            tree::print(&list.identities, out)?;
        } else {
            print(&list.identities, out)?;
        }
        Ok(Answer::Done)
    }
}

type Cell<'c> = &'c dyn Fn(&Identity) -> Option<String>;

pub(super) fn print(identities: &[Identity], out: &mut Out<'_>) -> anyhow::Result<()> {
    if identities.is_empty() {
        return out.line("no identities");
    }
    let now = out.now;
    let columns: [(&str, Cell<'_>); 7] = [
        ("IDENTITY", &|identity| Some(identity.name.clone())),
        ("POD", &pod),
        ("CONTAINER", &container),
        ("IMAGE", &|identity| {
            identity.image.as_deref().map(short_image)
        }),
        ("SLICE", &|identity| identity.slice.clone()),
        ("CGROUP", &|identity| Some(cgroup(identity))),
        ("FIRST SEEN", &|identity| {
            Some(relative(identity.first_seen, now))
        }),
    ];
    let has_any = |cell: Cell<'_>| identities.iter().any(|identity| cell(identity).is_some());
    let shown: Vec<_> = columns
        .into_iter()
        .filter(|(_, cell)| has_any(*cell))
        .collect();
    let header: Vec<_> = shown.iter().map(|(name, _)| *name).collect();
    let rows = identities.iter().map(|identity| {
        let cells = shown.iter().map(|(_, cell)| cell(identity));
        cells.map(|cell| or_dash(cell.as_deref())).collect()
    });
    let rows = rows.collect();
    out.table(&header, &[], rows)
}

fn cgroup(identity: &Identity) -> String {
    match identity.cgroups.as_slice() {
        [] => "gone".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

fn pod(identity: &Identity) -> Option<String> {
    match (&identity.namespace, &identity.pod_name) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
        (None, _) | (_, None) => identity.pod.clone(),
    }
}

fn container(identity: &Identity) -> Option<String> {
    let id = || identity.container.as_deref().map(short_id);
    identity.container_name.clone().or_else(id)
}

fn short_id(id: &str) -> String {
    id.chars().take(12).collect()
}

/// Without registry and path; of a digest, as much as tells it from others.
fn short_image(image: &str) -> String {
    let last = image.rsplit_once('/').map_or(image, |(_, last)| last);
    match last.split_once("sha256:") {
        Some((name, digest)) => format!("{name}{}", short_id(digest)),
        None => last.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::printed;

    fn identity(name: &str) -> Identity {
        serde_json::from_value(serde_json::json!({
            "name": name,
            "cgroups": ["/x"],
        }))
        .expect("an identity")
    }

    #[test]
    fn containers_have_columns_only_where_there_are_any() {
        let unit = Identity {
            slice: Some("system.slice".to_owned()),
            ..identity("unit:a.service")
        };
        let expected = "\
IDENTITY        SLICE         CGROUP  FIRST SEEN
unit:a.service  system.slice  /x      -
";
        assert_eq!(
            printed(|out| print(std::slice::from_ref(&unit), out)),
            expected
        );
        let pod = Identity {
            namespace: Some("shop".to_owned()),
            pod_name: Some("api-1".to_owned()),
            container_name: Some("server".to_owned()),
            image: Some("docker.io/library/nginx:1.27".to_owned()),
            cgroups: vec!["/a".to_owned(), "/b".to_owned()],
            ..identity("pod:shop/deployment/api/server")
        };
        let expected = "\
IDENTITY                        POD         CONTAINER  IMAGE       SLICE         CGROUP         FIRST SEEN
unit:a.service                  -           -          -           system.slice  /x             -
pod:shop/deployment/api/server  shop/api-1  server     nginx:1.27  -             /a and 1 more  -
";
        assert_eq!(printed(|out| print(&[unit, pod], out)), expected);
        assert_eq!(printed(|out| print(&[], out)), "no identities\n");
    }

    #[test]
    fn images_are_short() {
        for (image, short) in [
            ("docker.io/library/nginx:1.27", "nginx:1.27"),
            ("ghcr.io/a/b@sha256:0123456789abcdef", "b@0123456789ab"),
            ("sha256:0123456789abcdef", "0123456789ab"),
            ("x", "x"),
        ] {
            assert_eq!(short_image(image), short);
        }
    }
}
