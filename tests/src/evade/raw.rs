//! Raw sockets, whose headers their owner writes, and ping sockets.

use std::io;

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    Technique, packets,
    scene::{MODEL, MODEL_6, PLAIN, Scene, any, v4, v6},
    sys::{send_message, set_number, socket},
};

/// For experiments; the endpoint listens.
pub(super) const EXPERIMENT: i32 = 253;
const UDP: i32 = 17;
const TCP: i32 = 6;
const ICMP: i32 = 1;
const ICMP_6: i32 = 58;
const ALL: i32 = 255;

pub(super) const LIST: &[Technique] = &[
    Technique::new(
        "raw-header",
        "`IPPROTO_RAW`, a datagram with its header",
        whole_udp,
    ),
    Technique::new(
        "raw-header-syn",
        "`IPPROTO_RAW`, a SYN with data",
        whole_syn,
    ),
    Technique::new(
        "raw-header-included",
        "`IP_HDRINCL` on a socket of UDP",
        header_included,
    ),
    Technique::new(
        "raw-header-lies",
        "an ordinary address for `sendto`, the model's in the header",
        lies,
    ),
    Technique::new(
        "raw-fragments",
        "a datagram in two fragments of its own making",
        fragments,
    ),
    Technique::new("raw-options", "a header with options", options),
    Technique::new("raw-udp", "a raw socket of UDP, `sendto`", raw_udp),
    Technique::new(
        "raw-udp-connect",
        "a raw socket of UDP, `connect`",
        raw_udp_connect,
    ),
    Technique::new("raw-syn", "a raw socket of TCP, a SYN with data", raw_syn),
    Technique::new(
        "raw-message",
        "a raw socket, `sendmsg` with a source",
        raw_message,
    ),
    Technique::new("raw-protocol", "a protocol that nobody knows", raw_protocol),
    Technique::new("raw-icmp", "an echo request with data", raw_icmp),
    Technique::new("raw6-udp", "a raw socket over IPv6, `sendto`", raw6_udp),
    Technique::new(
        "raw6-udp-connect",
        "a raw socket over IPv6, `connect`",
        raw6_udp_connect,
    ),
    Technique::new("raw6-header", "`IPPROTO_RAW` over IPv6", raw6_header),
    Technique::new(
        "raw6-header-included",
        "`IPV6_HDRINCL`",
        raw6_header_included,
    ),
    Technique::new(
        "raw6-extension",
        "a datagram behind an extension header",
        raw6_extension,
    ),
    Technique::new(
        "raw6-icmp",
        "an echo request over IPv6 with data",
        raw6_icmp,
    ),
    Technique::new("ping", "a ping socket, `sendto`", ping),
    Technique::new("ping-connect", "a ping socket, `connect`", ping_connect),
    Technique::new("ping6", "a ping socket over IPv6", ping6),
    Technique::new(
        "raw-protocol-connect",
        "a protocol that nobody knows, `connect`",
        raw_protocol_connect,
    ),
];

pub(super) fn raw(protocol: i32) -> io::Result<Socket> {
    socket(Domain::IPV4, Type::RAW, Some(Protocol::from(protocol)))
}

fn raw6(protocol: i32) -> io::Result<Socket> {
    socket(Domain::IPV6, Type::RAW, Some(Protocol::from(protocol)))
}

fn send(socket: &Socket, bytes: &[u8], to: &str) -> io::Result<()> {
    let mut to = any(to)?;
    // A raw socket has no ports; over IPv6 it refuses them.
    to.set_port(0);
    socket.send_to(bytes, &to.into()).map(drop)
}

fn datagram(scene: &Scene) -> io::Result<Vec<u8>> {
    Ok(packets::udp(v4(MODEL)?, scene.token()))
}

pub(super) fn whole(scene: &Scene) -> io::Result<Vec<u8>> {
    let to = *v4(MODEL)?.ip();
    Ok(packets::ipv4(packets::UDP, to, &datagram(scene)?))
}

fn whole_udp(scene: &Scene) -> io::Result<()> {
    send(&raw(ALL)?, &whole(scene)?, MODEL)
}

fn whole_syn(scene: &Scene) -> io::Result<()> {
    let to = v4(MODEL)?;
    let packet = packets::ipv4(packets::TCP, *to.ip(), &packets::syn(to, scene.token()));
    send(&raw(ALL)?, &packet, MODEL)
}

fn header_included(scene: &Scene) -> io::Result<()> {
    let socket = raw(UDP)?;
    socket.set_header_included_v4(true)?;
    send(&socket, &whole(scene)?, MODEL)
}

fn lies(scene: &Scene) -> io::Result<()> {
    send(&raw(ALL)?, &whole(scene)?, PLAIN)
}

fn fragments(scene: &Scene) -> io::Result<()> {
    let to = *v4(MODEL)?.ip();
    let datagram = datagram(scene)?;
    let (first, second) = datagram.split_at(16);
    let socket = raw(ALL)?;
    let first = packets::fragment(packets::UDP, to, first, packets::MORE_FRAGMENTS, &[]);
    let second = packets::fragment(packets::UDP, to, second, 2, &[]);
    send(&socket, &first, MODEL)?;
    send(&socket, &second, MODEL)
}

fn options(scene: &Scene) -> io::Result<()> {
    /// Of which each says nothing.
    const FILLERS: [u8; 8] = [1; 8];
    let to = *v4(MODEL)?.ip();
    let packet = packets::fragment(packets::UDP, to, &datagram(scene)?, 0, &FILLERS);
    send(&raw(ALL)?, &packet, MODEL)
}

fn raw_udp(scene: &Scene) -> io::Result<()> {
    send(&raw(UDP)?, &datagram(scene)?, MODEL)
}

fn raw_udp_connect(scene: &Scene) -> io::Result<()> {
    let socket = raw(UDP)?;
    socket.connect(&any(MODEL)?.into())?;
    socket.send(&datagram(scene)?).map(drop)
}

fn raw_syn(scene: &Scene) -> io::Result<()> {
    let socket = raw(TCP)?;
    // The checksum covers the source.
    socket.bind(&any(&format!("{}:0", packets::SOURCE))?.into())?;
    send(&socket, &packets::syn(v4(MODEL)?, scene.token()), MODEL)
}

fn raw_message(scene: &Scene) -> io::Result<()> {
    let source = [&[0; 4][..], &packets::SOURCE.octets(), &[0; 4]].concat();
    let control = [(libc::IPPROTO_IP, libc::IP_PKTINFO, &source[..])];
    let to = any(MODEL)?.into();
    send_message(&raw(UDP)?, &datagram(scene)?, Some(&to), &control, 0).map(drop)
}

fn raw_protocol(scene: &Scene) -> io::Result<()> {
    send(&raw(EXPERIMENT)?, scene.token(), MODEL)
}

fn raw_protocol_connect(scene: &Scene) -> io::Result<()> {
    let socket = raw(EXPERIMENT)?;
    socket.connect(&any(MODEL)?.into())?;
    socket.send(scene.token()).map(drop)
}

fn raw_icmp(scene: &Scene) -> io::Result<()> {
    send(&raw(ICMP)?, &packets::echo(scene.token()), MODEL)
}

fn raw6_udp(scene: &Scene) -> io::Result<()> {
    let to = v6(MODEL_6)?;
    send(&raw6(UDP)?, &packets::udp6(to, scene.token()), MODEL_6)
}

fn raw6_udp_connect(scene: &Scene) -> io::Result<()> {
    let to = v6(MODEL_6)?;
    let socket = raw6(UDP)?;
    socket.connect(&any(MODEL_6)?.into())?;
    socket.send(&packets::udp6(to, scene.token())).map(drop)
}

fn whole6(scene: &Scene) -> io::Result<Vec<u8>> {
    let to = v6(MODEL_6)?;
    Ok(packets::ipv6(
        packets::UDP,
        *to.ip(),
        &packets::udp6(to, scene.token()),
    ))
}

fn raw6_header(scene: &Scene) -> io::Result<()> {
    send(&raw6(ALL)?, &whole6(scene)?, MODEL_6)
}

fn raw6_header_included(scene: &Scene) -> io::Result<()> {
    const IPV6_HDRINCL: i32 = 36;
    let socket = raw6(UDP)?;
    set_number(&socket, libc::IPPROTO_IPV6, IPV6_HDRINCL, 1)?;
    send(&socket, &whole6(scene)?, MODEL_6)
}

/// Destination options, padded, before the datagram.
fn raw6_extension(scene: &Scene) -> io::Result<()> {
    const DESTINATION_OPTIONS: u8 = 60;
    let to = v6(MODEL_6)?;
    let datagram = packets::udp6(to, scene.token());
    let payload = [&[packets::UDP, 0, 1, 4, 0, 0, 0, 0], &datagram[..]].concat();
    let packet = packets::ipv6(DESTINATION_OPTIONS, *to.ip(), &payload);
    send(&raw6(ALL)?, &packet, MODEL_6)
}

fn raw6_icmp(scene: &Scene) -> io::Result<()> {
    send(&raw6(ICMP_6)?, &packets::echo6(scene.token()), MODEL_6)
}

fn ping_socket(domain: Domain, protocol: i32) -> io::Result<Socket> {
    socket(domain, Type::DGRAM, Some(Protocol::from(protocol)))
}

fn ping(scene: &Scene) -> io::Result<()> {
    let socket = ping_socket(Domain::IPV4, ICMP)?;
    send(&socket, &packets::echo(scene.token()), MODEL)
}

fn ping_connect(scene: &Scene) -> io::Result<()> {
    let socket = ping_socket(Domain::IPV4, ICMP)?;
    let mut to = any(MODEL)?;
    to.set_port(0);
    socket.connect(&to.into())?;
    socket.send(&packets::echo(scene.token())).map(drop)
}

fn ping6(scene: &Scene) -> io::Result<()> {
    let socket = ping_socket(Domain::IPV6, ICMP_6)?;
    send(&socket, &packets::echo6(scene.token()), MODEL_6)
}
