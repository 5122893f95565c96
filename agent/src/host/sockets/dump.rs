//! Lists the sockets of the calling thread's network namespace with inet_diag.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

use agent_common::tcp::{Final, state};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use nix::{
    libc,
    sys::socket::{MsgFlags, recv, send},
};

use super::{Detail, LiveSocket, Traffic, Wanted};
use crate::host::sock_destroy::{Protocol, open_diag};

/// `INET_DIAG_CGROUP_ID` of `linux/inet_diag.h`, since Linux 5.9.
const CGROUP_ID: u16 = 21;

/// The kernel fills at most 32 KiB at once.
const BUFFER: usize = 64 << 10;

/// Sockets with a peer, that of an ended connection excepted.
fn connected() -> StateFlags {
    StateFlags::ESTABLISHED
        | StateFlags::SYN_SENT
        | StateFlags::FIN_WAIT1
        | StateFlags::FIN_WAIT2
        | StateFlags::CLOSE_WAIT
        | StateFlags::LAST_ACK
        | StateFlags::CLOSING
}

/// # Errors
///
/// When the kernel has no diagnostics for TCP. Those for UDP may be missing.
pub(super) fn all(wanted: &Wanted, detail: Detail) -> io::Result<Vec<LiveSocket>> {
    let socket = open_diag()?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let mut request = request(family as u8, protocol, connected());
            if detail == Detail::Traffic && protocol == Protocol::Tcp {
                request.extensions = ExtensionFlags::INFO;
            }
            let request = serialized(request);
            let listed = list(&socket, &request, &mut |response| {
                let one = live(response, protocol).into_iter();
                found.extend(
                    one.filter(|one| wanted.matches(one.remote) || wanted.matches(one.local)),
                );
            });
            match (listed, protocol) {
                (Err(error), Protocol::Udp) if error.raw_os_error() == Some(libc::ENOENT) => {}
                (listed, _) => listed?,
            }
        }
    }
    Ok(found)
}

/// TCP ports that somebody listens at.
///
/// # Errors
///
/// As [`all`].
pub(super) fn listeners() -> io::Result<BTreeSet<u16>> {
    let socket = open_diag()?;
    let mut ports = BTreeSet::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = serialized(request(family as u8, Protocol::Tcp, StateFlags::LISTEN));
        list(&socket, &request, &mut |response| {
            ports.insert(response.header.socket_id.source_port);
        })?;
    }
    Ok(ports)
}

fn list(socket: &OwnedFd, request: &[u8], take: &mut dyn FnMut(&InetResponse)) -> io::Result<()> {
    send(socket.as_raw_fd(), request, MsgFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Err(nix::Error::EINTR) => continue,
            received => received?,
        };
        let mut rest = buffer.get(..n).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest);
            let message = message.map_err(io::Error::other)?;
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(4)..).unwrap_or_default();
            if let NetlinkPayload::Done(_) = message.payload {
                return Ok(());
            }
            if let NetlinkPayload::Error(error) = message.payload {
                return Err(error.to_io());
            }
            if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(one)) =
                message.payload
            {
                take(&one);
            }
        }
    }
}

/// A `struct inet_diag_req_v2` for all sockets (`linux/inet_diag.h`).
fn request(family: u8, protocol: Protocol, states: StateFlags) -> InetRequest {
    let any: IpAddr = if family == libc::AF_INET as u8 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    InetRequest {
        family,
        protocol: match protocol {
            Protocol::Tcp => libc::IPPROTO_TCP as u8,
            Protocol::Udp => libc::IPPROTO_UDP as u8,
        },
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: SocketId {
            source_port: 0,
            destination_port: 0,
            source_address: any,
            destination_address: any,
            interface_id: 0,
            cookie: [0; 8],
        },
    }
}

fn serialized(request: InetRequest) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = SockDiagMessage::InetRequest(request);
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// One that has no peer is none of ours, whatever was asked for.
fn live(response: &InetResponse, protocol: Protocol) -> Option<LiveSocket> {
    let id = &response.header.socket_id;
    let end = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
    (id.destination_port != 0).then(|| LiveSocket {
        protocol,
        local: end(id.source_address, id.source_port),
        remote: end(id.destination_address, id.destination_port),
        cgroup: response.nlas.iter().find_map(cgroup_id),
        pid: None,
        inode: response.header.inode,
        cookie: u64::from_le_bytes(id.cookie),
        is_v6: i32::from(response.header.family) == libc::AF_INET6,
        interface: id.interface_id,
        traffic: traffic(response),
    })
}

/// Offsets in `struct tcp_info` (`linux/tcp.h`), since Linux 4.1.
const BYTES_ACKED: usize = 120;
const BYTES_RECEIVED: usize = 128;

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let (word, _) = bytes.get(at..)?.split_first_chunk()?;
    Some(u64::from_ne_bytes(*word))
}

fn traffic(response: &InetResponse) -> Option<Traffic> {
    let state = u32::from(response.header.state);
    let info = response.nlas.iter().find_map(|attribute| {
        if let Nla::TcpInfo(info) = attribute {
            return Some(info);
        }
        None
    })?;
    let so_far = Final {
        old_state: state,
        bytes_acked: word(info, BYTES_ACKED)?,
        bytes_received: word(info, BYTES_RECEIVED)?,
        all_acked: state == state::FIN_WAIT2,
        peer_finished: matches!(state, state::CLOSE_WAIT | state::LAST_ACK | state::CLOSING),
    };
    Some(Traffic {
        bytes_out: so_far.bytes_out(),
        bytes_in: so_far.bytes_in(),
    })
}

fn cgroup_id(attribute: &Nla) -> Option<u64> {
    let Nla::Other(other) = attribute else {
        return None;
    };
    let mut value = [0; 8];
    if other.kind() != CGROUP_ID || other.value_len() != value.len() {
        return None;
    }
    other.emit_value(&mut value);
    Some(u64::from_ne_bytes(value))
}
