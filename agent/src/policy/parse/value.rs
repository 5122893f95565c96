//! Single values: names, planes, prefixes, ports, times.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::{IpNet, Ipv6Net};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::{
    node::{Node, position},
    reader::{Field, Reader},
};
use crate::endpoint::Plane;

/// Lower-case letters, digits, `.`, `_` and `-`; with `has_parts`, several of these joined by `/`.
pub(super) fn name(reader: &mut Reader<'_>, field: &Field<'_>, has_parts: bool) -> Option<String> {
    let text = reader.text(field)?;
    let is_part = |part: &str| {
        let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_inner = |byte: &u8| is_end(byte) || matches!(byte, b'.' | b'_' | b'-');
        let bytes = part.as_bytes();
        bytes.iter().all(is_inner)
            && bytes.first().is_some_and(is_end)
            && bytes.last().is_some_and(is_end)
    };
    let is_name = if has_parts {
        text.split('/').all(is_part)
    } else {
        is_part(text)
    };
    if is_name && text.len() <= 253 {
        return Some(text.to_owned());
    }
    let parts = if has_parts {
        "; parts may be joined by `/`"
    } else {
        ""
    };
    let message = format!(
        "`{text}` is not a name: write lower-case letters, digits, `.`, `_` and `-`, \
         at most 253, with a letter or digit at both ends{parts}"
    );
    reader.refuse(field, message);
    None
}

/// Text that says something.
pub(super) fn words(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?.trim();
    if text.is_empty() {
        reader.refuse(field, "must not be blank");
        return None;
    }
    Some(text.to_owned())
}

/// A mapping of names to texts.
pub(super) fn texts(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
) -> Option<BTreeMap<String, String>> {
    let Node::Map(pairs) = field.node else {
        reader.wrong_type(field, "a mapping");
        return None;
    };
    let mut texts = BTreeMap::new();
    for (key, item) in pairs {
        let item = Field {
            path: format!("{}.{}", field.path, key.value),
            at: position(item.referenced),
            node: &item.value,
        };
        if let Some(text) = reader.text(&item) {
            texts.insert(key.value.clone(), text.to_owned());
        }
    }
    (texts.len() == pairs.len()).then_some(texts)
}

pub(super) fn plane(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Plane> {
    reader.word(field, &Plane::ALL, Plane::name)
}

pub(super) fn planes(reader: &mut Reader<'_>, field: &Field<'_>) -> BTreeSet<Plane> {
    let items = reader.list(field);
    items
        .iter()
        .filter_map(|item| plane(reader, item))
        .collect()
}

pub(super) fn ports(reader: &mut Reader<'_>, field: &Field<'_>) -> BTreeSet<u16> {
    let items = reader.list(field);
    items.iter().filter_map(|item| port(reader, item)).collect()
}

fn port(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<u16> {
    let Node::Integer(number) = field.node else {
        reader.wrong_type(field, "a port number");
        return None;
    };
    let port = u16::try_from(*number).ok();
    if port.is_none() {
        reader.refuse(
            field,
            format!("{number} is not a port: write 1 to 65535, or 0 for every port"),
        );
    }
    port
}

pub(super) fn cidrs(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<IpNet> {
    let items = reader.list(field);
    items.iter().filter_map(|item| cidr(reader, item)).collect()
}

fn cidr(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<IpNet> {
    let text = reader.text(field)?;
    let parsed = text.parse::<IpNet>().ok();
    let Some(net) = parsed.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) else {
        reader.refuse(
            field,
            format!("`{text}` is not a prefix: write it as in 10.0.0.0/8"),
        );
        return None;
    };
    if net != net.trunc() {
        let message = format!(
            "`{text}` has bits set beyond its prefix: write `{}`",
            net.trunc()
        );
        reader.refuse(field, message);
        return None;
    }
    if embeds_ipv4(net) {
        let message = format!(
            "`{text}` stands for IPv4 addresses, which are matched as such: write the IPv4 prefix"
        );
        reader.refuse(field, message);
        return None;
    }
    Some(net)
}

/// The forms that [`agent_common::address::Address`] unwraps, so that no prefix of them matches.
fn embeds_ipv4(net: IpNet) -> bool {
    const fn within(text: [u16; 8], length: u8) -> Ipv6Net {
        let [a, b, c, d, e, f, g, h] = text;
        Ipv6Net::new_assert(std::net::Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
    }
    const FORMS: [Ipv6Net; 3] = [
        within([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
        within([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
        within([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ];
    match net {
        IpNet::V4(_) => false,
        IpNet::V6(net) => FORMS.iter().any(|form| form.contains(&net)),
    }
}

pub(super) fn time(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Timestamp> {
    let text = reader.text(field)?;
    let time = text.parse().ok();
    if time.is_none() {
        let message = format!("`{text}` is not a time: write RFC 3339, as in 2026-01-31T18:00:00Z");
        reader.refuse(field, message);
    }
    time
}

pub(super) fn duration(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<SignedDuration> {
    let text = reader.text(field)?;
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let positive = duration.filter(SignedDuration::is_positive);
    if positive.is_none() {
        let message = format!(
            "`{text}` is not a duration longer than zero: write weeks, days, hours, minutes or \
             seconds, as in 90m, 8h or 7d"
        );
        reader.refuse(field, message);
    }
    positive
}
