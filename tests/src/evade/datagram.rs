//! UDP: with and without `connect`, one datagram or many, every spelling of an address.

use std::{io, net::SocketAddr, os::fd::AsFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{
    Technique, packets,
    scene::{LOCAL, LOCAL_6, MODEL, MODEL_6, NAMED_TLS, PLAIN, Scene, any, v4},
    stream::{hop, loopback, send_many},
    sys::{
        file_with, nowhere, send_file, send_message, set, set_number, socket, udp, v4_of_family,
    },
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("udp-sendto", "`sendto`", |scene| send_to(scene, MODEL)),
    Technique::new("udp6-sendto", "`sendto` over IPv6", |scene| {
        send_to(scene, MODEL_6)
    }),
    Technique::new("udp-connect", "`connect`, then `send`", |scene| {
        connect(scene, MODEL)
    }),
    Technique::new(
        "udp6-connect",
        "`connect`, then `send`, over IPv6",
        |scene| connect(scene, MODEL_6),
    ),
    Technique::new("udp-sendmsg", "`sendmsg` with an address", message),
    Technique::new("udp-sendmmsg", "`sendmmsg`", many),
    Technique::new(
        "udp-segments",
        "`UDP_SEGMENT`: one send, several datagrams",
        segments,
    ),
    Technique::new(
        "udp-elsewhere",
        "connected elsewhere, `sendto` here",
        elsewhere,
    ),
    Technique::new(
        "udp-again",
        "connected elsewhere, dissolved, connected anew",
        again,
    ),
    Technique::new("udp-family-0", "`sendto` an address of family 0", family_0),
    Technique::new(
        "udp6-mapped",
        "`sendto` the IPv4 address as `::ffff:a.b.c.d`",
        |scene| send_to(scene, "[::ffff:127.8.0.1]:443"),
    ),
    Technique::new(
        "udp6-mapped-connect",
        "`connect` to `::ffff:a.b.c.d`",
        |scene| connect(scene, "[::ffff:127.8.0.1]:443"),
    ),
    Technique::new("udp6-v4", "a `sockaddr_in` on an IPv6 socket", v4_on_v6),
    Technique::new("udp-local", "a model at 127.0.0.1", |scene| {
        send_to(scene, LOCAL)
    }),
    Technique::new("udp-zero", "0.0.0.0, which is the host itself", |scene| {
        send_to(scene, "0.0.0.0:11434")
    }),
    Technique::new("udp6-local", "a model at ::1", |scene| {
        send_to(scene, LOCAL_6)
    }),
    Technique::new("udp6-zero", "`::`, which is the host itself", |scene| {
        send_to(scene, "[::]:11434")
    }),
    Technique::new("udp-cork", "in pieces, held back by `UDP_CORK`", corked),
    Technique::new(
        "udp-cork-elsewhere",
        "a corked datagram that began for elsewhere",
        corked_elsewhere,
    ),
    Technique::new("udp-more", "in pieces with `MSG_MORE`", more),
    Technique::new(
        "udp-packet-info",
        "a device and a source beside the address",
        packet_info,
    ),
    Technique::new(
        "udp-source-route",
        "IP options of this datagram lead through another hop",
        source_route,
    ),
    Technique::new("udp-zerocopy", "`MSG_ZEROCOPY`", zerocopy),
    Technique::new(
        "udp-sendfile",
        "`sendfile` on a connected socket",
        by_sendfile,
    ),
    Technique::new("udp-fragments", "larger than a packet of the device", large),
    Technique::new(
        "udp-encap",
        "a socket that decapsulates ESP (`UDP_ENCAP`)",
        encap,
    ),
    Technique::new("udp-quic", "QUIC to the address of a name", |scene| {
        quic(scene, 0xc3, 1)
    }),
    Technique::new("udp-quic-2", "QUIC of version 2", |scene| {
        quic(scene, 0xd3, 0x6b33_43cf)
    }),
    Technique::new("udp-quic-draft", "QUIC of a draft", |scene| {
        quic(scene, 0xc0, 0xff00_001d)
    }),
    Technique::new(
        "udp-quic-connected",
        "QUIC on a connected socket",
        quic_connected,
    ),
    Technique::new("udp-dtls", "DTLS to the address of a name", dtls),
];

fn send_to(scene: &Scene, to: &str) -> io::Result<()> {
    let to = any(to)?;
    udp(to)?.send_to(scene.token(), &to.into()).map(drop)
}

fn connected(to: SocketAddr) -> io::Result<Socket> {
    let socket = udp(to)?;
    socket.connect(&to.into())?;
    Ok(socket)
}

fn connect(scene: &Scene, to: &str) -> io::Result<()> {
    connected(any(to)?)?.send(scene.token()).map(drop)
}

fn message(scene: &Scene) -> io::Result<()> {
    with_control(scene, &[])
}

fn with_control(scene: &Scene, control: &[(libc::c_int, libc::c_int, &[u8])]) -> io::Result<()> {
    let to = any(MODEL)?;
    send_message(&udp(to)?, scene.token(), Some(&to.into()), control, 0).map(drop)
}

fn many(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    send_many(&udp(to)?, &[b"first", scene.token()], &to.into(), 0)
}

fn segments(scene: &Scene) -> io::Result<()> {
    let length = scene.token().len();
    let both = [&vec![b'-'; length][..], scene.token()].concat();
    let size = (length as u16).to_ne_bytes();
    let to = any(MODEL)?;
    let control = [(libc::SOL_UDP, libc::UDP_SEGMENT, &size[..])];
    send_message(&udp(to)?, &both, Some(&to.into()), &control, 0).map(drop)
}

fn elsewhere(scene: &Scene) -> io::Result<()> {
    let socket = connected(any(PLAIN)?)?;
    socket.send_to(scene.token(), &any(MODEL)?.into()).map(drop)
}

fn again(scene: &Scene) -> io::Result<()> {
    let socket = connected(any(PLAIN)?)?;
    socket.connect(&nowhere()?)?;
    socket.connect(&any(MODEL)?.into())?;
    socket.send(scene.token()).map(drop)
}

fn family_0(scene: &Scene) -> io::Result<()> {
    let to = v4_of_family(libc::AF_UNSPEC, v4(MODEL)?)?;
    udp(any(MODEL)?)?.send_to(scene.token(), &to).map(drop)
}

fn v4_on_v6(scene: &Scene) -> io::Result<()> {
    let to = v4_of_family(libc::AF_INET, v4(MODEL)?)?;
    udp(any(MODEL_6)?)?.send_to(scene.token(), &to).map(drop)
}

fn corked(scene: &Scene) -> io::Result<()> {
    let to: SockAddr = any(MODEL)?.into();
    in_pieces(scene, &to, &to)
}

/// The kernel keeps the address of the first piece.
fn corked_elsewhere(scene: &Scene) -> io::Result<()> {
    in_pieces(scene, &any(MODEL)?.into(), &any(PLAIN)?.into())
}

fn in_pieces(scene: &Scene, first: &SockAddr, then: &SockAddr) -> io::Result<()> {
    let socket = udp(any(MODEL)?)?;
    set_number(&socket, libc::SOL_UDP, libc::UDP_CORK, 1)?;
    let (head, rest) = scene.token().split_at(4);
    socket.send_to(head, first)?;
    socket.send_to(rest, then)?;
    set_number(&socket, libc::SOL_UDP, libc::UDP_CORK, 0)
}

fn more(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = udp(to)?;
    let (head, rest) = scene.token().split_at(4);
    socket.send_to_with_flags(head, &to.into(), libc::MSG_MORE)?;
    socket.send_to(rest, &to.into()).map(drop)
}

fn packet_info(scene: &Scene) -> io::Result<()> {
    let source = [127, 8, 0, 9];
    let info = [&loopback()?.to_ne_bytes()[..], &source, &[0; 4]].concat();
    with_control(scene, &[(libc::IPPROTO_IP, libc::IP_PKTINFO, &info)])
}

fn source_route(scene: &Scene) -> io::Result<()> {
    let options = hop(*v4(PLAIN)?.ip());
    with_control(scene, &[(libc::IPPROTO_IP, libc::IP_RETOPTS, &options)])
}

fn zerocopy(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = udp(to)?;
    set_number(&socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    socket
        .send_to_with_flags(scene.token(), &to.into(), libc::MSG_ZEROCOPY)
        .map(drop)
}

fn by_sendfile(scene: &Scene) -> io::Result<()> {
    let socket = connected(any(MODEL)?)?;
    send_file(socket.as_fd(), &file_with(scene.token())?)
}

fn large(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = udp(to)?;
    set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &[0; 4])?;
    let bytes = [&[b'-'; 65_000][..], scene.token()].concat();
    // Shorter than the longest datagram, longer than what a path of 1,500 octets takes at once.
    set_number(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, 1 << 18)?;
    socket.send_to(&bytes, &to.into()).map(drop)
}

fn encap(scene: &Scene) -> io::Result<()> {
    const ESP_IN_UDP: libc::c_int = 2;
    let to = any(MODEL)?;
    let socket = udp(to)?;
    set_number(&socket, libc::SOL_UDP, libc::UDP_ENCAP, ESP_IN_UDP)?;
    socket.send_to(scene.token(), &to.into()).map(drop)
}

/// What begins a connection has a long header and at least 1,200 octets.
fn long_header(scene: &Scene, first: u8, version: u32) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&[8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
    bytes.extend_from_slice(scene.token());
    bytes.resize(1200, 0);
    bytes
}

fn quic(scene: &Scene, first: u8, version: u32) -> io::Result<()> {
    let to = any(NAMED_TLS)?;
    let bytes = long_header(scene, first, version);
    udp(to)?.send_to(&bytes, &to.into()).map(drop)
}

fn quic_connected(scene: &Scene) -> io::Result<()> {
    let bytes = long_header(scene, 0xc3, 1);
    connected(any(NAMED_TLS)?)?.send(&bytes).map(drop)
}

fn dtls(scene: &Scene) -> io::Result<()> {
    let to = any(NAMED_TLS)?;
    let socket = socket(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    let bytes = packets::dtls_hello(super::scene::NAME, scene.token());
    socket.send_to(&bytes, &to.into()).map(drop)
}
