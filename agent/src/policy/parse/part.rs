//! The parts of a subject, each in its own form.

use std::collections::BTreeMap;

use super::{
    node::Node,
    reader::{Field, Reader},
    value,
};
use crate::policy::{NamePattern, UserSelector};

pub(super) fn unit(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<NamePattern> {
    unit_pattern(
        reader,
        field,
        &[".service", ".scope", ".socket", ".mount", ".swap"],
        ".service or .scope",
    )
}

pub(super) fn slice(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<NamePattern> {
    unit_pattern(reader, field, &[".slice"], ".slice")
}

fn unit_pattern(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    suffixes: &[&str],
    wanted: &str,
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
        "`{text}` is not a full unit name: write it with its {wanted}; `*` stands for any \
         characters"
    );
    reader.refuse(field, message);
    None
}

pub(super) fn container_name(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<NamePattern> {
    let text = reader.text(field)?;
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'*');
    if (1..=253).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Some(NamePattern::new(text));
    }
    let message = format!(
        "`{text}` is not the name of a container: write letters, digits, `_`, `.` and `-`; `*` \
         stands for any characters"
    );
    reader.refuse(field, message);
    None
}

/// What has no `/` is no reference in full, and would never match.
pub(super) fn image(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<NamePattern> {
    let text = reader.text(field)?;
    let is_full = text.contains(['/', '*']) || text.starts_with("sha256:");
    if is_full && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(NamePattern::new(text));
    }
    let message = format!(
        "`{text}` is not the full name of an image: write it as in docker.io/library/nginx:1.27; \
         `*` stands for any characters"
    );
    reader.refuse(field, message);
    None
}

pub(super) fn container_id(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    if text.len() == 64 && text.bytes().all(is_lower_hex) {
        return Some(text.to_owned());
    }
    let message = format!("`{text}` is not a container id: write all 64 hexadecimal digits");
    reader.refuse(field, message);
    None
}

/// The UID of a static pod is a hash without dashes.
pub(super) fn pod_uid(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    let lengths = text.split('-').map(str::len).collect::<Vec<_>>();
    let has_shape = lengths == [8, 4, 4, 4, 12] || lengths == [32];
    if has_shape && text.bytes().all(|byte| byte == b'-' || is_lower_hex(byte)) {
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

pub(super) fn cgroup(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    if !is_path(text) {
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

fn is_path(text: &str) -> bool {
    let is_component = |part: &str| !matches!(part, "" | "." | "..");
    let below_root = text.strip_prefix('/');
    text == "/" || below_root.is_some_and(|rest| rest.split('/').all(is_component))
}

pub(super) fn namespace(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    if is_dns_label(text) {
        return Some(text.to_owned());
    }
    let message = format!(
        "`{text}` is not a namespace: write at most 63 lower-case letters, digits and `-`, with a \
         letter or digit at both ends"
    );
    reader.refuse(field, message);
    None
}

pub(super) fn service_account(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    if text.len() <= 253 && text.split('.').all(is_dns_label) {
        return Some(text.to_owned());
    }
    let message = format!(
        "`{text}` is not a service account: write lower-case letters, digits, `-` and `.`, without \
         its namespace"
    );
    reader.refuse(field, message);
    None
}

fn is_dns_label(text: &str) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|byte| is_end(byte) || *byte == b'-')
        && bytes.first().is_some_and(is_end)
        && bytes.last().is_some_and(is_end)
}

pub(super) fn pod_labels(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
) -> Option<BTreeMap<String, String>> {
    let labels = value::texts(reader, field)?;
    if labels.is_empty() {
        reader.refuse(field, "must not be empty");
        return None;
    }
    Some(labels)
}

pub(super) fn exe(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    if is_path(text) && text != "/" && !text.contains(char::is_control) {
        return Some(text.to_owned());
    }
    let message = format!(
        "`{text}` is not the path of an executable: write it from `/`, without `.` and `..`, as in \
         /usr/bin/curl"
    );
    reader.refuse(field, message);
    None
}

/// A number, also in quotes, is a UID.
pub(super) fn user(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<UserSelector> {
    let text = match field.node {
        Node::Integer(number) => number.to_string(),
        Node::Text(text) => text.clone(),
        Node::Nothing | Node::Flag(_) | Node::Number(_) | Node::List(_) | Node::Map(_) => {
            reader.wrong_type(field, "the name of a user or a UID");
            return None;
        }
    };
    let uid = text.parse::<u32>().ok().filter(|uid| *uid != u32::MAX);
    let is_part = |char: char| {
        !char.is_whitespace() && !char.is_control() && !matches!(char, ':' | '/' | ',')
    };
    let is_name = (1..=256).contains(&text.len())
        && text.chars().all(is_part)
        && !text.starts_with(|char: char| char.is_ascii_digit() || matches!(char, '-' | '+'));
    match uid {
        Some(uid) => Some(UserSelector::Uid(uid)),
        None if is_name => Some(UserSelector::Name(text)),
        None => {
            let message = format!(
                "`{text}` is neither the name of a user nor a UID: write it as in www-data or 1000"
            );
            reader.refuse(field, message);
            None
        }
    }
}

pub(super) fn task(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':');
    if (1..=128).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Some(text.to_owned());
    }
    let message =
        format!("`{text}` is not the id of a task: write the id that its registration returned");
    reader.refuse(field, message);
    None
}
