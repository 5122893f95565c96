//! From the API's pods to ours.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};

use super::{ContainerInfo, PodInfo, owner};

/// What the API server calls a pod that the kubelet made from a file has another UID there than
/// on the node: this annotation has the node's. Whoever may make pods may write it, so it must not
/// lead to a pod that the API server has named, whose UID has dashes.
const STATIC_UID: &str = "kubernetes.io/config.mirror";

/// The UID that names the pod's cgroups. `None` for what is no pod.
pub(super) fn uid(pod: &Pod) -> Option<String> {
    let annotations = pod.metadata.annotations.as_ref();
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let is_of_node = owners.any(|owner| owner.kind == "Node");
    let on_the_node = annotations.and_then(|all| all.get(STATIC_UID));
    let on_the_node = on_the_node.filter(|uid| is_of_node && !uid.contains('-'));
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_a_node_says_what_a_pod_is_called_there() {
        const OWN: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";
        let check = |mirrored: &str, owners: Value, expected: &str| {
            let pod = json!({"metadata": {
                "uid": OWN,
                "annotations": {STATIC_UID: mirrored},
                "ownerReferences": owners,
            }});
            let pod: Pod = serde_json::from_value(pod).expect("a pod");
            assert_eq!(uid(&pod).as_deref(), Some(expected), "{mirrored}");
        };
        let owner =
            |kind: &str| json!([{"kind": kind, "name": "n", "uid": "u", "apiVersion": "v1"}]);
        let hash = "9d3c1b7e0f2a4d5c6b7a8e9f00112233";
        check(hash, owner("Node"), hash);
        check(hash, owner("ReplicaSet"), OWN);
        check(hash, json!([]), OWN);
        let other = "00000000-1111-4222-8333-444444444444";
        check(other, owner("Node"), OWN);
    }
}
