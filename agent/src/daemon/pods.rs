//! Names cgroups of pods by what Kubernetes says, and keeps that for when nobody says anything.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Core;
use crate::{
    config::{Kubernetes, PodSource},
    error_chain,
    host::{
        cgroups,
        clock::{Now, now},
    },
    identity::{Identity, Labels},
    kube::{
        ContainerInfo, Options, Owner, PodInfo, Source, Update,
        inventory::{Inventory, PodKey, State},
    },
    store::{Store, StoreError, StoredPod},
};

/// What is known about pods; nothing if nobody is asked.
#[derive(Debug, Default)]
pub(super) struct Pods {
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    options: Options,
    inventory: Inventory,
}

/// How fresh metadata of pods is, for `weir status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesView {
    /// `api` or `kubelet`.
    pub source: &'static str,
    pub node: String,
    pub pods: usize,
    /// Pods that have cgroups and that nobody has told of.
    pub unresolved: usize,
    pub state: State,
    /// When what is known was current for the last time; `None` if nothing ever was.
    pub current_at: Option<Timestamp>,
    pub age: Option<SignedDuration>,
}

impl Pods {
    /// With what an earlier agent has kept.
    pub(super) fn recall(
        config: Option<&Kubernetes>,
        store: &Store,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let Some(config) = config else {
            return Ok(Self::default());
        };
        let (pods, current_at) = store.pods()?;
        let pods = pods.into_iter().map(recalled).collect();
        let asked = Asked {
            options: options(config),
            inventory: Inventory::remembered(pods, current_at, now),
        };
        Ok(Self { asked: Some(asked) })
    }

    pub(super) fn options(&self) -> Option<Options> {
        self.asked.as_ref().map(|asked| asked.options.clone())
    }

    /// Adds to what a cgroup path and a runtime say.
    pub(super) fn describe(&self, labels: &mut Labels) {
        let Some(Asked { inventory, .. }) = &self.asked else {
            return;
        };
        let (uid, container) = (labels.pod.as_deref(), labels.container.as_deref());
        let Some((pod, container)) = inventory.find(uid, container) else {
            labels.is_unresolved = labels.pod.is_some();
            return;
        };
        let PodInfo {
            uid,
            namespace,
            name,
            labels: pod_labels,
            service_account,
            owner,
            containers: _,
            node: _,
        } = pod;
        labels.pod.get_or_insert_with(|| uid.clone());
        labels.namespace = Some(namespace.clone());
        labels.pod_name = Some(name.clone());
        labels.pod_labels.clone_from(pod_labels);
        labels.service_account.clone_from(service_account);
        labels.owner = owner
            .as_ref()
            .map(|Owner { kind, name }| format!("{}/{name}", kind.to_ascii_lowercase()));
        if let Some(ContainerInfo { id: _, name, image }) = container {
            labels.container_name = Some(name.clone());
            labels.image = Some(image.clone());
        }
    }

    /// Whether labels are of one of these pods.
    fn concern(&self, changed: &BTreeSet<PodKey>, labels: &Labels) -> bool {
        let (uid, container) = (labels.pod.as_deref(), labels.container.as_deref());
        self.asked.as_ref().is_some_and(|asked| {
            let pod = asked.inventory.key(uid, container);
            pod.is_some_and(|pod| changed.contains(&pod))
        })
    }
}

impl Core {
    pub(super) fn take_pods(&mut self, update: Update) {
        let at = now();
        match &update {
            Update::Connected => tracing::info!("metadata of pods is current"),
            Update::Away { since: _, why } => {
                tracing::warn!(why, "metadata of pods is not current: what is known stays");
            }
            Update::Replaced(_) | Update::Applied(_) | Update::Deleted(_) => {}
        }
        let Some(Asked { inventory, .. }) = &mut self.labels.pods.asked else {
            return;
        };
        let changed = inventory.apply(update, at.wall);
        if changed.is_empty() {
            return;
        }
        let pods: Vec<_> = inventory.pods().map(kept).collect();
        if let Err(error) = self.store.keep_pods(&pods, at.wall) {
            tracing::error!(error = error_chain(&error), "pods not stored");
        }
        self.rename_pods(&changed, &at);
    }

    /// While pods do not change, they are current all the same.
    pub(super) fn note_pods(&mut self, at: Timestamp) {
        let Some(Asked { inventory, .. }) = &mut self.labels.pods.asked else {
            return;
        };
        if *inventory.state() != State::Connected {
            return;
        }
        inventory.touch(at);
        if let Err(error) = self.store.pods_are_current(at) {
            tracing::warn!(error = error_chain(&error), "age of pods not stored");
        }
    }

    /// Names each cgroup of these pods again whose labels are others now.
    fn rename_pods(&mut self, changed: &BTreeSet<PodKey>, at: &Now) {
        let before = self.workloads.identities();
        for (cgroup, path) in self.workloads.present() {
            let Some(known) = self.workloads.labels_at(cgroup).cloned() else {
                continue;
            };
            if !self.labels.pods.concern(changed, &known) {
                continue;
            }
            let mut labels = self.labels.labels_of(cgroup, &path);
            labels.task = self.task_of(cgroup, &path);
            // What a pod that is gone leaves behind for a moment needs no other name.
            let is_left_over = labels.is_unresolved
                && !known.is_unresolved
                && !cgroups::is_populated(&self.host.cgroup_root, &path);
            if labels == known || is_left_over {
                continue;
            }
            if let Err(error) = self.try_name(cgroup, labels, at) {
                let error = error_chain(&*error);
                tracing::error!(error, path, "cgroup keeps its former identity");
            }
        }
        // The key of an identity may stay while policy selects it no more.
        let is_stale = |identity: &Identity| {
            let now = self.workloads.identity(identity.id);
            now.is_some_and(|now| differ(&identity.labels, &now.labels))
        };
        if self.is_in_force && before.iter().any(is_stale) {
            self.reinstall("metadata of pods has changed");
        }
    }

    pub(super) fn kubernetes(&self) -> Option<KubernetesView> {
        let Asked { options, inventory } = self.labels.pods.asked.as_ref()?;
        let Options { node, source } = options.clone();
        let present = self.workloads.present();
        let unresolved: BTreeSet<_> = present
            .iter()
            .filter_map(|(cgroup, _)| self.workloads.labels_at(*cgroup))
            .filter(|labels| labels.is_unresolved)
            .map(|labels| &labels.pod)
            .collect();
        Some(KubernetesView {
            source: match source {
                Source::Api { .. } => "api",
                Source::Kubelet { .. } => "kubelet",
            },
            node,
            pods: inventory.pods().count(),
            unresolved: unresolved.len(),
            state: inventory.state().clone(),
            current_at: inventory.current_at(),
            age: inventory.age(now().wall),
        })
    }
}

/// Whether labels of one key mean something else to policy: the identity stays and its rules do
/// not. What tells single cgroups of an identity apart is not among that.
fn differ(one: &Labels, other: &Labels) -> bool {
    let selected = |labels: &Labels| {
        let Labels {
            cgroup: _,
            unit: _,
            slice: _,
            user_unit: _,
            nested: _,
            container: _,
            container_name,
            image,
            pod: _,
            pod_name,
            namespace,
            service_account,
            owner: _,
            pod_labels,
            is_unresolved,
            task: _,
            exe: _,
            user: _,
        } = labels.clone();
        let texts = [container_name, image, pod_name, namespace, service_account];
        (texts, pod_labels, is_unresolved)
    };
    selected(one) != selected(other)
}

fn options(config: &Kubernetes) -> Options {
    let Kubernetes { node, source } = config.clone();
    let source = match source {
        PodSource::Api { kubeconfig } => Source::Api { kubeconfig },
        PodSource::Kubelet { url, ca, insecure } => Source::Kubelet { url, ca, insecure },
    };
    Options { node, source }
}

fn kept(pod: &PodInfo) -> StoredPod {
    let PodInfo {
        uid,
        namespace,
        name,
        labels,
        service_account,
        owner,
        containers,
        node,
    } = pod.clone();
    let containers = containers.into_iter();
    StoredPod {
        uid,
        namespace,
        name,
        labels,
        service_account,
        owner: owner.map(|Owner { kind, name }| (kind, name)),
        containers: containers
            .map(|ContainerInfo { id, name, image }| [id, name, image])
            .collect(),
        node,
    }
}

fn recalled(pod: StoredPod) -> PodInfo {
    let StoredPod {
        uid,
        namespace,
        name,
        labels,
        service_account,
        owner,
        containers,
        node,
    } = pod;
    let containers = containers.into_iter();
    PodInfo {
        uid,
        namespace,
        name,
        labels,
        service_account,
        owner: owner.map(|(kind, name)| Owner { kind, name }),
        containers: containers
            .map(|[id, name, image]| ContainerInfo { id, name, image })
            .collect(),
        node,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";

    fn pod() -> PodInfo {
        PodInfo {
            uid: UID.to_owned(),
            namespace: "team".to_owned(),
            name: "api-7d9f8b6c5d-x2x4z".to_owned(),
            labels: BTreeMap::from([("app".to_owned(), "api".to_owned())]),
            service_account: Some("reader".to_owned()),
            owner: Some(Owner {
                kind: "Deployment".to_owned(),
                name: "api".to_owned(),
            }),
            containers: vec![ContainerInfo {
                id: "a".repeat(64),
                name: "main".to_owned(),
                image: "image:7".to_owned(),
            }],
            node: Some("n1".to_owned()),
        }
    }

    fn pods(is_asked: bool) -> Pods {
        let asked = Asked {
            options: Options {
                node: "n1".to_owned(),
                source: Source::Api { kubeconfig: None },
            },
            inventory: Inventory::remembered(vec![pod()], None, Timestamp::UNIX_EPOCH),
        };
        Pods {
            asked: is_asked.then_some(asked),
        }
    }

    fn described(is_asked: bool, path: &str) -> Labels {
        let mut labels = Labels::from_cgroup_path(path);
        pods(is_asked).describe(&mut labels);
        labels
    }

    #[test]
    fn a_container_of_a_pod_is_named_by_what_made_it() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let check = |path: &str, key: &str, image: Option<&str>| {
            let labels = described(true, path);
            assert_eq!(labels.key(), key, "{path}");
            assert_eq!(labels.image.as_deref(), image, "{path}");
            assert!(!labels.is_unresolved, "{path}");
            assert_eq!(labels.service_account.as_deref(), Some("reader"), "{path}");
            assert_eq!(labels.pod_labels.len(), 1, "{path}");
        };
        let pod = format!("/kubepods/burstable/pod{UID}");
        check(
            &format!("{pod}/{a}"),
            "pod:team/deployment/api/main",
            Some("image:7"),
        );
        let unknown = format!("pod:team/deployment/api/{b}");
        check(&format!("{pod}/{b}"), &unknown, None);
        check(&pod, "pod:team/deployment/api", None);
        check(
            &format!("/docker/{a}"),
            "pod:team/deployment/api/main",
            Some("image:7"),
        );
    }

    #[test]
    fn a_pod_that_nobody_has_told_of_is_unresolved_if_anybody_is_asked() {
        let path = format!("/kubepods/burstable/pod{}", UID.replace('6', "7"));
        assert!(described(true, &path).is_unresolved);
        assert!(!described(false, &path).is_unresolved);
        assert!(!described(true, "/system.slice/a.service").is_unresolved);
        assert_eq!(described(false, "/a").namespace, None);
    }

    #[test]
    fn what_is_kept_is_recalled() {
        assert_eq!(recalled(kept(&pod())), pod());
        let bare = PodInfo::default();
        assert_eq!(recalled(kept(&bare)), bare);
    }

    #[test]
    fn only_what_policy_selects_makes_rules_stale() {
        let labels = || described(true, &format!("/kubepods/pod{UID}"));
        let mut elsewhere = labels();
        elsewhere.cgroup = "/elsewhere".to_owned();
        elsewhere.container = Some("c".to_owned());
        assert!(!differ(&labels(), &elsewhere));
        let mut relabelled = labels();
        relabelled.pod_labels.clear();
        assert!(differ(&labels(), &relabelled));
    }
}
