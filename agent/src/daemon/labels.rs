//! What is known about a cgroup: what its path says, what a runtime says about its container, and
//! what Kubernetes says about its pod.
//!
//! A runtime may write down a container a moment after its cgroup was made, so it is asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::pods::Pods;
use crate::{
    host::{
        cgroups,
        containers::{ContainerInfo, ContainerRuntimes, PodInfo},
    },
    identity::{Labels, Layout},
};

/// How often a runtime is asked about a container that it does not know.
const TRIES: u32 = 6;
/// How many names of its own a workload can have at the same time. It makes them as it likes, and
/// each is an identity with rules in the kernel.
const MAX_INNER: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Labeller {
    /// Where the cgroups are mounted.
    root: PathBuf,
    /// Directories in which names count: see [`Layout::parents`].
    parents: Vec<String>,
    pub(super) pods: Pods,
    runtimes: ContainerRuntimes,
    /// Cgroups of containers that no runtime knows, or not yet.
    incomplete: BTreeMap<u64, Incomplete>,
    /// What workloads have set apart below themselves, by the key of the workload.
    inner: BTreeMap<String, BTreeSet<Inner>>,
}

#[derive(Debug)]
struct Incomplete {
    path: String,
    tries_left: u32,
}

type Inner = (Option<String>, Option<String>);

impl Labeller {
    pub(super) fn new(root: &Path, parents: Vec<String>, pods: Pods) -> Self {
        Self {
            root: root.to_owned(),
            parents,
            pods,
            ..Self::default()
        }
    }

    pub(super) fn labels_of(&mut self, cgroup: u64, path: &str) -> Labels {
        let n_by_root = cgroups::n_made_by_root(&self.root, path);
        self.labels_in(cgroup, path, n_by_root)
    }

    /// The same, and the key of the workload whose part it is.
    pub(super) fn labels_and_account(&mut self, cgroup: u64, path: &str) -> (Labels, String) {
        let n_by_root = cgroups::n_made_by_root(&self.root, path);
        let labels = self.labels_in(cgroup, path, n_by_root);
        let account = labels.account(&self.layout(n_by_root)).key();
        (labels, account)
    }

    fn labels_in(&mut self, cgroup: u64, path: &str, n_by_root: usize) -> Labels {
        let labels = self.known(path, n_by_root);
        if is_incomplete(&labels) {
            self.incomplete.entry(cgroup).or_insert(Incomplete {
                path: path.to_owned(),
                tries_left: TRIES,
            });
        }
        labels
    }

    /// Cgroups of which more is known now than when they were named, among those that are there.
    pub(super) fn ask_again(&mut self, is_there: impl Fn(u64) -> bool) -> Vec<(u64, Labels)> {
        let mut complete = Vec::new();
        for (cgroup, mut asked) in std::mem::take(&mut self.incomplete) {
            // Many containers may come and go between two times, and nobody asks for those.
            if !is_there(cgroup) {
                continue;
            }
            let n_by_root = cgroups::n_made_by_root(&self.root, &asked.path);
            let labels = self.known(&asked.path, n_by_root);
            asked.tries_left = asked.tries_left.saturating_sub(1);
            if !is_incomplete(&labels) {
                complete.push((cgroup, labels));
            } else if asked.tries_left > 0 {
                self.incomplete.insert(cgroup, asked);
            }
        }
        complete
    }

    /// Makes room for new names in place of those that are not among `live`.
    pub(super) fn forget_names<'l>(&mut self, live: impl Iterator<Item = &'l Labels>) {
        self.inner.clear();
        for labels in live.filter(|labels| has_inner(labels)) {
            let (outer, inner) = split(labels);
            self.inner.entry(outer.key()).or_default().insert(inner);
        }
    }

    fn known(&mut self, path: &str, n_by_root: usize) -> Labels {
        let mut labels = Labels::from_path_in(path, &self.layout(n_by_root));
        let info = labels
            .container
            .as_deref()
            .and_then(|id| self.runtimes.look_up(id));
        if let Some(info) = info {
            add(&mut labels, info);
        }
        self.pods.describe(&mut labels);
        self.within_limits(labels)
    }

    /// The workload whose part an identity is: see [`Labels::account`].
    pub(super) fn account(&self, labels: &Labels) -> Labels {
        let n_by_root = cgroups::n_made_by_root(&self.root, &labels.cgroup);
        labels.account(&self.layout(n_by_root))
    }

    fn layout(&self, n_by_root: usize) -> Layout<'_> {
        Layout {
            n_by_root,
            parents: &self.parents,
        }
    }

    /// Beyond the limit a workload is one again.
    fn within_limits(&mut self, labels: Labels) -> Labels {
        if !has_inner(&labels) {
            return labels;
        }
        let (outer, inner) = split(&labels);
        let names = self.inner.entry(outer.key()).or_default();
        if names.contains(&inner) || names.len() < MAX_INNER {
            names.insert(inner);
            return labels;
        }
        tracing::debug!(path = labels.cgroup, "too many names below one workload");
        Labels {
            cgroup: labels.cgroup,
            ..outer
        }
    }
}

const fn is_incomplete(labels: &Labels) -> bool {
    labels.container.is_some() && labels.container_name.is_none()
}

const fn has_inner(labels: &Labels) -> bool {
    labels.user_unit.is_some() || labels.nested.is_some()
}

/// A workload, and what it calls this part of itself.
fn split(labels: &Labels) -> (Labels, Inner) {
    let mut outer = labels.clone();
    let inner = (outer.user_unit.take(), outer.nested.take());
    (outer, inner)
}

/// A runtime that speaks of another pod than the path is not believed.
fn add(labels: &mut Labels, info: ContainerInfo) {
    let ContainerInfo { name, image, pod } = info;
    let told = pod.as_ref().and_then(|pod| pod.uid.as_ref());
    if let (Some(uid), Some(told)) = (&labels.pod, told)
        && uid != told
    {
        return;
    }
    labels.container_name = name;
    labels.image = image;
    if let Some(PodInfo {
        uid,
        namespace,
        name,
    }) = pod
    {
        labels.pod = labels.pod.take().or(uid);
        labels.namespace = Some(namespace);
        labels.pod_name = Some(name);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::unistd::geteuid;
    use tempfile::TempDir;

    use super::*;

    const ID: &str = "56be4436a0c4ede2ffd9b58b45fba236dfa34fbc71d4bbc832156da53ea6f49f";
    const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";

    fn labeller(root: &Path) -> Labeller {
        Labeller {
            runtimes: ContainerRuntimes::below(root, geteuid().as_raw()),
            ..Labeller::default()
        }
    }

    fn docker_knows(root: &Path, name: &str) {
        let directory = root.join("var/lib/docker/containers").join(ID);
        fs::create_dir_all(&directory).expect("directories");
        let text = format!(r#"{{"ID":"{ID}","Name":"/{name}","Config":{{"Image":"org/app:1"}}}}"#);
        fs::write(directory.join("config.v2.json"), text).expect("a file");
    }

    #[test]
    fn a_container_gets_its_name_when_the_runtime_knows_it() {
        let root = TempDir::new().expect("a directory");
        let mut labeller = labeller(root.path());
        let path = format!("/docker/{ID}");
        let key = labeller.labels_of(1, &path).key();
        assert_eq!(key, format!("container:{ID}"));
        assert_eq!(labeller.ask_again(|_| true), []);
        docker_knows(root.path(), "web");
        let found = labeller.ask_again(|_| true);
        let [(1, labels)] = found.as_slice() else {
            panic!("one cgroup, found {found:?}");
        };
        assert_eq!(labels.key(), "container:web");
        assert_eq!(labels.image.as_deref(), Some("docker.io/org/app:1"));
        assert_eq!(labeller.ask_again(|_| true), []);
        assert_eq!(&labeller.labels_of(2, &path), labels);
        let below = labeller.labels_of(3, &format!("{path}/init.scope"));
        assert_eq!(below.key(), "container:web/init.scope");
    }

    #[test]
    fn nobody_asks_for_ever() {
        let root = TempDir::new().expect("a directory");
        let mut labeller = labeller(root.path());
        labeller.labels_of(1, &format!("/docker/{ID}"));
        labeller.labels_of(2, "/system.slice/a.service");
        assert_eq!(labeller.incomplete.len(), 1);
        for _ in 0..TRIES {
            assert_eq!(labeller.ask_again(|_| true), []);
        }
        assert!(labeller.incomplete.is_empty());
        labeller.labels_of(1, &format!("/docker/{ID}"));
        assert_eq!(labeller.ask_again(|_| false), []);
        assert!(labeller.incomplete.is_empty());
    }

    #[test]
    fn a_pod_is_named_by_its_runtime_and_not_by_another_one() {
        let root = TempDir::new().expect("a directory");
        let mut labeller = labeller(root.path());
        docker_knows(root.path(), &format!("k8s_server_api-1_shop_{UID}_0"));
        let labels = labeller.labels_of(1, &format!("/kubepods/pod{UID}/{ID}"));
        assert_eq!(labels.key(), "pod:shop/pod/api-1/server");
        let elsewhere = UID.replace('6', "7");
        let path = format!("/kubepods/pod{elsewhere}/{ID}");
        let labels = labeller.labels_of(2, &path);
        assert_eq!(labels, Labels::from_cgroup_path(&path));
    }

    #[test]
    fn a_workload_cannot_be_arbitrarily_many() {
        let mut labeller = labeller(Path::new("/nonexistent"));
        let keys = |labeller: &mut Labeller, from: usize| {
            let paths = (from..from + 2 * MAX_INNER)
                .map(|index| format!("/system.slice/evil.service/{index}.scope"));
            let keys = paths.map(|path| labeller.labels_of(1, &path).key());
            keys.collect::<BTreeSet<_>>()
        };
        let found = keys(&mut labeller, 0);
        assert_eq!(found.len(), MAX_INNER + 1);
        assert!(found.contains("unit:evil.service"));
        let other = labeller.labels_of(1, "/system.slice/good.service/a.scope");
        assert_eq!(other.key(), "unit:good.service/a.scope");
        assert_eq!(keys(&mut labeller, 10_000).len(), 1);
        labeller.forget_names([other].iter());
        assert_eq!(keys(&mut labeller, 20_000).len(), MAX_INNER + 1);
    }
}
