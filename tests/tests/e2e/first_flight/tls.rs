//! TLS: the name in the greeting.

use weir_tests::harness::{Flight, Hello, How};

use super::{Case, Expected, OTHER, case};

const SERVER: &str = "127.0.0.20:443";

pub(super) fn whole(name: &str) -> Flight {
    Flight::to(SERVER).send(&Hello::to(name).bytes())
}

/// What the greeting says.
pub(super) fn forms() -> Vec<Case> {
    let form = |form, expected, hello: fn(&str) -> Hello| {
        case(form, expected, move |name| {
            Flight::to(SERVER).send(&hello(name).bytes())
        })
    };
    vec![
        form("as rustls sends it", Expected::ByName, Hello::to),
        form("the name in capitals", Expected::ByName, |name| {
            Hello::to(name).name(name.to_uppercase().as_bytes())
        }),
        form("a dot after the name", Expected::ByName, |name| {
            Hello::to(name).name(format!("{name}.").as_bytes())
        }),
        form(
            "a zero byte in the name",
            Expected::Refused("undecidable"),
            |name| Hello::to(name).name(format!("{name}\0.other.test").as_bytes()),
        ),
        form(
            "a zero byte after the name",
            Expected::Refused("undecidable"),
            |name| Hello::to(name).name(format!("{name}\0").as_bytes()),
        ),
        form("no name", Expected::Refused("no-sni"), |name| {
            Hello::to(name).without_name()
        }),
        form(
            "an ordinary name before the name",
            Expected::ByNameOr("undecidable"),
            |name| Hello::to(name).names(&[OTHER.as_bytes(), name.as_bytes()]),
        ),
        form(
            "an ordinary name after the name",
            Expected::ByNameOr("undecidable"),
            |name| Hello::to(name).names(&[name.as_bytes(), OTHER.as_bytes()]),
        ),
        // Browsers send such an extension also when there is no inner greeting, so the ordinary
        // name should pass: `clients::chromium` needs that.
        form(
            "an encrypted inner greeting",
            Expected::ByNameOr("ech"),
            |name| Hello::to(name).ech(),
        ),
        form(
            "a large key share before the name",
            Expected::ByName,
            |name| Hello::to(name).large_key_share(),
        ),
        form("3 kB before the name", Expected::ByName, |name| {
            Hello::to(name).padding(3_000)
        }),
        form("12 kB before the name", Expected::ByName, |name| {
            Hello::to(name).padding(12_000)
        }),
    ]
}

/// How it is cut, by the sender or into records.
pub(super) fn cuts() -> Vec<Case> {
    let cut = |form: &str, offsets: fn(&Hello) -> Vec<usize>| {
        case(form, Expected::ByName, move |name| {
            let hello = Hello::to(name);
            Flight::to(SERVER).send_cut(&hello.bytes(), &offsets(&hello))
        })
    };
    let mut cases = vec![
        cut("byte by byte", |hello| (1..hello.bytes().len()).collect()),
        cut("cut after the first byte", |_| vec![1]),
        cut("cut in the head of the record", |_| vec![3]),
        cut("cut before the name", |hello| vec![hello.name_offset()]),
        cut("cut in the name", |hello| vec![hello.name_offset() + 4]),
        cut("cut before the last byte", |hello| {
            vec![hello.bytes().len() - 1]
        }),
    ];
    for seed in 1..=20_usize {
        let form = format!("cut at random, seed {seed}");
        cases.push(case(&form, Expected::ByName, move |name| {
            let bytes = Hello::to(name).bytes();
            Flight::to(SERVER).send_cut(&bytes, &random_offsets(seed, bytes.len()))
        }));
    }
    for length in [1, 32, 200] {
        let form = format!("in records of {length} bytes");
        cases.push(case(&form, Expected::ByName, move |name| {
            Flight::to(SERVER).send(&Hello::to(name).records(length))
        }));
        let form = format!("{form}, each in a segment of its own");
        cases.push(case(&form, Expected::ByName, move |name| {
            let records = Hello::to(name).records(length);
            Flight::to(SERVER).send_pieces(records.chunks(5 + length))
        }));
    }
    cases.push(case(
        "records of one byte, a long greeting at once",
        Expected::ByName,
        |name| Flight::to(SERVER).send(&Hello::to(name).padding(1500).records(1)),
    ));
    cases
}

/// By which call and in which segments it is sent.
pub(super) fn ways() -> Vec<Case> {
    let large = |name: &str| Hello::to(name).large_key_share().bytes();
    let mut cases: Vec<Case> = [
        // The caller can still write to the pages: what is read is not what arrives.
        (
            "MSG_ZEROCOPY",
            How::Zerocopy,
            Expected::Refused("undecidable"),
        ),
        ("sendfile", How::Sendfile, Expected::Refused("undecidable")),
        ("in the SYN", How::Fastopen, Expected::ByName),
    ]
    .into_iter()
    .map(|(form, how, expected)| {
        case(form, expected, move |name| {
            Flight::to(SERVER).how(how).send(&large(name))
        })
    })
    .collect();
    cases.push(case("MSG_MORE", Expected::ByName, move |name| {
        let bytes = large(name);
        let pieces = bytes.chunks(50);
        Flight::to(SERVER).how(How::More).send_pieces(pieces)
    }));
    // A peer leaves the urgent octet out of what it reads.
    let urgent = Expected::Refused("undecidable");
    cases.push(case("an urgent octet between", urgent, move |name| {
        let bytes = Hello::to(name).bytes();
        Flight::to(SERVER).how(How::Urgent).send_cut(&bytes, &[100])
    }));
    cases.push(case(
        "the first piece in the SYN",
        Expected::ByName,
        move |name| {
            let bytes = large(name);
            let pieces = bytes.chunks(300);
            Flight::to(SERVER).how(How::Fastopen).send_pieces(pieces)
        },
    ));
    for bytes in [100, 536] {
        let form = format!("segments of {bytes} bytes");
        cases.push(case(&form, Expected::ByName, move |name| {
            Flight::to(SERVER).max_segment(bytes).send(&large(name))
        }));
    }
    cases
}

/// Up to seven of them; the same for the same seed.
fn random_offsets(seed: usize, length: usize) -> Vec<usize> {
    let mut state = seed;
    let mut offsets: Vec<usize> = (0..7)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            1 + (state >> 33) % (length - 1)
        })
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}
