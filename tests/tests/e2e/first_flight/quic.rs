//! QUIC: datagrams that begin a connection. What they carry is encrypted, so the name counts for
//! nothing.

use weir_tests::harness::{Flight, How};

use super::{Case, Expected, case};

const SERVER: &str = "127.0.0.20:443";
/// The shortest that a server accepts.
const LENGTH: usize = 1200;

/// First byte and version of the datagrams that a workload without a grant cannot send.
const BEGINNINGS: [(&str, u8, u32); 5] = [
    ("version 1", 0xc3, 1),
    ("version 2", 0xd3, 0x6b33_43cf),
    ("version negotiation", 0xc0, 0),
    ("version 1 without the fixed bit", 0x83, 1),
    ("version Q050", 0xc3, 0x5130_3530),
];

/// Beginnings of connections, each of which is refused for `reason`.
pub(super) fn beginnings(reason: &'static str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (version, first, number) in BEGINNINGS {
        for (way, how) in [("sendto", How::Plain), ("connect", How::Connected)] {
            let form = format!("{version}, {way}");
            cases.push(case(&form, Expected::Refused(reason), move |_| {
                let begins = long_header(first, number);
                Flight::udp_to(SERVER).how(how).datagrams(&[&begins])
            }));
        }
        let form = format!("{version}, second of two segments");
        cases.push(case(&form, Expected::Refused(reason), move |_| {
            let datagrams = [&short_header()[..], &long_header(first, number)];
            let flight = Flight::udp_to(SERVER).how(How::Segments);
            flight.datagrams(&datagrams)
        }));
    }
    cases
}

/// Datagrams that begin no connection.
pub(super) fn others() -> Vec<Case> {
    vec![
        case("another protocol", Expected::Passes, |_| {
            Flight::udp_to(SERVER).datagrams(&[b"hello"])
        }),
        case("an open connection", Expected::Passes, |_| {
            Flight::udp_to(SERVER).datagrams(&[&short_header()])
        }),
    ]
}

/// With two connection ids of eight bytes.
fn long_header(first: u8, version: u32) -> Vec<u8> {
    let head = [
        &[first][..],
        &version.to_be_bytes(),
        &[8],
        &[0xd; 8],
        &[8],
        &[0x5; 8],
    ]
    .concat();
    padded(head)
}

fn short_header() -> Vec<u8> {
    padded([&[0x43][..], &[0xd; 8]].concat())
}

fn padded(mut datagram: Vec<u8>) -> Vec<u8> {
    datagram.resize(LENGTH, 0xa5);
    datagram
}
