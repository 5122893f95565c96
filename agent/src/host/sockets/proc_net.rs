//! The sockets of another network namespace as `/proc` lists them: for an agent that may not enter
//! it. Who made them is not told.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{LiveSocket, Wanted};
use crate::host::sock_destroy::Protocol;

/// `TCP_TIME_WAIT`, `TCP_CLOSE` and `TCP_LISTEN` of `net/tcp_states.h`: no peer, or no longer.
const WITHOUT_PEER: [u8; 3] = [6, 7, 10];

/// The sockets of the network namespace that a process is in.
///
/// # Errors
///
/// When there is no such process.
pub(super) fn all(pid: u32, wanted: &Wanted) -> io::Result<Vec<LiveSocket>> {
    let mut found = Vec::new();
    for (file, protocol) in [
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
    ] {
        let text = match fs::read_to_string(format!("/proc/{pid}/net/{file}")) {
            Ok(text) => text,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && file != "tcp" => continue,
            Err(error) => return Err(error),
        };
        let lines = text.lines().skip(1);
        let sockets = lines.filter_map(|line| socket(line, protocol));
        found.extend(
            sockets.filter(|socket| wanted.matches(socket.remote) || wanted.matches(socket.local)),
        );
    }
    Ok(found)
}

fn socket(line: &str, protocol: Protocol) -> Option<LiveSocket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = end(fields.next()?)?;
    let remote = end(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(5)?.parse().ok()?;
    let has_peer = remote.port() != 0 && !WITHOUT_PEER.contains(&state);
    has_peer.then_some(LiveSocket {
        protocol,
        local,
        remote,
        cgroup: None,
        pid: None,
        inode,
        cookie: 0,
        is_v6: false,
        interface: 0,
        traffic: None,
    })
}

/// `0100007F:01BB`: words in the order of this machine, the port as a number.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> = (0..address.len())
        .step_by(8)
        .map(|start| u32::from_str_radix(address.get(start..start + 8)?, 16).ok())
        .collect();
    let octets: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(octets.as_slice()) {
        Ok(octets) => IpAddr::from(Ipv4Addr::from(octets)),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn own_connections_are_listed_and_listeners_are_not() {
        for ip in ["127.0.0.1", "::1"] {
            let Ok(listener) = TcpListener::bind((ip, 0)) else {
                continue;
            };
            let address = listener.local_addr().expect("an address");
            let wanted = Wanted::At(address.ip(), Some(address.port()));
            let own = std::process::id();
            assert_eq!(all(own, &wanted).expect("a list"), []);
            let client = TcpStream::connect(address).expect("connected");
            let found = all(own, &wanted).expect("a list");
            let local = client.local_addr().expect("an address");
            let is_client = |socket: &LiveSocket| socket.local == local && socket.remote == address;
            assert!(found.iter().any(is_client), "{found:?}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_left_out() {
        for line in [
            "",
            "0: 0100007F:01BB",
            "0: 01:01BB 0100007F:01BB 01 a b c d e 7",
        ] {
            assert_eq!(socket(line, Protocol::Tcp), None, "{line}");
        }
        assert!(all(u32::MAX, &Wanted::All).is_err());
    }
}
