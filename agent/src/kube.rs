//! What Kubernetes says about the pods of this node: its API server, or the kubelet.
//!
//! It reports what it is told and when nobody answers; [`inventory`] keeps what is known
//! meanwhile. No type of the client library leaves this module.

mod api;
mod convert;
pub mod inventory;
mod kubelet;
mod owner;
mod reporter;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;

use self::reporter::Reporter;

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name of the node whose pods matter.
    pub node: String,
    pub source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The API server that a kubeconfig file names; `None` for that of the cluster around.
    Api { kubeconfig: Option<PathBuf> },
    Kubelet {
        url: String,
        /// Whom the kubelet's certificate must be signed by; `None` for the cluster's authority.
        ca: Option<PathBuf>,
        /// Whether any certificate will do.
        insecure: bool,
    },
}

/// A pod as far as attribution needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodInfo {
    /// As in the names of its cgroups.
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub service_account: Option<String>,
    /// What the pod was made from; `None` for a pod that stands for itself.
    pub owner: Option<Owner>,
    /// Those that have a container id, init and ephemeral ones among them.
    pub containers: Vec<ContainerInfo>,
    pub node: Option<String>,
}

/// The template behind a pod, which stays the same over updates and runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// As Kubernetes spells it: `Deployment`.
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInfo {
    /// 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    /// As the pod's author wrote it.
    pub image: String,
}

/// What has become known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// These are all pods there are.
    Replaced(Vec<PodInfo>),
    Applied(PodInfo),
    /// The pod with this UID.
    Deleted(String),
    /// What is known is current from here on.
    Connected,
    /// What is known is not current any more.
    Away {
        since: Timestamp,
        why: String,
    },
}

/// Follows the node's pods for ever, whatever happens to whom it asks.
pub async fn run(options: Options, report: impl Fn(Update) + Send + Sync) {
    let Options { node, source } = options;
    let mut reporter = Reporter::new(&report);
    match source {
        Source::Api { kubeconfig } => api::run(&node, kubeconfig.as_deref(), &mut reporter).await,
        Source::Kubelet { url, ca, insecure } => {
            kubelet::run(&node, &url, ca.as_deref(), insecure, &mut reporter).await;
        }
    }
}

#[cfg(test)]
mod tests;
