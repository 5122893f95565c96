//! Plain HTTP: the host of the request.

use weir_tests::harness::Flight;

use super::{Case, Expected, OTHER, case};

const SERVER: &str = "127.0.0.20:80";

pub(super) fn whole(name: &str) -> Flight {
    Flight::to(SERVER).send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes())
}

pub(super) fn cases() -> Vec<Case> {
    let head = |form, expected, head: fn(&str) -> String| {
        case(form, expected, move |name| {
            Flight::to(SERVER).send(head(name).as_bytes())
        })
    };
    let mut cases = vec![
        case("Host", Expected::ByName, whole),
        head("host", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n")
        }),
        head("HOST", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHOST: {}\r\n\r\n", name.to_uppercase())
        }),
        head("no space before the name", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost:{name}\r\n\r\n")
        }),
        head("white space around the name", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost: \t {name} \t\r\n\r\n")
        }),
        head("a port after the name", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost: {name}:80\r\n\r\n")
        }),
        head("a dot after the name", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost: {name}.\r\n\r\n")
        }),
        head("a POST with its body", Expected::ByName, |name| {
            format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 2\r\n\r\nhi")
        }),
        head("a method of its own", Expected::ByName, |name| {
            format!("BREW / HTTP/1.1\r\nHost: {name}\r\n\r\n")
        }),
        head(
            "lines end without a carriage return",
            Expected::ByName,
            |name| format!("GET / HTTP/1.1\nHost: {name}\n\n"),
        ),
        head("the name on the next line", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost:\r\n {name}\r\n\r\n")
        }),
        head("a blank line first", Expected::ByName, |name| {
            format!("\r\nGET / HTTP/1.1\r\nHost: {name}\r\n\r\n")
        }),
        head("a space before the colon", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost : {name}\r\n\r\n")
        }),
        head(
            "the whole URL, and an ordinary Host",
            Expected::ByName,
            |name| format!("GET http://{name}/ HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"),
        ),
        head(
            "an ordinary URL, and the name as Host",
            Expected::ByName,
            |name| format!("GET http://{OTHER}/ HTTP/1.1\r\nHost: {name}\r\n\r\n"),
        ),
        head("an ordinary Host before it", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost: {OTHER}\r\nHost: {name}\r\n\r\n")
        }),
        head("an ordinary Host after it", Expected::ByName, |name| {
            format!("GET / HTTP/1.1\r\nHost: {name}\r\nHost: {OTHER}\r\n\r\n")
        }),
        head("a cookie of 2 kB before it", Expected::ByName, |name| {
            let cookie = "c".repeat(2_000);
            format!("GET / HTTP/1.1\r\nCookie: {cookie}\r\nHost: {name}\r\n\r\n")
        }),
        head("a cookie of 12 kB before it", Expected::ByName, |name| {
            let cookie = "c".repeat(12_000);
            format!("GET / HTTP/1.1\r\nCookie: {cookie}\r\nHost: {name}\r\n\r\n")
        }),
        head("no Host", Expected::Refused("no-sni"), |_| {
            "GET / HTTP/1.0\r\n\r\n".into()
        }),
        head("HTTP/2 without TLS", Expected::Refused("no-sni"), |_| {
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()
        }),
    ];
    for length in [1, 5, 20] {
        let form = format!("in pieces of {length} bytes");
        cases.push(case(&form, Expected::ByName, move |name| {
            let head = format!("GET / HTTP/1.1\r\nHost: {name}\r\nAccept: */*\r\n\r\n");
            Flight::to(SERVER).send_pieces(head.as_bytes().chunks(length))
        }));
    }
    cases
}
