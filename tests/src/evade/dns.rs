//! What the DNS, or somebody in its place, tells about addresses. Each technique has an address of its
//! own, which a name below `model.test` or `other.test` leads to: see [`super::sinks`].

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    thread,
};

use super::{
    FRONTING, Technique,
    flight::{How, fly, record},
    packets, raw,
    scene::{MODEL, OTHER, RESOLVER, Scene, any, v4},
    sys::{self, PATIENCE},
};
use crate::harness::Hello;

const A: u16 = 1;
const AAAA: u16 = 28;

pub(super) const LIST: &[Technique] = &[
    Technique::new("dns-asked", "the name is asked for", |scene| {
        ask("a1.model.test", A)?;
        plainly(scene, 1)
    }),
    Technique::new("dns-asked-6", "the name is asked for, over IPv6", |scene| {
        ask("a2.model.test", AAAA)?;
        fly(
            "[fd00:8::1:2]:443",
            How::Whole,
            &greeting(scene, "a2.model.test"),
        )
    }),
    Technique::new(
        "dns-shared",
        "an ordinary name is asked for, too",
        |scene| {
            ask("a3.model.test", A)?;
            ask("a3.other.test", A)?;
            by_name(scene, 3)
        },
    ),
    Technique::new(
        "dns-ordinary",
        "only an ordinary name of the address is asked for",
        |scene| {
            ask("a4.other.test", A)?;
            by_name(scene, 4)
        },
    ),
    Technique::new(
        "dns-ordinary-plain",
        "the same, and a greeting without a name is sent",
        |scene| {
            ask("a5.other.test", A)?;
            plainly(scene, 5)
        },
    ),
    Technique::new("dns-alias", "through an alias", |scene| {
        ask("a6.alias1.test", A)?;
        plainly(scene, 6)
    }),
    Technique::new("dns-aliases", "through six aliases", |scene| {
        ask("a7.alias6.test", A)?;
        by_name(scene, 7)
    }),
    Technique::new("dns-case", "in letters of any case", |scene| {
        ask("A8.mOdEl.TeSt", A)?;
        plainly(scene, 8)
    }),
    Technique::new("dns-tcp", "over TCP", |scene| {
        ask_tcp("a9.model.test")?;
        plainly(scene, 9)
    }),
    Technique::new(
        "dns-tcp-pieces",
        "over TCP, the answer in pieces",
        |scene| {
            ask_tcp("a10.pieces.model.test")?;
            by_name(scene, 10)
        },
    ),
    Technique::new("dns-short", "an answer that lives for no time", |scene| {
        ask("a11.short.model.test", A)?;
        plainly(scene, 11)
    }),
    Technique::new(
        "dns-literal",
        "the address is known from elsewhere",
        |scene| by_name(scene, 12),
    ),
    Technique::new(
        "dns-own",
        "a resolver of its own says that the address is ordinary",
        |scene| {
            own_resolver(SocketAddr::from(([127, 8, 0, 9], 53)), 13)?;
            plainly(scene, 13)
        },
    ),
    Technique::new(
        "dns-stub",
        "a resolver of its own, where a stub would be",
        |scene| {
            own_resolver(SocketAddr::from(([127, 0, 0, 53], 53)), 14)?;
            plainly(scene, 14)
        },
    ),
    Technique::new(
        "dns-forged",
        "an answer with the resolver's address as source",
        |scene| {
            ask("a15.model.test", A)?;
            forged(15)?;
            plainly(scene, 15)
        },
    ),
    Technique::new(
        "dns-poison",
        "an ordinary name leads to an address of policy",
        poison,
    ),
    Technique::new(
        "dns-fronted",
        "a name of its own leads to the endpoint, which answers to any",
        |scene| {
            ask("a17.other.test", A)?;
            fly(
                "127.8.1.17:443",
                How::Whole,
                &greeting(scene, "a17.other.test"),
            )
        },
    )
    .limit(FRONTING),
    Technique::new(
        "dns-https",
        "DNS over HTTPS at a public resolver",
        |scene| {
            fly(
                "1.1.1.1:443",
                How::Whole,
                &greeting(scene, "cloudflare-dns.com"),
            )
        },
    ),
    Technique::new("dns-https-address", "the same, by its address", |scene| {
        fly(
            "1.1.1.1:443",
            How::Whole,
            &[Hello::to("x.test").without_name().bytes(), record(scene)].concat(),
        )
    }),
    Technique::new("dns-tls", "DNS over TLS at a public resolver", |scene| {
        fly(
            "1.1.1.1:853",
            How::Whole,
            &greeting(scene, "one.one.one.one"),
        )
    }),
];

fn greeting(scene: &Scene, name: &str) -> Vec<u8> {
    [Hello::to(name).bytes(), record(scene)].concat()
}

fn by_name(scene: &Scene, number: u8) -> io::Result<()> {
    let bytes = greeting(scene, &format!("a{number}.model.test"));
    fly(&format!("127.8.1.{number}:443"), How::Whole, &bytes)
}

/// With a greeting that leaves the decision to the address.
fn plainly(scene: &Scene, number: u8) -> io::Result<()> {
    let greeting = Hello::to(OTHER).without_name().bytes();
    let bytes = [greeting, record(scene)].concat();
    fly(&format!("127.8.1.{number}:443"), How::Whole, &bytes)
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&1_u16.to_be_bytes());
    message
}

fn ask(name: &str, kind: u16) -> io::Result<()> {
    ask_at(any(RESOLVER)?, &question(name, kind))
}

fn ask_at(resolver: SocketAddr, question: &[u8]) -> io::Result<()> {
    let socket = UdpSocket::bind("127.8.0.9:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(question, resolver)?;
    socket.recv(&mut [0; 2048]).map(drop)
}

fn ask_tcp(name: &str) -> io::Result<()> {
    let question = question(name, A);
    let mut stream = TcpStream::connect(any(RESOLVER)?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = (question.len() as u16).to_be_bytes();
    stream.write_all(&[&length, &question[..]].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    stream.read_exact(&mut vec![0; u16::from_be_bytes(length).into()])
}

/// Asks itself, and is told that the address is that of an ordinary name.
fn own_resolver(at: SocketAddr, number: u8) -> io::Result<()> {
    let server = UdpSocket::bind(at)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let question = question(&format!("a{number}.other.test"), A);
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut buffer = [0; 512];
            let (n, from) = server.recv_from(&mut buffer)?;
            let asked = buffer.get(..n).unwrap_or_default();
            server
                .send_to(&answer(asked, [127, 8, 1, number]), from)
                .map(drop)
        });
        let asked = ask_at(at, &question);
        let served = serving
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?;
        served.and(asked)
    })
}

/// The question, and one address.
fn answer(question: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut message = question.to_vec();
    if let Some(flags) = message.get_mut(2..8) {
        flags.copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
    }
    message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4]);
    message.extend_from_slice(&address);
    message
}

/// To a socket of its own, which so receives an answer that nobody has sent.
fn forged(number: u8) -> io::Result<()> {
    let receiver = UdpSocket::bind("127.8.0.9:0")?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let question = question(&format!("a{number}.other.test"), A);
    let payload = answer(&question, [127, 8, 1, number]);
    let port = receiver.local_addr()?.port();
    let mut datagram = packets::udp(v4(&format!("127.8.0.9:{port}"))?, &payload);
    if let Some(source) = datagram.get_mut(..2) {
        source.copy_from_slice(&53_u16.to_be_bytes());
    }
    let socket = raw::raw(libc::IPPROTO_UDP)?;
    let mut resolver = any(RESOLVER)?;
    resolver.set_port(0);
    socket.bind(&resolver.into())?;
    socket.send_to(&datagram, &any("127.8.0.9:0")?.into())?;
    receiver.recv(&mut [0; 512]).map(drop)
}

/// The believed resolver says so, for a name that whoever owns it may lead anywhere.
fn poison(scene: &Scene) -> io::Result<()> {
    ask("poison.other.test", A)?;
    sys::ask(&sys::connected(any(MODEL)?)?, scene.token())
}
