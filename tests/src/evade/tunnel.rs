//! Packets that reach the stack, or the endpoint, through a device that the insider has made.

use std::{
    fs::{File, OpenOptions},
    io::{self, Error, Write},
    os::fd::AsRawFd,
    process::{Command, Stdio},
};

use super::{
    Technique, packets, raw,
    scene::{MODEL, MODEL_6, Scene, any, v4, v6},
    sys::{check, udp},
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("tun-udp", "a datagram written to a TUN device", |scene| {
        inject("evtun0", TUN, &raw::whole(scene)?)
    }),
    Technique::new(
        "tun-syn",
        "a SYN with data written to a TUN device",
        |scene| {
            let to = v4(MODEL)?;
            let syn = packets::syn(to, scene.token());
            inject("evtun1", TUN, &packets::ipv4(packets::TCP, *to.ip(), &syn))
        },
    ),
    Technique::new(
        "tun6-udp",
        "a datagram over IPv6 written to a TUN device",
        |scene| {
            let to = v6(MODEL_6)?;
            let packet = packets::ipv6(packets::UDP, *to.ip(), &packets::udp6(to, scene.token()));
            inject("evtun2", TUN, &packet)
        },
    ),
    Technique::new("tap-frame", "a frame written to a TAP device", tap),
    Technique::new(
        "tun-inherited",
        "a TUN device that an entitled workload has opened",
        inherited,
    ),
    Technique::new("vxlan", "a VXLAN device whose peer is the model", |scene| {
        through(
            scene,
            "evx0",
            "198.51.100.1",
            &[
                "type", "vxlan", "id", "7", "remote", HOST, "dstport", "4789",
            ],
        )
    }),
    Technique::new(
        "geneve",
        "a Geneve device whose peer is the model",
        |scene| {
            through(
                scene,
                "evg0",
                "198.51.100.2",
                &[
                    "type", "geneve", "id", "7", "remote", HOST, "dstport", "4789",
                ],
            )
        },
    ),
    Technique::new("gre", "a GRE device whose peer is the model", |scene| {
        through(
            scene,
            "evg1",
            "198.51.100.3",
            &["mode", "gre", "local", HERE, "remote", HOST],
        )
    }),
    Technique::new(
        "ipip",
        "an IP-in-IP device whose peer is the model",
        |scene| {
            through(
                scene,
                "evi0",
                "198.51.100.4",
                &["mode", "ipip", "local", HERE, "remote", HOST],
            )
        },
    ),
];

const TUN: libc::c_int = libc::IFF_TUN;
const HOST: &str = "127.8.0.1";
const HERE: &str = "127.8.0.9";

/// A device of this kind, up.
fn open(name: &str, kind: libc::c_int) -> io::Result<File> {
    const SET_INTERFACE: libc::Ioctl = 0x4004_54ca;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // `struct ifreq`: the name, then the flags.
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    let flags = (kind | libc::IFF_NO_PI) as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the kernel reads and writes a request of this length.
    check(unsafe { libc::ioctl(file.as_raw_fd(), SET_INTERFACE, request.as_mut_ptr()) } as isize)?;
    ip(&["link", "set", name, "up"])?;
    let settings = format!("/proc/sys/net/ipv4/conf/{name}");
    // The destination is one of loopback's.
    std::fs::write(format!("{settings}/route_localnet"), "1")?;
    std::fs::write(format!("{settings}/rp_filter"), "0")?;
    std::fs::write(format!("{settings}/accept_local"), "1")?;
    Ok(file)
}

pub(super) fn ip(args: &[&str]) -> io::Result<()> {
    run("ip", args)
}

/// Runs a program of the host, whose error is what it says.
pub(super) fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let mut command = Command::new(program);
    let output = command.args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().to_owned();
    Err(Error::other(format!("{program}: {said}")))
}

fn inject(name: &str, kind: libc::c_int, packet: &[u8]) -> io::Result<()> {
    open(name, kind)?.write_all(packet)
}

fn tap(scene: &Scene) -> io::Result<()> {
    let mut file = open("evtap0", libc::IFF_TAP)?;
    let address = std::fs::read_to_string("/sys/class/net/evtap0/address");
    let address = match address {
        Ok(text) => hardware(&text)?,
        // What is below /sys may be of another network namespace: everybody gets it.
        Err(_) => [0xff; 6],
    };
    let frame = [&address[..], &[2, 0, 0, 0, 0, 1, 8, 0], &raw::whole(scene)?].concat();
    file.write_all(&frame)
}

fn hardware(text: &str) -> io::Result<[u8; 6]> {
    let octets = text
        .trim()
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16));
    let octets: Vec<u8> = octets.collect::<Result<_, _>>().map_err(Error::other)?;
    octets
        .try_into()
        .map_err(|_| Error::other("a hardware address of another length"))
}

fn inherited(scene: &Scene) -> io::Result<()> {
    scene.enter_out()?;
    let mut file = open("evtun3", TUN)?;
    scene.enter_own()?;
    file.write_all(&raw::whole(scene)?)
}

/// Sends a datagram to an address behind the device; it arrives inside a packet to the model.
fn through(scene: &Scene, name: &str, behind: &str, kind: &[&str]) -> io::Result<()> {
    // Tunnels are made by a command of their own, which every `ip` has.
    let object = if kind.first() == Some(&"mode") {
        "tunnel"
    } else {
        "link"
    };
    ip(&[&[object, "add", name], kind].concat())?;
    let result = ip(&["link", "set", name, "up"])
        .and_then(|()| ip(&["route", "add", behind, "dev", name, "src", "192.0.2.1"]))
        .and_then(|()| {
            // An Ethernet would ask for the neighbour first; others have none.
            let neighbour = ["lladdr", "02:00:00:00:00:07", "dev", name];
            let _ = ip(&[&["neighbour", "add", behind], &neighbour[..]].concat());
            let to = any(&format!("{behind}:9"))?;
            udp(to)?.send_to(scene.token(), &to.into()).map(drop)
        });
    // The next run makes it anew.
    let removed = ip(&["link", "del", name]);
    result.and(removed)
}
