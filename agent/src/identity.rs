//! Who a workload is: what its cgroup path says about unit, container and pod.
//!
//! A cgroup id is not an identity: it changes with every restart. An identity has a stable
//! [`Identity::key`] and a number that the store keeps for it.

mod cgroup_path;

use agent_common::identity::IdentityId;

/// A workload that policy can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: IdentityId,
    pub labels: Labels,
}

impl Identity {
    /// Stable name, the same after a restart: `unit:nginx.service`, `container:3f…`, `cgroup:/a/b`.
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
    /// Innermost systemd unit: `nginx.service`, `session-3.scope`.
    pub unit: Option<String>,
    /// Innermost systemd slice: `system.slice`.
    pub slice: Option<String>,
    /// Container id, 64 hexadecimal digits.
    pub container: Option<String>,
    /// Kubernetes pod UID.
    pub pod: Option<String>,
}

impl Labels {
    /// What a cgroup path says.
    #[must_use]
    pub fn from_cgroup_path(path: &str) -> Self {
        cgroup_path::parse(path)
    }

    /// See [`Identity::key`].
    #[must_use]
    pub fn key(&self) -> String {
        let Self {
            cgroup,
            unit,
            slice: _,
            container,
            pod: _,
        } = self;
        if let Some(container) = container {
            return format!("container:{container}");
        }
        match unit {
            Some(unit) => format!("unit:{unit}"),
            None => format!("cgroup:{cgroup}"),
        }
    }
}
