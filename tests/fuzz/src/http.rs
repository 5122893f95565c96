//! HTTP/1 requests, against `httparse`.

use std::net::{Ipv4Addr, Ipv6Addr};

use agent_common::flight::{Flight, Outcome};

use crate::flight::{self, is_host};

const HTTPS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// A host that a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    host: String,
    port: u16,
}

/// Every host of a complete request is given out with its port, or the request cannot be told.
///
/// # Panics
/// If not.
pub fn check(octets: &[u8]) {
    let _ = flight::read(octets);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(len)) = request.parse(octets) else {
        return;
    };
    let said = flight::read(&octets[..len]);
    if said.outcome == Outcome::Undecidable {
        return;
    }
    assert_ne!(said.outcome, Outcome::Unrecognised, "{request:?}");
    if request.method == Some("CONNECT") {
        check_tunnel(&octets[..len], request.path.unwrap_or_default());
    }
    for Asked { host, port } in asked(&request) {
        assert!(
            said.names_with_port(&host, port),
            "{host}:{port} of {request:?} is not in {said:?}"
        );
    }
}

/// A tunnel leads to the port of its target, whatever else the request names.
fn check_tunnel(head: &[u8], target: &str) {
    let Some((host, port)) = place(target, HTTPS_PORT) else {
        return;
    };
    let literal = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_address = literal.is_some_and(|text| text.parse::<Ipv6Addr>().is_ok())
        || host.parse::<Ipv4Addr>().is_ok();
    if is_address || is_host(host) {
        let mut flight = Flight::NEW;
        flight.read(head, |_| {});
        assert_eq!(flight.tunnel_port(), port, "{target}");
    }
}

fn asked(request: &httparse::Request<'_, '_>) -> Vec<Asked> {
    let target = request.path.unwrap_or_default();
    let is_connect = request.method == Some("CONNECT");
    let mut asked = Vec::new();
    if is_connect {
        asked.extend(Asked::of(target, HTTPS_PORT));
    } else if let Some((scheme, rest)) = target.split_once("://")
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme)
    {
        asked.extend(Asked::of(rest, HTTP_PORT));
    }
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("host")
            && let Ok(value) = str::from_utf8(header.value)
        {
            asked.extend(Asked::of(value.trim_matches([' ', '\t']), HTTP_PORT));
        }
    }
    asked
}

fn is_scheme(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.')
}

impl Asked {
    /// Of a target after its scheme, or the value of a `Host` header.
    fn of(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = place(text, default_port)?;
        is_host(host).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Host and port of an authority. No server takes one with a space inside.
fn place(text: &str, default_port: u16) -> Option<(&str, u16)> {
    if text.contains([' ', '\t']) {
        return None;
    }
    let authority = text.split(['/', '?', '#']).next()?;
    let place = authority.rsplit('@').next()?;
    match place.rsplit_once(':') {
        Some((host, "")) => Some((host, default_port)),
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => {
            Some((host, port.parse().ok()?))
        }
        Some(_) => None,
        None => Some((place, default_port)),
    }
}
