//! From the API's pods to ours.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};

use super::{ContainerInfo, PodInfo, owner};

/// What the API server calls a pod that the kubelet made from a file has another UID there than
/// on the node: this annotation has the node's.
const STATIC_UID: &str = "kubernetes.io/config.mirror";

/// The UID that names the pod's cgroups. `None` for what is no pod.
pub(super) fn uid(pod: &Pod) -> Option<String> {
    let annotations = pod.metadata.annotations.as_ref();
    let on_the_node = annotations.and_then(|all| all.get(STATIC_UID));
    let uid = on_the_node.or(pod.metadata.uid.as_ref())?;
    (!uid.is_empty()).then(|| uid.to_ascii_lowercase())
}

pub(super) fn pod(pod: Pod) -> Option<PodInfo> {
    let uid = uid(&pod)?;
    let Pod {
        metadata,
        spec,
        status,
    } = pod;
    let labels = metadata.labels.unwrap_or_default();
    let owner = owner::template(&metadata.owner_references.unwrap_or_default(), &labels);
    let spec = spec.unwrap_or_default();
    Some(PodInfo {
        uid,
        namespace: metadata.namespace?,
        name: metadata.name?,
        owner,
        labels,
        containers: containers(&spec, status.unwrap_or_default()),
        service_account: spec.service_account_name.filter(|name| !name.is_empty()),
        node: spec.node_name,
    })
}

fn containers(spec: &PodSpec, status: PodStatus) -> Vec<ContainerInfo> {
    let init = spec.init_containers.iter().flatten();
    let main = spec.containers.iter();
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let images: BTreeMap<&str, &str> = init
        .chain(main)
        .filter_map(|one| Some((one.name.as_str(), one.image.as_deref()?)))
        .chain(ephemeral.filter_map(|one| Some((one.name.as_str(), one.image.as_deref()?))))
        .collect();
    let statuses = [
        status.init_container_statuses,
        status.container_statuses,
        status.ephemeral_container_statuses,
    ];
    statuses
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|status| {
            let ContainerStatus {
                container_id,
                name,
                image,
                ..
            } = status;
            Some(ContainerInfo {
                id: id(&container_id?)?,
                image: images
                    .get(name.as_str())
                    .map_or(image, |image| (*image).to_owned()),
                name,
            })
        })
        .collect()
}

/// `3f…` from `containerd://3f…`.
fn id(id: &str) -> Option<String> {
    let id = id.rsplit_once("://").map_or(id, |(_, id)| id);
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_ascii_lowercase())
}
