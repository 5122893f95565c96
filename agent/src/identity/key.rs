//! The stable name of an identity.
//!
//! It begins with what the host itself has named, so that nothing that a workload names below
//! itself becomes the name of another one.

use std::borrow::Cow;

use super::{Labels, LocalUser};

pub(super) fn key(labels: &Labels) -> String {
    let Labels {
        cgroup: _,
        unit: _,
        slice: _,
        user_unit,
        nested,
        container: _,
        container_name: _,
        image: _,
        pod: _,
        pod_name: _,
        namespace: _,
        service_account: _,
        owner: _,
        pod_labels: _,
        is_unresolved: _,
        task: _,
        exe,
        user,
    } = labels;
    let mut key = outermost(labels);
    for inner in [user_unit, nested].into_iter().flatten() {
        key.push('/');
        key.push_str(&without_spaces(inner));
    }
    if let Some(exe) = exe {
        key.push_str(" exe:");
        key.push_str(&without_spaces(&exe.replace('\\', r"\x5c")));
    }
    if let Some(LocalUser { uid, name }) = user {
        key.push_str(" user:");
        match name {
            Some(name) => key.push_str(&without_spaces(name)),
            None => key.push_str(&uid.to_string()),
        }
    }
    key
}

fn outermost(labels: &Labels) -> String {
    if let Some(task) = &labels.task {
        return format!("task:{}", without_spaces(task));
    }
    let container = labels.container_name.as_ref().or(labels.container.as_ref());
    let is_of_pod = labels.pod.is_some() && (container.is_some() || labels.unit.is_none());
    if is_of_pod && let Some(key) = pod(labels) {
        return key;
    }
    if labels.pod.is_some()
        && let Some(id) = &labels.container
    {
        // Its name is unique within its pod only.
        return format!("container:{id}");
    }
    if labels.container.is_none()
        && let Some(name) = &labels.container_name
    {
        // No container runtime's, which have names of their own.
        return format!("lxc:{}", without_spaces(name));
    }
    match (container, &labels.unit, &labels.pod) {
        (Some(container), _, _) => format!("container:{}", without_spaces(container)),
        (None, Some(unit), _) => format!("unit:{}", without_spaces(unit)),
        (None, None, Some(uid)) => format!("pod:{uid}"),
        (None, None, None) => format!("cgroup:{}", without_spaces(&labels.cgroup)),
    }
}

/// By what made the pod, which outlives it. `None`: its metadata is not known.
fn pod(labels: &Labels) -> Option<String> {
    let namespace = labels.namespace.as_ref()?;
    let owner = match (&labels.owner, &labels.pod_name) {
        (Some(owner), _) => owner.clone(),
        (None, Some(name)) => format!("pod/{name}"),
        (None, None) => return None,
    };
    let container = labels.container_name.as_ref().or(labels.container.as_ref());
    let container = container.map_or_else(String::new, |name| format!("/{name}"));
    Some(without_spaces(&format!("pod:{namespace}/{owner}{container}")).into_owned())
}

/// A space is what separates a key from the executable and the user that narrow it.
fn without_spaces(text: &str) -> Cow<'_, str> {
    if !text.contains(|char: char| char == ' ' || char.is_control()) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|char| match char {
        ' ' => r"\x20".to_owned(),
        char if char.is_control() => format!(r"\x{:02x}", u32::from(char)),
        char => char.to_string(),
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4a1c0e9b7d2a5568f0c1d2e3b4a5968778695a4b3c2d1e0f9e8d7c6b5a4938";
    const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn check(labels: &Labels, key: &str) {
        assert_eq!(labels.key(), key, "{labels:?}");
    }

    fn pod() -> Labels {
        Labels {
            container: text(ID),
            unit: text("cri-containerd-x.scope"),
            pod: text(UID),
            ..Labels::default()
        }
    }

    fn resolved() -> Labels {
        Labels {
            container_name: text("server"),
            pod_name: text("api-5d8f-x7k2p"),
            namespace: text("shop"),
            owner: text("deployment/api"),
            ..pod()
        }
    }

    #[test]
    fn a_pod_is_what_made_it_once_that_is_known() {
        check(&pod(), &format!("container:{ID}"));
        check(&resolved(), "pod:shop/deployment/api/server");
        let bare = Labels {
            owner: None,
            ..resolved()
        };
        check(&bare, "pod:shop/pod/api-5d8f-x7k2p/server");
        let unnamed = Labels {
            container_name: None,
            ..resolved()
        };
        check(&unnamed, &format!("pod:shop/deployment/api/{ID}"));
        let itself = Labels {
            container: None,
            container_name: None,
            unit: None,
            ..resolved()
        };
        check(&itself, "pod:shop/deployment/api");
        // `server` in some pod must not be the host's container `server`.
        let half_known = Labels {
            container_name: text("server"),
            ..pod()
        };
        check(&half_known, &format!("container:{ID}"));
        let unknown = Labels {
            container: None,
            unit: None,
            ..pod()
        };
        check(&unknown, &format!("pod:{UID}"));
        let monitor = Labels {
            container: None,
            unit: text("crio-conmon-1.scope"),
            ..pod()
        };
        check(&monitor, "unit:crio-conmon-1.scope");
    }

    #[test]
    fn a_container_has_the_name_that_its_runtime_gave_it() {
        let named = Labels {
            container: text(ID),
            container_name: text("web"),
            unit: text("docker-x.scope"),
            nested: text("a.service"),
            ..Labels::default()
        };
        check(&named, "container:web/a.service");
    }

    #[test]
    fn a_task_is_its_lease_wherever_it_runs() {
        let task = Labels {
            task: text("t-1"),
            unit: text("agent.service"),
            ..Labels::default()
        };
        check(&task, "task:t-1");
    }

    #[test]
    fn executable_and_user_cannot_be_confused_with_anything_else() {
        let bob = LocalUser {
            uid: 1000,
            name: text("bob"),
        };
        let narrow = |exe: &str, user: Option<LocalUser>| Labels {
            unit: text("a.service"),
            exe: text(exe),
            user,
            ..Labels::default()
        };
        check(
            &narrow("/usr/bin/curl", Some(bob)),
            "unit:a.service exe:/usr/bin/curl user:bob",
        );
        check(
            &narrow("/tmp/x user:bob", None),
            r"unit:a.service exe:/tmp/x\x20user:bob",
        );
        check(
            &narrow(r"/tmp/x\x20user:bob", None),
            r"unit:a.service exe:/tmp/x\x5cx20user:bob",
        );
        let number = LocalUser {
            uid: 65_534,
            name: None,
        };
        check(
            &Labels {
                exe: None,
                ..narrow("", Some(number))
            },
            "unit:a.service user:65534",
        );
        let nested = Labels {
            unit: text("a.service"),
            nested: text("b user:root.service"),
            ..Labels::default()
        };
        check(&nested, r"unit:a.service/b\x20user:root.service");
    }
}
