//! Packet sockets: whole frames, past the layer that has addresses.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    ROOT, Technique, packets, raw,
    scene::{MODEL, MODEL_6, Scene, v4, v6},
    stream::loopback,
    sys::{address_of, bpf, load_program, set, set_number, socket},
};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

pub(super) const LIST: &[Technique] = &[
    Technique::new("packet-frame", "a frame with a datagram", |scene| {
        frame_socket(scene, |_| Ok(()))
    }),
    Technique::new("packet-frame6", "a frame with a datagram over IPv6", frame6),
    Technique::new("packet-syn", "a frame with a SYN with data", frame_syn),
    Technique::new(
        "packet-cooked",
        "a packet without a frame (`SOCK_DGRAM`)",
        cooked,
    ),
    Technique::new("packet-bound", "bound to the device, `write`", bound),
    Technique::new("packet-bypass", "`PACKET_QDISC_BYPASS`", |scene| {
        frame_socket(scene, |socket| {
            set_number(socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)
        })
    }),
    Technique::new(
        "packet-virtual",
        "`PACKET_VNET_HDR`: an offload header before the frame",
        virtual_header,
    ),
    Technique::new("packet-old", "`SOCK_PACKET`, the interface of old", old),
    Technique::new(
        "packet-ring",
        "`PACKET_TX_RING`: frames in shared memory",
        ring,
    ),
    Technique::new(
        "packet-inherited",
        "a packet socket that an entitled workload has made",
        inherited,
    ),
    Technique::new(
        "xdp-frames",
        "frames of a program's test run (`BPF_PROG_TEST_RUN`)",
        xdp_frames,
    )
    .limit(ROOT),
];

/// To the loopback device, whose frames have no addresses.
fn frame(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&[0; 12], &kind.to_be_bytes()[..], packet].concat()
}

fn device(kind: u16) -> io::Result<SockAddr> {
    let mut bytes = (libc::AF_PACKET as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&loopback()?.to_ne_bytes());
    // Kind of hardware, kind of packet, length of the address, the address.
    bytes.extend_from_slice(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    address_of(&bytes)
}

fn packet_socket(kind: Type) -> io::Result<Socket> {
    socket(Domain::PACKET, kind, Some(0.into()))
}

fn frame_socket(scene: &Scene, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<()> {
    let socket = packet_socket(Type::RAW)?;
    prepare(&socket)?;
    let frame = frame(IPV4, &raw::whole(scene)?);
    socket.send_to(&frame, &device(IPV4)?).map(drop)
}

fn frame6(scene: &Scene) -> io::Result<()> {
    let to = v6(MODEL_6)?;
    let packet = packets::ipv6(packets::UDP, *to.ip(), &packets::udp6(to, scene.token()));
    let socket = packet_socket(Type::RAW)?;
    socket
        .send_to(&frame(IPV6, &packet), &device(IPV6)?)
        .map(drop)
}

fn frame_syn(scene: &Scene) -> io::Result<()> {
    let to = v4(MODEL)?;
    let packet = packets::ipv4(packets::TCP, *to.ip(), &packets::syn(to, scene.token()));
    let socket = packet_socket(Type::RAW)?;
    socket
        .send_to(&frame(IPV4, &packet), &device(IPV4)?)
        .map(drop)
}

fn cooked(scene: &Scene) -> io::Result<()> {
    let socket = packet_socket(Type::DGRAM)?;
    socket
        .send_to(&raw::whole(scene)?, &device(IPV4)?)
        .map(drop)
}

fn bound(scene: &Scene) -> io::Result<()> {
    let socket = packet_socket(Type::RAW)?;
    socket.bind(&device(IPV4)?)?;
    socket.send(&frame(IPV4, &raw::whole(scene)?)).map(drop)
}

fn virtual_header(scene: &Scene) -> io::Result<()> {
    let socket = packet_socket(Type::RAW)?;
    set_number(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
    let frame = frame(IPV4, &raw::whole(scene)?);
    let bytes = [&[0; 10], &frame[..]].concat();
    socket.send_to(&bytes, &device(IPV4)?).map(drop)
}

/// The device is named, not numbered.
fn old(scene: &Scene) -> io::Result<()> {
    const SOCK_PACKET: i32 = 10;
    let protocol = i32::from(IPV4.to_be());
    let socket = socket(
        Domain::PACKET,
        Type::from(SOCK_PACKET),
        Some(protocol.into()),
    )?;
    let mut bytes = (libc::AF_PACKET as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(b"lo\0\0\0\0\0\0\0\0\0\0\0\0");
    bytes.extend_from_slice(&IPV4.to_be_bytes());
    let frame = frame(IPV4, &raw::whole(scene)?);
    socket.send_to(&frame, &address_of(&bytes)?).map(drop)
}

/// One block of one page with two frames, of which the first is sent.
fn ring(scene: &Scene) -> io::Result<()> {
    const PAGE: usize = 4096;
    const FRAME: u32 = 2048;
    /// After the kernel's header, where data begins by default.
    const DATA: usize = 32;
    const SEND_REQUEST: u32 = 1;
    const HEADER_2: i32 = 1;
    let socket = packet_socket(Type::RAW)?;
    set_number(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, HEADER_2)?;
    let request = [PAGE as u32, 1, FRAME, 2].map(u32::to_ne_bytes).concat();
    set(&socket, libc::SOL_PACKET, libc::PACKET_TX_RING, &request)?;
    socket.bind(&device(IPV4)?)?;
    let frame = frame(IPV4, &raw::whole(scene)?);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of the ring, which is one page.
    let ring = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            protection,
            libc::MAP_SHARED,
            socket.as_raw_fd(),
            0,
        )
    };
    if ring == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the first frame has room for the header and far more than these octets.
    unsafe {
        let at = ring.cast::<u8>();
        std::ptr::copy_nonoverlapping(frame.as_ptr(), at.add(DATA), frame.len());
        // Status, then length and length that was captured.
        ring.cast::<u32>().add(1).write_volatile(frame.len() as u32);
        ring.cast::<u32>().add(2).write_volatile(frame.len() as u32);
        ring.cast::<u32>().write_volatile(SEND_REQUEST);
    }
    socket.send(&[]).map(drop)
}

fn inherited(scene: &Scene) -> io::Result<()> {
    scene.enter_out()?;
    let socket = packet_socket(Type::RAW)?;
    scene.enter_own()?;
    let frame = frame(IPV4, &raw::whole(scene)?);
    socket.send_to(&frame, &device(IPV4)?).map(drop)
}

/// A program that passes everything, run with a frame that then is as if it had been received.
fn xdp_frames(scene: &Scene) -> io::Result<()> {
    const LIVE: u32 = 2;
    const TEST_RUN: libc::c_int = 10;
    let program = passing_program()?;
    let frame = frame(IPV4, &raw::whole(scene)?);
    // What the program gets to see: begin and end of the frame, its device.
    let context = [0, frame.len() as u32, 0, loopback()?, 0, 0];
    let context = context.map(u32::to_ne_bytes).concat();
    let mut attributes = [0_u64; 16];
    attributes[0] = program.as_raw_fd() as u64;
    attributes[1] = frame.len() as u64;
    attributes[2] = frame.as_ptr() as u64;
    attributes[4] = 1;
    attributes[5] = context.len() as u64;
    attributes[6] = context.as_ptr() as u64;
    attributes[8] = u64::from(LIVE);
    bpf(TEST_RUN, &attributes).map(drop)
}

fn passing_program() -> io::Result<OwnedFd> {
    const XDP: u64 = 6;
    /// `r0 = XDP_PASS; exit`
    const PROGRAM: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
    load_program(XDP, &PROGRAM)
}
