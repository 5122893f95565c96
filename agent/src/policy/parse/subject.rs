//! Subjects: which identities an object concerns.

use super::reader::{Allowed, Field, Fields, Reader};
use crate::policy::{NamePattern, Parts, Subject};

const SUBJECT: Allowed = Allowed {
    fields: &["any", "systemd", "container", "kubernetes", "cgroup"],
    unenforceable: &["process", "task"],
};

const SYSTEMD: Allowed = Allowed {
    fields: &["unit", "slice"],
    unenforceable: &[],
};

const CONTAINER: Allowed = Allowed {
    fields: &["id"],
    unenforceable: &["name", "image"],
};

const KUBERNETES: Allowed = Allowed {
    fields: &["podUid"],
    unenforceable: &["namespace", "serviceAccount", "podLabels"],
};

pub(super) fn list(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<Subject> {
    let items = reader.list(field);
    items
        .iter()
        .filter_map(|item| subject(reader, item))
        .collect()
}

fn subject(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Subject> {
    let n_errors = reader.errors.len();
    let fields = reader.fields(field, &SUBJECT)?;
    if let Some(any) = fields.get("any") {
        return subject_any(reader, &fields, any);
    }
    let mut parts = Parts::default();
    if let Some(systemd) = fields.get("systemd") {
        let inner = group(reader, systemd, &SYSTEMD)?;
        let mut pattern = |name: &str, suffixes: &[&str]| {
            inner
                .get(name)
                .and_then(|field| unit_pattern(reader, field, suffixes))
        };
        parts.unit = pattern("unit", &[".service", ".scope"]);
        parts.slice = pattern("slice", &[".slice"]);
    }
    if let Some(container) = fields.get("container") {
        let inner = group(reader, container, &CONTAINER)?;
        parts.container = inner
            .get("id")
            .and_then(|field| container_id(reader, field));
    }
    if let Some(kubernetes) = fields.get("kubernetes") {
        let inner = group(reader, kubernetes, &KUBERNETES)?;
        parts.pod = inner.get("podUid").and_then(|field| pod_uid(reader, field));
    }
    parts.cgroup = fields.get("cgroup").and_then(|field| cgroup(reader, field));
    if reader.errors.len() > n_errors {
        return None;
    }
    if fields.is_empty() {
        let message = "selects nothing: give at least one part, or `any: true` for every identity";
        reader.refuse(field, message);
        return None;
    }
    Some(Subject::Parts(parts))
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

fn unit_pattern(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    suffixes: &[&str],
) -> Option<NamePattern> {
    let text = reader.text(field)?;
    let is_allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b':' | b'-' | b'_' | b'.' | b'\\' | b'@' | b'*')
    };
    let is_complete = text.ends_with('*') || suffixes.iter().any(|suffix| text.ends_with(suffix));
    if is_complete && text.len() <= 255 && text.bytes().all(is_allowed) {
        return Some(NamePattern::new(text));
    }
    let message = format!(
        "`{text}` is not a full unit name: write it with its {}; `*` stands for any characters",
        suffixes.join(" or ")
    );
    reader.refuse(field, message);
    None
}

fn container_id(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    if text.len() == 64 && text.bytes().all(is_lower_hex) {
        return Some(text.to_owned());
    }
    let message = format!("`{text}` is not a container id: write all 64 hexadecimal digits");
    reader.refuse(field, message);
    None
}

fn pod_uid(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    let lengths = text.split('-').map(str::len).collect::<Vec<_>>();
    if lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || is_lower_hex(byte)) {
        return Some(text.to_owned());
    }
    let message =
        format!("`{text}` is not a pod UID: write it as in 6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b");
    reader.refuse(field, message);
    None
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn cgroup(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    let is_component = |part: &str| !matches!(part, "" | "." | "..");
    let is_path = text == "/"
        || text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_component));
    if !is_path {
        let message = format!(
            "`{text}` is not a cgroup path: write it from `/`, without `.`, `..` and a slash at \
             the end"
        );
        reader.refuse(field, message);
        return None;
    }
    if text.starts_with("/sys/fs/cgroup") {
        let message = format!(
            "`{text}` includes the mount point: write the path below it, as in /system.slice"
        );
        reader.refuse(field, message);
        return None;
    }
    Some(text.to_owned())
}
