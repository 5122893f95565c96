//! `limits` of a grant.

use bytesize::ByteSize;

use super::{
    node::Node,
    reader::{Allowed, Field, Fields, Reader},
    value,
};
use crate::{
    policy::{Budget, ConnectionLimit, Limits},
    usage::{cost::Dollars, period::Period},
};

const LIMITS: Allowed = Allowed {
    // `tokens` is refused below: they need the plaintext of calls, which nobody here reads.
    fields: &["connections", "bytesPerDay", "calls", "cost", "tokens"],
};

const CONNECTIONS: Allowed = Allowed {
    fields: &["count", "per"],
};

const COST: Allowed = Allowed {
    fields: &["usd", "per"],
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
        calls: fields.get("calls").and_then(|field| calls(reader, field)),
        cost: fields.get("cost").and_then(|field| cost(reader, field)),
    };
    if let Some(tokens) = fields.get("tokens") {
        reader.refuse(
            tokens,
            "tokens are not metered: connections are encrypted. Limit connections, bytesPerDay, calls \
             or cost instead",
        );
    }
    if matches!(field.node, Node::Map(pairs) if pairs.is_empty()) {
        reader.refuse(
            field,
            "limits nothing: give connections, bytesPerDay, calls or cost",
        );
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

fn calls(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Budget<u64>> {
    let fields = reader.fields(field, &CONNECTIONS)?;
    let most = reader
        .required(&fields, "count", "say how many, as in 100")
        .and_then(|field| count(reader, field));
    let per = period(reader, &fields);
    Some(Budget {
        most: most?,
        per: per?,
    })
}

fn cost(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Budget<Dollars>> {
    let fields = reader.fields(field, &COST)?;
    let most = reader
        .required(&fields, "usd", "say how many US dollars, as in 5")
        .and_then(|field| dollars(reader, field));
    let per = period(reader, &fields);
    Some(Budget {
        most: most?,
        per: per?,
    })
}

fn dollars(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Dollars> {
    let amount = match field.node {
        Node::Integer(number) => *number as f64,
        Node::Number(number) => *number,
        Node::Nothing | Node::Flag(_) | Node::Text(_) | Node::List(_) | Node::Map(_) => {
            reader.wrong_type(field, "a number of US dollars");
            return None;
        }
    };
    let dollars = Dollars::price(amount).filter(|dollars| *dollars > Dollars::ZERO);
    if dollars.is_none() {
        let most = Dollars::MOST;
        reader.refuse(field, format!("must be more than 0, and {most} at most"));
    }
    dollars
}

/// Counts are added up by hour and by day.
fn period(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Period> {
    let field = reader.required(fields, "per", "write 1h or 1d")?;
    match reader.text(field)? {
        "1h" | "hour" => Some(Period::Hour),
        "1d" | "24h" | "day" => Some(Period::Day),
        text => {
            let message = format!(
                "`{text}` is no time that this is reckoned by: write 1h or 1d (/hour or /day on a \
                 command line)"
            );
            reader.refuse(field, message);
            None
        }
    }
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
