//! An ordinary address that the kernel turns into the model's, after the call has been judged.

use std::io;

use super::{
    Technique,
    flight::{How, fly, record},
    scene::{OTHER, Scene, any},
    sys::{ask, connected, udp},
    tunnel::run,
};
use crate::harness::Hello;

pub(super) const LIST: &[Technique] = &[
    Technique::new(
        "rewrite-tcp",
        "a rule that rewrites the destination, TCP",
        |scene| {
            rewriting("iptables", "127.8.2.1", "tcp", "127.8.0.1:443", || {
                ask(&connected(any("127.8.2.1:443")?)?, scene.token())
            })
        },
    ),
    Technique::new(
        "rewrite-tls",
        "the same, with a greeting to an ordinary name",
        |scene| {
            rewriting("iptables", "127.8.2.2", "tcp", "127.8.0.1:443", || {
                greet(scene, "127.8.2.2:443")
            })
        },
    ),
    Technique::new("rewrite-udp", "the same, UDP, `sendto`", |scene| {
        rewriting("iptables", "127.8.2.3", "udp", "127.8.0.1:443", || {
            let to = any("127.8.2.3:443")?;
            udp(to)?.send_to(scene.token(), &to.into()).map(drop)
        })
    }),
    Technique::new("rewrite-udp-connect", "the same, UDP, `connect`", |scene| {
        rewriting("iptables", "127.8.2.4", "udp", "127.8.0.1:443", || {
            let to = any("127.8.2.4:443")?;
            let socket = udp(to)?;
            socket.connect(&to.into())?;
            socket.send(scene.token()).map(drop)
        })
    }),
    Technique::new(
        "rewrite-port",
        "a rule that rewrites the port of an ordinary service",
        |scene| {
            rewriting("iptables", "127.8.2.5", "tcp", "127.0.0.1:11434", || {
                greet(scene, "127.8.2.5:443")
            })
        },
    ),
    Technique::new(
        "rewrite6-tcp",
        "a rule that rewrites the destination over IPv6",
        |scene| {
            rewriting("ip6tables", "fd00:8::2:1", "tcp", "[fd00:8::1]:443", || {
                greet(scene, "[fd00:8::2:1]:443")
            })
        },
    ),
];

fn greet(scene: &Scene, to: &str) -> io::Result<()> {
    fly(
        to,
        How::Whole,
        &[Hello::to(OTHER).bytes(), record(scene)].concat(),
    )
}

/// The rule is taken back whatever happens.
fn rewriting(
    program: &str,
    from: &str,
    protocol: &str,
    to: &str,
    act: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let rule = [
        "OUTPUT",
        "-d",
        from,
        "-p",
        protocol,
        "-j",
        "DNAT",
        "--to-destination",
        to,
    ];
    let change = |how: &str| {
        run(
            program,
            &[&["-w", "5", "-t", "nat", how], &rule[..]].concat(),
        )
    };
    change("-A")?;
    let result = act();
    change("-D")?;
    result
}
