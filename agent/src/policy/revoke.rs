//! The deny rule that takes rights of one identity.

use std::{collections::BTreeSet, sync::Arc};

use agent_common::destination::ANY_PORT;

use super::{
    EgressDeny, Metadata, Object, Parts, Spec, Subject, object::ALL_ENDPOINTS, subject::name_for,
};
use crate::{endpoint::Plane, identity::Labels};

/// Refuses whoever has these labels everything. `None` if no subject could select it alone.
#[must_use]
pub fn refuse_all(key: &str, labels: &Labels, why: &str) -> Option<Object> {
    refuse(&name_for("revoked", key), labels, ALL_ENDPOINTS, why)
}

/// Refuses whoever has these labels an endpoint. `None` as above.
#[must_use]
pub fn refuse(name: &str, labels: &Labels, endpoint: &str, why: &str) -> Option<Object> {
    let parts = Parts {
        // It may have another image tomorrow.
        image: None,
        ..Parts::of(labels)
    };
    if parts == Parts::default() {
        return None;
    }
    let rule = EgressDeny {
        subjects: vec![Subject::Parts(Arc::new(parts))],
        endpoints: vec![endpoint.to_owned()],
        planes: BTreeSet::from(Plane::ALL),
        cidrs: Vec::new(),
        ports: BTreeSet::from([ANY_PORT]),
        reason: why.to_owned(),
    };
    Some(Object {
        metadata: Metadata {
            name: name.to_owned(),
            ..Metadata::default()
        },
        spec: Spec::EgressDeny(rule),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::parse;

    #[test]
    fn a_pod_is_refused_by_what_all_its_copies_have() {
        let labels = Labels {
            cgroup: "/kubepods.slice/pod1".to_owned(),
            pod: Some("1".to_owned()),
            namespace: Some("shop".to_owned()),
            service_account: Some("api".to_owned()),
            image: Some("ghcr.io/shop/api:1".to_owned()),
            pod_labels: [("app", "api"), ("pod-template-hash", "7f9c")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Labels::default()
        };
        let object = refuse_all("pod:shop/deployment/api/server", &labels, "why").expect("a rule");
        assert_eq!(object.name(), "revoked-pod-shop-deployment-api-server");
        let yaml = object.to_yaml().expect("YAML");
        let read = parse("revoked", &yaml)
            .expect("a valid rule")
            .remove(0)
            .value;
        assert_eq!(read, object);
        for absent in ["podUid", "image", "hash"] {
            assert!(!yaml.contains(absent), "{yaml}");
        }
    }

    #[test]
    fn nobody_is_refused_by_a_subject_that_selects_all() {
        let labels = Labels::from_cgroup_path("/");
        assert_eq!(refuse_all("cgroup:/", &labels, "why"), None);
    }
}
