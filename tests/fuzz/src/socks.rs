//! SOCKS requests, against a reader of whole requests.

use crate::flight::{self, is_host};

/// A complete request to connect.
#[derive(Debug)]
struct Request<'o> {
    host: Option<&'o [u8]>,
    port: u16,
    /// What goes through the tunnel.
    rest: &'o [u8],
}

/// The host of a complete request is given out with its port, and then what the tunnel's content
/// asks for by itself; or the flight cannot be told.
///
/// # Panics
/// If not.
pub fn check(octets: &[u8]) {
    let said = flight::read(octets);
    let request = match octets.split_first() {
        Some((4, rest)) => socks4(rest),
        Some((5, rest)) => socks5(rest),
        _ => None,
    };
    let Some(Request { host, port, rest }) = request else {
        return;
    };
    let host = host.map(|host| str::from_utf8(host).unwrap_or("not a host"));
    let host = host.filter(|host| host.parse::<std::net::Ipv4Addr>().is_err());
    if let Some(host) = host {
        if !is_host(host) {
            return;
        }
        assert!(
            said.names_with_port(host, port),
            "{host}:{port} is not in {said:?}"
        );
    }
    let mut inner = flight::read(rest);
    let before = said.names.iter().take(usize::from(host.is_some()));
    inner.names.splice(0..0, before.copied());
    assert!(said.is_same_as(&inner), "{said:?} but inside {inner:?}");
}

fn take<'o>(octets: &mut &'o [u8], len: usize) -> Option<&'o [u8]> {
    let (taken, rest) = octets.split_at_checked(len)?;
    *octets = rest;
    Some(taken)
}

fn take_u8(octets: &mut &[u8]) -> Option<u8> {
    take(octets, 1).map(|taken| taken[0])
}

fn take_port(octets: &mut &[u8]) -> Option<u16> {
    take(octets, 2).map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
}

/// Up to a zero.
fn take_text<'o>(octets: &mut &'o [u8]) -> Option<&'o [u8]> {
    let len = octets.iter().position(|octet| *octet == 0)?;
    let text = take(octets, len);
    take_u8(octets)?;
    text
}

fn socks4(mut rest: &[u8]) -> Option<Request<'_>> {
    let octets = &mut rest;
    (take_u8(octets)? == 1).then_some(())?;
    let port = take_port(octets)?;
    let address = take(octets, 4)?;
    take_text(octets)?;
    let host = match address {
        [0, 0, 0, last] if *last != 0 => Some(take_text(octets)?),
        _ => None,
    };
    Some(Request { host, port, rest })
}

fn socks5(mut rest: &[u8]) -> Option<Request<'_>> {
    let octets = &mut rest;
    let n_methods = take_u8(octets)?;
    take(octets, usize::from(n_methods))?;
    // Servers ask for a name and a password once.
    let mut version = take_u8(octets)?;
    if version == 1 {
        for _ in 0..2 {
            let len = take_u8(octets)?;
            take(octets, usize::from(len))?;
        }
        version = take_u8(octets)?;
    }
    let (command, kind) = match (version, take(octets, 3)?) {
        (5, [command, _, kind]) => (*command, *kind),
        _ => return None,
    };
    (command == 1).then_some(())?;
    let host = match kind {
        1 => take(octets, 4).map(|_| None)?,
        3 => {
            let len = take_u8(octets)?;
            Some(take(octets, usize::from(len)).filter(|host| !host.is_empty())?)
        }
        4 => take(octets, 16).map(|_| None)?,
        _ => return None,
    };
    let port = take_port(octets)?;
    Some(Request { host, port, rest })
}
