//! Who a workload is: unit, container, pod, task; and, if policy asks for it, executable and user.
//!
//! A cgroup id is not an identity: it changes with every restart. An identity has a stable
//! [`Identity::key`] and a number that the store keeps for it.

mod cgroup_path;
mod key;
mod label;

use std::{collections::BTreeMap, sync::Arc};

use agent_common::identity::IdentityId;
pub use label::LabelKey;

/// A workload that policy can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: IdentityId,
    /// Those of its cgroup, mostly: a host has thousands.
    pub labels: Arc<Labels>,
}

impl Identity {
    /// See [`Labels::key`].
    #[must_use]
    pub fn key(&self) -> String {
        self.labels.key()
    }
}

/// What is known about a workload. Policy subjects select over these.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// Path below the cgroup v2 mount, `/` first: `/system.slice/nginx.service`.
    pub cgroup: String,
    /// Systemd unit of the host: `nginx.service`, `session-3.scope`.
    pub unit: Option<String>,
    /// Innermost systemd slice of the host: `system.slice`.
    pub slice: Option<String>,
    /// Unit of a user's own manager, which that user names: `backup.service`.
    pub user_unit: Option<String>,
    /// What the workload itself, or its runtime, has set apart below it: `a.service`.
    pub nested: Option<String>,
    /// Container id, 64 hexadecimal digits.
    pub container: Option<String>,
    /// What its runtime calls the container.
    pub container_name: Option<String>,
    /// Reference of its image, as the runtime tells it.
    pub image: Option<String>,
    /// Kubernetes pod UID.
    pub pod: Option<String>,
    pub pod_name: Option<String>,
    /// Namespace of the pod.
    pub namespace: Option<String>,
    /// Service account of the pod.
    pub service_account: Option<String>,
    /// Kind and name of what made the pod: `deployment/api`.
    pub owner: Option<String>,
    pub pod_labels: BTreeMap<String, String>,
    /// A pod whose metadata is not known, although a source of it is configured.
    pub is_unresolved: bool,
    /// Lease of a task: set for a registered cgroup, never read from a path.
    pub task: Option<String>,
    /// Only processes of this executable, an absolute path.
    pub exe: Option<String>,
    /// Only processes of this user.
    pub user: Option<LocalUser>,
}

/// Which directories of a path root has made, and names below them.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'l> {
    /// So many of its directories, from the top, belong to root.
    pub n_by_root: usize,
    /// Directories in which names count, beside slices and what runtimes make by default: paths below
    /// the cgroup v2 mount, `/` first.
    pub parents: &'l [String],
}

impl Default for Layout<'_> {
    /// Root has made everything, and nothing unusual.
    fn default() -> Self {
        Self {
            n_by_root: usize::MAX,
            parents: &[],
        }
    }
}

impl Layout<'_> {
    /// Whether the directory is one of its parents, or leads to one.
    fn has(&self, directory: &str) -> bool {
        self.parents.iter().any(|parent| {
            let below = parent.strip_prefix(directory);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalUser {
    pub uid: u32,
    pub name: Option<String>,
}

impl Labels {
    /// What a cgroup path says where root has made everything down to the first workload.
    #[must_use]
    pub fn from_cgroup_path(path: &str) -> Self {
        cgroup_path::parse(path, &Layout::default())
    }

    /// What a cgroup path says.
    #[must_use]
    pub fn from_path_in(path: &str, layout: &Layout<'_>) -> Self {
        cgroup_path::parse(path, layout)
    }

    /// The workload whose part this is: nobody can be another one by running another program, by
    /// another user, in a cgroup that it has made, or in a task. Limits count for all parts together.
    #[must_use]
    pub fn account(&self, layout: &Layout<'_>) -> Self {
        let mut account = Self {
            user_unit: None,
            nested: None,
            task: None,
            exe: None,
            user: None,
            ..self.clone()
        };
        if let Some(given) = cgroup_path::given(&self.cgroup, layout) {
            account.cgroup = given.to_owned();
        }
        account
    }

    /// Whether a cgroup at this path is always this identity: what systemd makes again and again,
    /// and what root has laid out, but nothing that is named anew each time.
    #[must_use]
    pub fn is_bound_to_path(&self) -> bool {
        let is_transient = |unit: &String| unit.ends_with(".scope") && unit != "init.scope";
        self.container.is_none()
            && self.pod.is_none()
            && self.task.is_none()
            && self.nested.is_none()
            && self.exe.is_none()
            && self.user.is_none()
            && !self.unit.as_ref().is_some_and(is_transient)
    }

    /// Stable name, the same after a restart and in another cgroup: `unit:nginx.service`,
    /// `container:web`, `pod:shop/deployment/api/server`, `cgroup:/a/b`.
    #[must_use]
    pub fn key(&self) -> String {
        key::key(self)
    }
}
