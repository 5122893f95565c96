//! Subjects: which identities an object concerns.

use std::sync::Arc;

use super::{
    part,
    reader::{Allowed, Field, Fields, Reader},
};
use crate::policy::{Parts, Subject};

const SUBJECT: Allowed = Allowed {
    fields: &[
        "any",
        "systemd",
        "container",
        "kubernetes",
        "process",
        "cgroup",
        "task",
    ],
};

const SYSTEMD: Allowed = Allowed {
    fields: &["unit", "slice", "userUnit"],
};

const CONTAINER: Allowed = Allowed {
    fields: &["id", "name", "image"],
};

const KUBERNETES: Allowed = Allowed {
    fields: &["podUid", "namespace", "serviceAccount", "podLabels"],
};

const PROCESS: Allowed = Allowed {
    fields: &["exe", "user"],
};

pub(super) fn list(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Subject> {
    let items = reader.list(field);
    items
        .iter()
        .filter_map(|item| read_one(reader, item))
        .collect()
}

pub(super) fn read_one(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Subject> {
    let n_errors = reader.errors.len();
    let fields = reader.fields(field, &SUBJECT)?;
    if let Some(any) = fields.get("any") {
        return subject_any(reader, &fields, any);
    }
    let mut parts = Parts::default();
    if let Some(systemd) = fields.get("systemd") {
        let inner = group(reader, systemd, &SYSTEMD)?;
        parts.unit = read(reader, &inner, "unit", part::unit);
        parts.slice = read(reader, &inner, "slice", part::slice);
        parts.user_unit = read(reader, &inner, "userUnit", part::unit);
        if let Some(field) = inner.get("userUnit") {
            reader.remember(field);
        }
    }
    if let Some(container) = fields.get("container") {
        let inner = group(reader, container, &CONTAINER)?;
        parts.container = read(reader, &inner, "id", part::container_id);
        parts.container_name = read(reader, &inner, "name", part::container_name);
        parts.image = read(reader, &inner, "image", part::image);
    }
    if let Some(kubernetes) = fields.get("kubernetes") {
        let inner = group(reader, kubernetes, &KUBERNETES)?;
        parts.pod = read(reader, &inner, "podUid", part::pod_uid);
        parts.namespace = read(reader, &inner, "namespace", part::namespace);
        parts.service_account = read(reader, &inner, "serviceAccount", part::service_account);
        parts.pod_labels = read(reader, &inner, "podLabels", part::pod_labels).unwrap_or_default();
    }
    if let Some(process) = fields.get("process") {
        let inner = group(reader, process, &PROCESS)?;
        parts.exe = read(reader, &inner, "exe", part::exe);
        parts.user = read(reader, &inner, "user", part::user);
    }
    parts.cgroup = read(reader, &fields, "cgroup", part::cgroup);
    parts.task = read(reader, &fields, "task", part::task);
    if reader.errors.len() > n_errors {
        return None;
    }
    if fields.is_empty() {
        let message = "selects nothing: give at least one part, or `any: true` for every identity";
        reader.refuse(field, message);
        return None;
    }
    Some(Subject::Parts(Arc::new(parts)))
}

fn read<T>(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    name: &str,
    part: impl FnOnce(&mut Reader<'_>, &Field<'_>) -> Option<T>,
) -> Option<T> {
    fields.get(name).and_then(|field| part(reader, field))
}

fn subject_any(reader: &mut Reader<'_>, fields: &Fields<'_>, any: &Field<'_>) -> Option<Subject> {
    if !reader.flag(any)? {
        reader.refuse(any, "can only be true: leave it out otherwise");
        return None;
    }
    if SUBJECT
        .fields
        .iter()
        .any(|name| *name != "any" && fields.has(name))
    {
        reader.refuse(
            any,
            "cannot be combined with other parts: it selects every identity",
        );
        return None;
    }
    Some(Subject::Any)
}

fn group<'n>(reader: &mut Reader<'_>, field: &Field<'n>, allowed: &Allowed) -> Option<Fields<'n>> {
    let n_errors = reader.errors.len();
    let fields = reader.fields(field, allowed)?;
    if fields.is_empty() && reader.errors.len() == n_errors {
        let message = format!(
            "must not be empty; allowed are {}",
            allowed.fields.join(", ")
        );
        reader.refuse(field, message);
    }
    Some(fields)
}
