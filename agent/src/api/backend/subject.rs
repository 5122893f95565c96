//! Subjects between the wire, policy documents and people.

use serde_json::{Map, Value, json};

use crate::{
    api::types::SubjectSpec,
    identity::{Labels, LocalUser},
    policy::{NamePattern, Parts, Subject},
};

/// As a policy document spells it.
pub(super) fn document(spec: &SubjectSpec) -> Value {
    let SubjectSpec {
        unit,
        slice,
        user_unit,
        container,
        container_name,
        image,
        pod,
        namespace,
        service_account,
        pod_labels,
        cgroup,
        task,
        exe,
        user,
        any,
    } = spec;
    let labels = (!pod_labels.is_empty()).then(|| json!(pod_labels));
    let groups = [
        (
            "systemd",
            group([
                ("unit", text(unit)),
                ("slice", text(slice)),
                ("userUnit", text(user_unit)),
            ]),
        ),
        (
            "container",
            group([
                ("id", text(container)),
                ("name", text(container_name)),
                ("image", text(image)),
            ]),
        ),
        (
            "kubernetes",
            group([
                ("podUid", text(pod)),
                ("namespace", text(namespace)),
                ("serviceAccount", text(service_account)),
                ("podLabels", labels),
            ]),
        ),
        ("process", group([("exe", text(exe)), ("user", text(user))])),
    ];
    let mut parts = group([
        ("cgroup", text(cgroup)),
        ("task", text(task)),
        ("any", any.then(|| json!(true))),
    ]);
    for (name, fields) in groups {
        if !fields.is_empty() {
            parts.insert(name.to_owned(), Value::Object(fields));
        }
    }
    Value::Object(parts)
}

fn text(value: &Option<String>) -> Option<Value> {
    value.as_ref().map(|value| json!(value))
}

fn group<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// A selector in words: `unit batch.service, slice batch.slice`.
pub(super) fn words(subject: &Subject) -> String {
    let Subject::Parts(parts) = subject else {
        return "everybody".to_owned();
    };
    let Parts {
        unit,
        slice,
        user_unit,
        container,
        container_name,
        image,
        pod,
        namespace,
        service_account,
        pod_labels,
        cgroup,
        task,
        exe,
        user,
    } = &**parts;
    let pattern = |pattern: &Option<NamePattern>| pattern.as_ref().map(ToString::to_string);
    let given = [
        ("unit", pattern(unit)),
        ("user unit", pattern(user_unit)),
        ("slice", pattern(slice)),
        ("container", pattern(container_name)),
        ("container", container.clone()),
        ("image", pattern(image)),
        ("pod", pod.clone()),
        ("namespace", namespace.clone()),
        ("service account", service_account.clone()),
        ("cgroup", cgroup.clone()),
        ("task", task.clone()),
        ("executable", exe.clone()),
        ("user", user.as_ref().map(ToString::to_string)),
    ];
    let given = given
        .into_iter()
        .filter_map(|(word, value)| value.map(|value| format!("{word} {value}")));
    let labels = pod_labels
        .iter()
        .map(|(name, value)| format!("pod label {name}={value}"));
    given.chain(labels).collect::<Vec<_>>().join(", ")
}

/// Options of `weir grant issue` that select an identity, and what is the same after a restart.
pub(super) fn options(labels: &Labels) -> String {
    let mut options = Vec::new();
    let mut option = |name: &str, value: &str| options.push(format!("--{name} {}", quoted(value)));
    match labels {
        Labels { task: Some(id), .. } => option("task", id),
        Labels {
            namespace: Some(namespace),
            ..
        } => {
            option("namespace", namespace);
            match (&labels.service_account, &labels.container_name) {
                (Some(account), _) => option("service-account", account),
                (None, Some(name)) => option("container-name", name),
                (None, None) => {}
            }
        }
        Labels {
            container_name: Some(name),
            ..
        } => option("container-name", name),
        Labels {
            container: Some(id),
            ..
        } => option("container", id),
        Labels {
            unit: Some(unit), ..
        } => {
            option("unit", unit);
            if let Some(user_unit) = &labels.user_unit {
                option("user-unit", user_unit);
            }
        }
        Labels { pod: Some(uid), .. } => option("pod", uid),
        Labels { cgroup, .. } => option("cgroup", cgroup),
    }
    if let Some(exe) = &labels.exe {
        option("exe", exe);
    }
    match &labels.user {
        Some(LocalUser {
            name: Some(name), ..
        }) => option("user", name),
        Some(LocalUser { uid, name: None }) => option("user", &uid.to_string()),
        None => {}
    }
    options.join(" ")
}

/// For a shell: workloads name parts of themselves, and somebody will paste this.
fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "@%_+=:,./-".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Spec, parse};

    #[test]
    fn every_part_reaches_the_policy_and_people() {
        let text = |text: &str| Some(text.to_owned());
        let spec = SubjectSpec {
            unit: text("user@1000.service"),
            slice: text("a.slice"),
            user_unit: text("b.service"),
            container: Some("0".repeat(64)),
            container_name: text("web*"),
            image: text("ghcr.io/x/*"),
            pod: text("6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b"),
            namespace: text("shop"),
            service_account: text("api"),
            pod_labels: [("app".to_owned(), "x".to_owned())].into(),
            cgroup: text("/a.slice"),
            task: text("t-1"),
            exe: text("/usr/bin/curl"),
            user: text("1000"),
            any: false,
        };
        let request = json!({
            "apiVersion": "weir.dev/v1alpha1",
            "kind": "EgressDeny",
            "metadata": {"name": "x"},
            "spec": {"subjects": [document(&spec)], "endpoints": ["*"], "reason": "x"},
        });
        let objects = parse("request", &request.to_string()).expect("valid");
        let Some(Spec::EgressDeny(deny)) = objects.first().map(|object| &object.value.spec) else {
            panic!("a deny rule, found {objects:?}");
        };
        let told: Vec<_> = deny.subjects.iter().map(words).collect();
        let expected = format!(
            "unit user@1000.service, user unit b.service, slice a.slice, container web*, container \
             {}, image ghcr.io/x/*, pod 6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b, namespace shop, \
             service account api, cgroup /a.slice, task t-1, executable /usr/bin/curl, user 1000, \
             pod label app=x",
            "0".repeat(64)
        );
        assert_eq!(told, [expected]);
        assert_eq!(words(&Subject::Any), "everybody");
    }

    #[test]
    fn what_is_suggested_survives_a_restart_and_a_shell() {
        let text = |text: &str| Some(text.to_owned());
        let check = |labels: Labels, expected: &str| assert_eq!(options(&labels), expected);
        let path = Labels::from_cgroup_path;
        check(path("/a b"), "--cgroup '/a b'");
        check(
            path("/user.slice/user-7.slice/user@7.service/$(id)'.service"),
            r"--unit user@7.service --user-unit '$(id)'\''.service'",
        );
        check(
            Labels {
                exe: text("/usr/bin/curl"),
                user: Some(LocalUser { uid: 7, name: None }),
                ..path("/system.slice/a.service")
            },
            "--unit a.service --exe /usr/bin/curl --user 7",
        );
        let id = "0".repeat(64);
        let container = path(&format!("/docker/{id}"));
        check(container.clone(), &format!("--container {id}"));
        let named = Labels {
            container_name: text("web"),
            ..container
        };
        check(named.clone(), "--container-name web");
        let pod = Labels {
            namespace: text("shop"),
            ..named
        };
        check(pod.clone(), "--namespace shop --container-name web");
        let account = Labels {
            service_account: text("api"),
            ..pod
        };
        check(account.clone(), "--namespace shop --service-account api");
        let task = Labels {
            task: text("t-1"),
            ..account
        };
        check(task, "--task t-1");
    }
}
