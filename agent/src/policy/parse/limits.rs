//! `limits` of a grant.

use bytesize::ByteSize;

use super::{
    node::Node,
    reader::{Allowed, Field, Reader},
    value,
};
use crate::policy::{ConnectionLimit, Limits};

const LIMITS: Allowed = Allowed {
    fields: &["connections", "bytesPerDay"],
    // Tokens and cost need the plaintext of calls, which the kernel does not see; calls are inferred.
    unenforceable: &["calls", "tokens", "cost"],
};

const CONNECTIONS: Allowed = Allowed {
    fields: &["count", "per"],
    unenforceable: &[],
};

pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Limits> {
    let fields = reader.fields(field, &LIMITS)?;
    let limits = Limits {
        connections: fields
            .get("connections")
            .and_then(|field| connections(reader, field)),
        bytes_per_day: fields
            .get("bytesPerDay")
            .and_then(|field| bytes(reader, field)),
    };
    if matches!(field.node, Node::Map(pairs) if pairs.is_empty()) {
        reader.refuse(field, "limits nothing: give connections or bytesPerDay");
    }
    Some(limits)
}

fn connections(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<ConnectionLimit> {
    let fields = reader.fields(field, &CONNECTIONS)?;
    let count = reader
        .required(&fields, "count", "say how many, as in 100")
        .and_then(|field| count(reader, field));
    let per = reader
        .required(&fields, "per", "say within what time, as in 1h")
        .and_then(|field| value::duration(reader, field));
    Some(ConnectionLimit {
        count: count?,
        per: per?,
    })
}

fn count(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<u64> {
    let Node::Integer(number) = field.node else {
        reader.wrong_type(field, "a number");
        return None;
    };
    let count = u64::try_from(*number).ok().filter(|count| *count > 0);
    if count.is_none() {
        reader.refuse(field, "must be 1 or more; without a grant there is nothing");
    }
    count
}

fn bytes(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<u64> {
    if matches!(field.node, Node::Integer(_)) {
        return count(reader, field);
    }
    let text = reader.text(field)?;
    let size = text.parse::<ByteSize>().ok().map(|size| size.as_u64());
    let size = size.filter(|size| *size > 0);
    if size.is_none() {
        let message =
            format!("`{text}` is no size: write a number of bytes, or as in 500MB or 2GiB");
        reader.refuse(field, message);
    }
    size
}
