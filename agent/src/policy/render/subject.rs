//! Subjects as their files spell them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::{NamePattern, Parts, Subject, UserSelector};

#[derive(Default, Serialize)]
pub(super) struct SubjectWire<'o> {
    #[serde(skip_serializing_if = "Option::is_none")]
    any: Option<bool>,
    #[serde(skip_serializing_if = "Group::is_empty")]
    systemd: Group<'o>,
    #[serde(skip_serializing_if = "Group::is_empty")]
    container: Group<'o>,
    #[serde(skip_serializing_if = "Group::is_empty")]
    kubernetes: Group<'o>,
    #[serde(skip_serializing_if = "Group::is_empty")]
    process: Group<'o>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'o str>,
}

type Group<'o> = BTreeMap<&'static str, Value<'o>>;

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'o> {
    Text(&'o str),
    Number(u32),
    Map(&'o BTreeMap<String, String>),
}

impl<'o> From<&'o Subject> for SubjectWire<'o> {
    fn from(subject: &'o Subject) -> Self {
        let Subject::Parts(parts) = subject else {
            return Self {
                any: Some(true),
                ..Self::default()
            };
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
        Self {
            any: None,
            systemd: group([
                ("unit", pattern(unit)),
                ("slice", pattern(slice)),
                ("userUnit", pattern(user_unit)),
            ]),
            container: group([
                ("id", text(container)),
                ("name", pattern(container_name)),
                ("image", pattern(image)),
            ]),
            kubernetes: group([
                ("podUid", text(pod)),
                ("namespace", text(namespace)),
                ("serviceAccount", text(service_account)),
                (
                    "podLabels",
                    (!pod_labels.is_empty()).then_some(Value::Map(pod_labels)),
                ),
            ]),
            process: group([("exe", text(exe)), ("user", user.as_ref().map(user_value))]),
            cgroup: cgroup.as_deref(),
            task: task.as_deref(),
        }
    }
}

fn text(value: &Option<String>) -> Option<Value<'_>> {
    value.as_deref().map(Value::Text)
}

fn pattern(value: &Option<NamePattern>) -> Option<Value<'_>> {
    value.as_ref().map(|pattern| Value::Text(pattern.as_str()))
}

fn user_value(user: &UserSelector) -> Value<'_> {
    match user {
        UserSelector::Uid(uid) => Value::Number(*uid),
        UserSelector::Name(name) => Value::Text(name),
    }
}

fn group<'o, const N: usize>(fields: [(&'static str, Option<Value<'o>>); N]) -> Group<'o> {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}
