//! Proxies: the name that is asked for, and the name in what goes through.

use weir_tests::harness::{Flight, Hello, site::PROXY};

use super::{Case, Expected, OTHER, case};

/// Lengths of what the proxy of the harness answers.
const CONNECTED: usize = "HTTP/1.1 200 OK\r\n\r\n".len();
const SOCKS_4: usize = 8;
const SOCKS_5: usize = 10;
const METHOD: usize = 2;

const PORT: [u8; 2] = 443_u16.to_be_bytes();
const ADDRESS: [u8; 4] = [127, 0, 0, 20];

pub(super) fn cases() -> Vec<Case> {
    let by_name = |form, flight: fn(&str) -> Flight| case(form, Expected::ByName, flight);
    vec![
        by_name("CONNECT", |name| greet(connect(name), name)),
        by_name("CONNECT, the name in capitals", |name| {
            greet(connect(&name.to_uppercase()), name)
        }),
        by_name("CONNECT byte by byte", |name| {
            let head = format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n");
            let (last, head) = head.as_bytes().split_last().expect("bytes");
            let head = head
                .iter()
                .fold(Flight::to(PROXY), |flight, byte| flight.ask(&[*byte], 0));
            greet(head.ask(&[*last], CONNECTED), name)
        }),
        by_name("CONNECT to an address, then the name", |name| {
            greet(connect("127.0.0.20"), name)
        }),
        by_name("CONNECT to an ordinary name, then the name", |name| {
            greet(connect(OTHER), name)
        }),
        by_name("a whole URL", |name| {
            let head = format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n");
            Flight::to(PROXY).send(head.as_bytes())
        }),
        by_name("SOCKS5", |name| {
            greet(no_login().ask(&socks5_name(name), SOCKS_5), name)
        }),
        by_name("SOCKS5, the name in capitals", |name| {
            let request = socks5_name(&name.to_uppercase());
            greet(no_login().ask(&request, SOCKS_5), name)
        }),
        by_name("SOCKS5 in two pieces", |name| {
            let request = socks5_name(name);
            let (first, second) = request.split_at(9);
            greet(no_login().ask(first, 0).ask(second, SOCKS_5), name)
        }),
        by_name("SOCKS5 with a password", |name| {
            let flight = Flight::to(PROXY)
                .ask(b"\x05\x02\x00\x02", METHOD)
                .ask(b"\x01\x02me\x06secret", METHOD)
                .ask(&socks5_name(name), SOCKS_5);
            greet(flight, name)
        }),
        by_name("SOCKS5 to an address, then the name", |name| {
            let request = [&[5, 1, 0, 1][..], &ADDRESS, &PORT].concat();
            greet(no_login().ask(&request, SOCKS_5), name)
        }),
        by_name("SOCKS5 without waiting for answers", |name| {
            let all = [&b"\x05\x01\x00"[..], &socks5_name(name)].concat();
            greet(Flight::to(PROXY).ask(&all, METHOD + SOCKS_5), name)
        }),
        by_name("SOCKS4a", |name| {
            let head = [&[4, 1][..], &PORT, &[0, 0, 0, 1]].concat();
            let request = [&head, &b"me\0"[..], name.as_bytes(), b"\0"].concat();
            greet(Flight::to(PROXY).ask(&request, SOCKS_4), name)
        }),
        by_name("SOCKS4, then the name", |name| {
            let request = [&[4, 1][..], &PORT, &ADDRESS, b"me\0"].concat();
            greet(Flight::to(PROXY).ask(&request, SOCKS_4), name)
        }),
    ]
}

fn connect(host: &str) -> Flight {
    let head = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
    Flight::to(PROXY).ask(head.as_bytes(), CONNECTED)
}

fn no_login() -> Flight {
    Flight::to(PROXY).ask(b"\x05\x01\x00", METHOD)
}

fn socks5_name(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    [&[5, 1, 0, 3, length], name.as_bytes(), &PORT].concat()
}

/// What goes through once the proxy has agreed.
fn greet(flight: Flight, name: &str) -> Flight {
    flight.send(&Hello::to(name).bytes())
}
