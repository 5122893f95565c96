//! Identities as a tree: where they run, and what is below them.

use std::collections::BTreeMap;

use termtree::Tree;

use super::{container, short_image};
use crate::{
    api::types::Identity,
    cli::output::{Out, printable},
};

#[derive(Default)]
struct Node {
    /// What is not in the name.
    note: Option<String>,
    below: BTreeMap<String, Node>,
}

pub(super) fn print(identities: &[Identity], out: &mut Out<'_>) -> anyhow::Result<()> {
    if identities.is_empty() {
        return out.line("no identities");
    }
    let mut root = Node::default();
    for identity in identities {
        let mut node = &mut root;
        for step in steps(identity) {
            node = node.below.entry(step).or_default();
        }
        node.note = Some(note(identity));
    }
    for line in tree("/", &root).to_string().lines() {
        out.line(line)?;
    }
    Ok(())
}

fn tree(name: &str, node: &Node) -> Tree<String> {
    let note = node.note.as_deref().unwrap_or_default();
    let text = printable(&format!("{name}{note}")).into_owned();
    Tree::new(text).with_leaves(node.below.iter().map(|(name, node)| tree(name, node)))
}

/// From the root to the identity.
fn steps(identity: &Identity) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(task) = &identity.task {
        steps.push(format!("task {task}"));
    } else if identity.pod.is_some() && (identity.container.is_some() || identity.unit.is_none()) {
        steps.extend(steps_of_pod(identity));
    } else {
        if let Some(slice) = &identity.slice {
            steps.extend(slices(slice));
        }
        match (container(identity), &identity.unit, &identity.slice) {
            (Some(container), _, _) => steps.push(format!("container {container}")),
            (None, Some(unit), _) => steps.push(unit.clone()),
            (None, None, Some(slice)) if identity.cgroup.ends_with(slice.as_str()) => {}
            (None, None, _) if identity.cgroup == "/" => {}
            (None, None, _) => steps.push(identity.cgroup.clone()),
        }
    }
    steps.extend(identity.user_unit.clone());
    steps.extend(identity.nested.clone());
    steps.extend(identity.exe.as_ref().map(|exe| format!("executable {exe}")));
    steps.extend(identity.user.as_ref().map(|user| format!("user {user}")));
    steps
}

fn steps_of_pod(identity: &Identity) -> Vec<String> {
    let mut steps = Vec::new();
    match &identity.namespace {
        Some(namespace) => {
            steps.push(format!("namespace {namespace}"));
            let name = identity.pod_name.as_ref();
            let bare = || name.map(|name| format!("pod/{name}"));
            steps.extend(identity.owner.clone().or_else(bare));
        }
        None => steps.extend(identity.pod.as_ref().map(|uid| format!("pod {uid}"))),
    }
    steps.extend(container(identity).map(|name| format!("container {name}")));
    steps
}

/// `a-b.slice` is below `a.slice`.
fn slices(innermost: &str) -> Vec<String> {
    let stem = innermost.strip_suffix(".slice").unwrap_or(innermost);
    let ends = stem.match_indices('-').map(|(end, _)| end);
    let above = ends.filter_map(|end| stem.get(..end).filter(|stem| !stem.is_empty()));
    let mut slices: Vec<_> = above.map(|stem| format!("{stem}.slice")).collect();
    slices.push(innermost.to_owned());
    slices
}

fn note(identity: &Identity) -> String {
    let mut notes = Vec::new();
    notes.extend(identity.image.as_deref().map(short_image));
    if identity.unresolved {
        notes.push("unresolved".to_owned());
    }
    match identity.cgroups.len() {
        0 => notes.push("gone".to_owned()),
        1 => {}
        more => notes.push(format!("{more} cgroups")),
    }
    if notes.is_empty() {
        return String::new();
    }
    format!("  ({})", notes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::output::printed, identity::Labels};

    fn identity(path: &str) -> Identity {
        let labels = Labels::from_cgroup_path(path);
        let text = serde_json::json!({
            "name": labels.key(),
            "cgroup": path,
            "unit": labels.unit,
            "slice": labels.slice,
            "user_unit": labels.user_unit,
            "nested": labels.nested,
            "container": labels.container,
            "pod": labels.pod,
            "cgroups": [path],
        });
        serde_json::from_value(text).expect("an identity")
    }

    #[test]
    fn everybody_hangs_where_it_runs() {
        let id = "3f4a1c0e9b7d2a5568f0c1d2e3b4a5968778695a4b3c2d1e0f9e8d7c6b5a4938";
        let uid = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";
        let pod = format!("/kubepods/pod{uid}/{id}");
        let text = |text: &str| Some(text.to_owned());
        let identities = [
            identity("/"),
            identity("/system.slice"),
            identity("/system.slice/a.service"),
            Identity {
                exe: text("/usr/bin/curl"),
                user: text("bob"),
                ..identity("/system.slice/a.service")
            },
            Identity {
                cgroups: Vec::new(),
                ..identity("/agents-x.slice/b.service")
            },
            Identity {
                container_name: text("web"),
                image: text("docker.io/library/nginx:1.27"),
                ..identity(&format!("/system.slice/docker-{id}.scope"))
            },
            Identity {
                container_name: text("web"),
                ..identity(&format!("/system.slice/docker-{id}.scope/init.scope"))
            },
            identity("/user.slice/user-7.slice/user@7.service/app.slice/x\n.service"),
            Identity {
                namespace: text("shop"),
                owner: text("deployment/api"),
                container_name: text("server"),
                cgroups: vec![String::new(), String::new()],
                ..identity(&pod)
            },
            Identity {
                unresolved: true,
                ..identity(&pod)
            },
            Identity {
                task: text("t-1"),
                ..identity("/jobs/7")
            },
            identity("/jobs/8"),
        ];
        let expected = "\
/
├── /jobs/8
├── agents.slice
│   └── agents-x.slice
│       └── b.service  (gone)
├── namespace shop
│   └── deployment/api
│       └── container server  (2 cgroups)
├── pod 6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b
│   └── container 3f4a1c0e9b7d  (unresolved)
├── system.slice
│   ├── a.service
│   │   └── executable /usr/bin/curl
│   │       └── user bob
│   └── container web  (nginx:1.27)
│       └── init.scope
├── task t-1
└── user.slice
    └── user-7.slice
        └── user@7.service
            └── x\\n.service
";
        assert_eq!(printed(|out| print(&identities, out)), expected);
        assert_eq!(printed(|out| print(&[], out)), "no identities\n");
    }
}
