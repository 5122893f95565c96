//! TLS to an address that answers to the endpoint's name, in every form that a server understands.

use std::io;

use super::{
    FRONTING, Technique,
    flight::{How, flip, fly, record},
    scene::{NAME, NAMED_HTTP, NAMED_LATE, NAMED_TLS, OTHER, Scene},
};
use crate::harness::Hello;

pub(super) const LIST: &[Technique] = &[
    Technique::new("tls", "as a library sends it", |scene| {
        send(scene, How::Whole, Hello::to(NAME).bytes())
    }),
    Technique::new("tls-octets", "octet by octet", |scene| {
        send(scene, How::Pieces(1), Hello::to(NAME).bytes())
    }),
    Technique::new("tls-cut-name", "cut inside the name", |scene| {
        let hello = Hello::to(NAME);
        send(scene, How::Pieces(hello.name_offset() + 4), hello.bytes())
    }),
    Technique::new("tls-records", "in records of 32 octets", |scene| {
        send(scene, How::Whole, Hello::to(NAME).records(32))
    }),
    Technique::new("tls-records-1", "in records of one octet", |scene| {
        send(scene, How::Whole, Hello::to(NAME).records(1))
    }),
    Technique::new(
        "tls-records-apart",
        "in records of 200 octets, each in a packet",
        |scene| send(scene, How::Pieces(205), Hello::to(NAME).records(200)),
    ),
    Technique::new("tls-segments", "in segments of 100 octets", |scene| {
        send(scene, How::Segments(100), Hello::to(NAME).bytes())
    }),
    Technique::new("tls-more", "held back by `MSG_MORE`", |scene| {
        send(scene, How::More(50), Hello::to(NAME).bytes())
    }),
    Technique::new("tls-padding", "behind 3 kB of padding", |scene| {
        send(scene, How::Whole, Hello::to(NAME).padding(3_000).bytes())
    }),
    Technique::new(
        "tls-padding-long",
        "behind 12 kB of padding, in pieces",
        |scene| {
            send(
                scene,
                How::Pieces(1_000),
                Hello::to(NAME).padding(12_000).bytes(),
            )
        },
    ),
    Technique::new("tls-post-quantum", "behind a large key share", |scene| {
        send(scene, How::Whole, Hello::to(NAME).large_key_share().bytes())
    }),
    Technique::new("tls-capitals", "the name in capitals", |scene| {
        send(
            scene,
            How::Whole,
            Hello::to(NAME).name(b"API.Model.TEST").bytes(),
        )
    }),
    Technique::new("tls-dot", "a dot after the name", |scene| {
        send(
            scene,
            How::Whole,
            Hello::to(NAME).name(b"api.model.test.").bytes(),
        )
    }),
    Technique::new("tls-zero", "a zero octet after the name", |scene| {
        send(
            scene,
            How::Whole,
            Hello::to(NAME).name(b"api.model.test\0.other.test").bytes(),
        )
    }),
    Technique::new("tls-names", "an ordinary name before the name", |scene| {
        let names = [OTHER.as_bytes(), NAME.as_bytes()];
        send(scene, How::Whole, Hello::to(NAME).names(&names).bytes())
    }),
    Technique::new(
        "tls-names-after",
        "an ordinary name after the name",
        |scene| {
            let names = [NAME.as_bytes(), OTHER.as_bytes()];
            send(scene, How::Whole, Hello::to(NAME).names(&names).bytes())
        },
    ),
    Technique::new("tls-no-name", "no name", |scene| {
        send(scene, How::Whole, Hello::to(NAME).without_name().bytes())
    }),
    Technique::new("tls-ech", "an encrypted greeting inside", |scene| {
        send(scene, How::Whole, Hello::to(NAME).ech().bytes())
    }),
    Technique::new(
        "tls-ech-fronted",
        "an encrypted greeting inside one to an ordinary name",
        |scene| send(scene, How::Whole, Hello::to(OTHER).ech().bytes()),
    )
    .limit(FRONTING),
    Technique::new(
        "tls-fronted",
        "an ordinary name, the endpoint's in the request",
        |scene| send(scene, How::Whole, Hello::to(OTHER).bytes()),
    )
    .limit(FRONTING),
    Technique::new("tls-early", "early data behind the greeting", early),
    Technique::new(
        "tls-cipher-first",
        "a record of another kind before the greeting",
        |scene| {
            let bytes = [&[20, 3, 3, 0, 1, 1], &Hello::to(NAME).bytes()[..]].concat();
            send(scene, How::Whole, bytes)
        },
    ),
    Technique::new(
        "tls-alert-first",
        "a warning before the greeting",
        |scene| {
            let bytes = [&[21, 3, 3, 0, 2, 1, 90], &Hello::to(NAME).bytes()[..]].concat();
            send(scene, How::Whole, bytes)
        },
    ),
    Technique::new(
        "tls-empty-first",
        "an empty record before the greeting",
        |scene| {
            let bytes = [&[22, 3, 1, 0, 0], &Hello::to(NAME).bytes()[..]].concat();
            send(scene, How::Whole, bytes)
        },
    ),
    Technique::new(
        "tls-version-2",
        "a greeting in the form of SSL 2",
        version_2,
    ),
    Technique::new("tls-urgent", "an urgent octet inside", |scene| {
        send(scene, How::Urgent(100), Hello::to(NAME).bytes())
    }),
    Technique::new(
        "tls-zerocopy",
        "`MSG_ZEROCOPY`, whose pages may change",
        |scene| send(scene, How::Zerocopy, Hello::to(NAME).bytes()),
    ),
    Technique::new(
        "tls-sendfile",
        "`sendfile`, whose pages may change",
        |scene| send(scene, How::Sendfile, Hello::to(NAME).bytes()),
    ),
    Technique::new("tls-splice", "`splice`, whose pages may change", |scene| {
        send(scene, How::Splice, Hello::to(NAME).bytes())
    }),
    Technique::new(
        "tls-rewritten",
        "`sendfile` of an ordinary greeting, then another in its pages",
        |scene| rewritten(scene, true),
    ),
    Technique::new(
        "tls-rewritten-gift",
        "the same with pages of a pipe (`vmsplice`)",
        |scene| rewritten(scene, false),
    ),
    Technique::new("tls-syn", "in the SYN", |scene| {
        send(scene, How::FastOpen, Hello::to(NAME).bytes())
    }),
    Technique::new("tls-syn-part", "its first 80 octets in the SYN", |scene| {
        send(scene, How::FastOpenPart(80), Hello::to(NAME).bytes())
    }),
    Technique::new("tls-plain-port", "at the port of plain HTTP", |scene| {
        let bytes = [Hello::to(NAME).bytes(), record(scene)].concat();
        fly(NAMED_HTTP, How::Whole, &bytes)
    }),
    Technique::new(
        "tls-proxy-1",
        "behind a header of the PROXY protocol",
        |scene| {
            let head = b"PROXY TCP4 127.8.0.9 127.8.0.2 4000 443\r\n";
            let bytes = [&head[..], &Hello::to(NAME).bytes()].concat();
            send(scene, How::Whole, bytes)
        },
    ),
    Technique::new("tls-nothing", "no greeting at all", |scene| {
        fly(NAMED_TLS, How::Whole, scene.token())
    }),
];

fn send(scene: &Scene, how: How, hello: Vec<u8>) -> io::Result<()> {
    fly(NAMED_TLS, how, &[hello, record(scene)].concat())
}

/// In one call, so that nothing can be decided between.
fn early(scene: &Scene) -> io::Result<()> {
    let cipher = [20, 3, 3, 0, 1, 1];
    let bytes = [&Hello::to(NAME).bytes()[..], &cipher, &record(scene)].concat();
    fly(NAMED_TLS, How::Whole, &bytes)
}

/// The server reads late; what it reads is what the pages hold then.
fn rewritten(scene: &Scene, is_file: bool) -> io::Result<()> {
    let length = [Hello::to(NAME).bytes(), record(scene)].concat();
    let ordinary = Hello::to(OTHER).bytes();
    // As long as the other, so that every octet can be replaced.
    let room = length.len().saturating_sub(ordinary.len());
    let innocent = [ordinary, vec![0; room]].concat();
    flip(NAMED_LATE, &innocent, &length, is_file)
}

/// Has no room for a name.
fn version_2(scene: &Scene) -> io::Result<()> {
    let mut hello = vec![1, 3, 3, 0, 3, 0, 0, 0, 16, 0, 0, 0x2f];
    hello.extend_from_slice(&[7; 16]);
    let bytes = [&[0x80, hello.len() as u8], &hello[..]].concat();
    send(scene, How::Whole, bytes)
}
