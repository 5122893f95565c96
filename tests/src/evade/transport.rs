//! Transports beside TCP and UDP, and protocols that the kernel speaks over them.

use std::io;

use socket2::{Domain, Protocol, SockAddr, Type};

use super::{
    Technique,
    scene::{MODEL, MODEL_6, Scene, any, v4},
    sys::{address_of, answer, ask, send_message, set, set_number, socket, v4_of_family},
};

const MPTCP: i32 = 262;
const SCTP: i32 = 132;
const UDPLITE: i32 = 136;
const DCCP: i32 = 33;
const L2TP: i32 = 115;
const SMC: i32 = 256;
const AF_SMC: i32 = 43;
const AF_RXRPC: i32 = 33;

pub(super) const LIST: &[Technique] = &[
    Technique::new("mptcp", "Multipath TCP", |scene| {
        stream(scene, MODEL, MPTCP)
    }),
    Technique::new("mptcp6", "Multipath TCP over IPv6", |scene| {
        stream(scene, MODEL_6, MPTCP)
    }),
    Technique::new(
        "mptcp-mapped",
        "Multipath TCP to `::ffff:a.b.c.d`",
        |scene| stream(scene, "[::ffff:127.8.0.1]:443", MPTCP),
    ),
    Technique::new(
        "mptcp-fast-open",
        "Multipath TCP with `MSG_FASTOPEN`",
        mptcp_fast_open,
    ),
    Technique::new("sctp-connect", "SCTP, `connect`", |scene| {
        stream(scene, MODEL, SCTP)
    }),
    Technique::new("sctp6-connect", "SCTP over IPv6", |scene| {
        stream(scene, MODEL_6, SCTP)
    }),
    Technique::new(
        "sctp-sendto",
        "SCTP, one socket for many peers, `sendto`",
        sctp_sendto,
    ),
    Technique::new(
        "sctp-connectx",
        "SCTP, `SCTP_SOCKOPT_CONNECTX`",
        sctp_connectx,
    ),
    Technique::new("udplite-sendto", "UDP-Lite, `sendto`", |scene| {
        datagram(scene, UDPLITE)
    }),
    Technique::new("udplite-connect", "UDP-Lite, `connect`", |scene| {
        datagram_connected(scene, UDPLITE)
    }),
    Technique::new("dccp", "DCCP", dccp),
    Technique::new("l2tp-ip", "L2TP over IP, `sendto`", |scene| {
        datagram(scene, L2TP)
    }),
    Technique::new("l2tp-ip-connect", "L2TP over IP, `connect`", |scene| {
        datagram_connected(scene, L2TP)
    }),
    Technique::new(
        "smc-family",
        "`AF_SMC`, which falls back to TCP",
        smc_family,
    ),
    Technique::new(
        "smc-protocol",
        "`IPPROTO_SMC`, which falls back to TCP",
        |scene| stream(scene, MODEL, SMC),
    ),
    Technique::new(
        "smc-ulp",
        "a TCP socket that becomes one of SMC (`TCP_ULP`)",
        smc_ulp,
    ),
    Technique::new("rxrpc", "RxRPC, whose datagrams the kernel sends", rxrpc),
];

fn stream(scene: &Scene, to: &str, protocol: i32) -> io::Result<()> {
    let to = any(to)?;
    let socket = socket(Domain::for_address(to), Type::STREAM, Some(protocol.into()))?;
    socket.connect(&to.into())?;
    ask(&socket, scene.token())
}

fn mptcp_fast_open(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = socket(Domain::IPV4, Type::STREAM, Some(MPTCP.into()))?;
    socket.send_to_with_flags(scene.token(), &to.into(), libc::MSG_FASTOPEN)?;
    answer(&socket)
}

fn sctp_sendto(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = socket(Domain::IPV4, Type::SEQPACKET, Some(SCTP.into()))?;
    send_message(&socket, scene.token(), Some(&to.into()), &[], 0)?;
    answer(&socket)
}

fn sctp_connectx(scene: &Scene) -> io::Result<()> {
    const CONNECTX: i32 = 110;
    let socket = socket(Domain::IPV4, Type::STREAM, Some(SCTP.into()))?;
    let to = v4_of_family(libc::AF_INET, v4(MODEL)?)?;
    set(&socket, SCTP, CONNECTX, octets(&to))?;
    ask(&socket, scene.token())
}

fn octets(address: &SockAddr) -> &[u8] {
    // SAFETY: a `SockAddr` has at least as many octets as its length says.
    unsafe { std::slice::from_raw_parts(address.as_ptr().cast(), address.len() as usize) }
}

fn datagram(scene: &Scene, protocol: i32) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = socket(Domain::IPV4, Type::DGRAM, Some(protocol.into()))?;
    socket.send_to(scene.token(), &to.into()).map(drop)
}

fn datagram_connected(scene: &Scene, protocol: i32) -> io::Result<()> {
    let socket = socket(Domain::IPV4, Type::DGRAM, Some(protocol.into()))?;
    socket.connect(&any(MODEL)?.into())?;
    socket.send(scene.token()).map(drop)
}

fn dccp(scene: &Scene) -> io::Result<()> {
    const SOL_DCCP: i32 = 269;
    const SERVICE: i32 = 2;
    const SOCK_DCCP: i32 = 6;
    let socket = socket(Domain::IPV4, Type::from(SOCK_DCCP), Some(DCCP.into()))?;
    set_number(&socket, SOL_DCCP, SERVICE, 0)?;
    socket.connect(&any(MODEL)?.into())?;
    socket.send(scene.token()).map(drop)
}

fn smc_family(scene: &Scene) -> io::Result<()> {
    let socket = socket(Domain::from(AF_SMC), Type::STREAM, None)?;
    socket.connect(&any(MODEL)?.into())?;
    ask(&socket, scene.token())
}

fn smc_ulp(scene: &Scene) -> io::Result<()> {
    let socket = socket(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    set(&socket, libc::IPPROTO_TCP, libc::TCP_ULP, b"smc")?;
    socket.connect(&any(MODEL)?.into())?;
    ask(&socket, scene.token())
}

/// The first datagram of a call has its arguments; whether anybody answers does not matter.
fn rxrpc(scene: &Scene) -> io::Result<()> {
    const SOL_RXRPC: i32 = 272;
    const USER_CALL_ID: i32 = 1;
    let to = v4(MODEL)?;
    let transport = v4_of_family(libc::AF_INET, to)?;
    let mut bytes = (AF_RXRPC as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&1_u16.to_ne_bytes());
    bytes.extend_from_slice(&(libc::SOCK_DGRAM as u16).to_ne_bytes());
    bytes.extend_from_slice(&16_u16.to_ne_bytes());
    bytes.extend_from_slice(octets(&transport));
    bytes.resize(36, 0);
    let socket = socket(
        Domain::from(AF_RXRPC),
        Type::DGRAM,
        Some(libc::AF_INET.into()),
    )?;
    let call = 7_u64.to_ne_bytes();
    let control = [(SOL_RXRPC, USER_CALL_ID, &call[..])];
    send_message(
        &socket,
        scene.token(),
        Some(&address_of(&bytes)?),
        &control,
        0,
    )
    .map(drop)
}
