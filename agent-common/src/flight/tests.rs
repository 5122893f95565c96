use super::*;

/// What one flight gives out: names as their labels' hashes with ports, and the outcome.
fn read(octets: &[u8]) -> (Vec<(String, u16)>, Outcome) {
    let mut names = Vec::new();
    let mut flight = Flight::NEW;
    let outcome = flight.read(octets, |flight| {
        names.push((spell(&flight.name), flight.port()))
    });
    (names, outcome)
}

/// Flights keep hashes only, so names are recognised among these.
const KNOWN: [&str; 6] = [
    "api.model.test",
    "www.other.test",
    "a.test",
    "b.test",
    "bücher.test",
    "proxy.test",
];

fn spell(name: &Name) -> String {
    let known = KNOWN.iter().find(|text| Name::of(text).is_same_as(name));
    known.map_or_else(|| format!("{name:?}"), |text| (*text).to_owned())
}

fn check(octets: &[u8], names: &[(&str, u16)], outcome: Outcome) {
    let expected: Vec<_> = names
        .iter()
        .map(|(name, port)| ((*name).to_owned(), *port))
        .collect();
    let shown = String::from_utf8_lossy(octets).into_owned();
    assert_eq!(read(octets), (expected, outcome), "{shown:?}");
}

/// A `ClientHello` with these extensions, as one handshake message.
fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(32);
    body.extend([9; 32]);
    body.extend([0, 4, 0x13, 1, 0x13, 2]);
    body.extend([1, 0]);
    let mut list = Vec::new();
    for (kind, data) in extensions {
        list.extend(kind.to_be_bytes());
        list.extend((data.len() as u16).to_be_bytes());
        list.extend(data);
    }
    body.extend((list.len() as u16).to_be_bytes());
    body.extend(list);
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    message
}

fn sni(name: &[u8]) -> (u16, Vec<u8>) {
    let len = name.len() as u16;
    let mut data = (len + 3).to_be_bytes().to_vec();
    data.push(0);
    data.extend(len.to_be_bytes());
    data.extend(name);
    (0, data)
}

/// Cuts a message into records of `len` octets.
fn records(message: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in message.chunks(len) {
        out.extend([0x16, 3, 1]);
        out.extend((part.len() as u16).to_be_bytes());
        out.extend(part);
    }
    out
}

const GREASE: (u16, Vec<u8>) = (0x3a3a, Vec::new());

#[test]
fn a_server_name_is_found_wherever_records_are_cut() {
    let message = hello(&[
        GREASE,
        (21, vec![0; 2000]),
        sni(b"api.model.test"),
        (43, vec![2, 3, 4]),
    ]);
    for len in [1, 2, 5, 32, 200, 16_384] {
        check(
            &records(&message, len),
            &[("api.model.test", 0)],
            Outcome::More,
        );
    }
}

#[test]
fn a_hello_that_is_not_complete_decides_nothing() {
    let whole = records(&hello(&[sni(b"api.model.test"), GREASE]), 50);
    for len in 0..whole.len() {
        check(&whole[..len], &[], Outcome::More);
    }
}

#[test]
fn spelling_does_not_hide_a_name() {
    for name in ["API.Model.TEST", "api.model.test."] {
        let whole = records(&hello(&[sni(name.as_bytes())]), 16_384);
        check(&whole, &[("api.model.test", 0)], Outcome::More);
    }
}

#[test]
fn a_hello_without_a_usable_name_has_no_name() {
    check(&records(&hello(&[]), 999), &[], Outcome::NoName);
    check(&records(&hello(&[GREASE]), 999), &[], Outcome::NoName);
    check(
        &records(&hello(&[sni(b"192.0.2.7")]), 999),
        &[],
        Outcome::NoName,
    );
    // No extensions at all, not even their length.
    let mut message = hello(&[]);
    message.truncate(message.len() - 2);
    message[3] -= 2;
    check(&records(&message, 999), &[], Outcome::NoName);
}

#[test]
fn what_two_readers_could_read_differently_is_undecidable() {
    let twice = hello(&[sni(b"www.other.test"), sni(b"api.model.test")]);
    check(&records(&twice, 999), &[], Outcome::Undecidable);
    for bad in [
        &b"api\0.model.test"[..],
        b"a b.test",
        b"a..test",
        b"b\xfccher.test",
    ] {
        check(
            &records(&hello(&[sni(bad)]), 999),
            &[],
            Outcome::Undecidable,
        );
    }
    let (kind, mut data) = sni(b"a.test");
    data[2] = 1;
    check(
        &records(&hello(&[(kind, data)]), 999),
        &[],
        Outcome::Undecidable,
    );
    let (kind, mut data) = sni(b"www.other.test");
    let second = sni(b"api.model.test").1;
    data.extend(&second[2..]);
    let len = data.len() as u16 - 2;
    data[..2].copy_from_slice(&len.to_be_bytes());
    check(
        &records(&hello(&[(kind, data)]), 999),
        &[],
        Outcome::Undecidable,
    );
    let mut longer = hello(&[sni(b"a.test")]);
    longer[3] += 1;
    longer.push(0);
    check(&records(&longer, 999), &[], Outcome::Undecidable);
    let mut empty_record = vec![0x16, 3, 1, 0, 0];
    empty_record.extend(records(&hello(&[sni(b"a.test")]), 999));
    check(&empty_record, &[], Outcome::Undecidable);
}

/// After the server has asked for it, and with the octet that some send in between.
#[test]
fn a_second_hello_is_read_like_the_first() {
    let [first, second] =
        [&b"www.other.test"[..], b"api.model.test"].map(|name| records(&hello(&[sni(name)]), 999));
    let cipher = [0x14, 3, 3, 0, 1, 1];
    let both = [("www.other.test", 0), ("api.model.test", 0)];
    check(&[&first[..], &second].concat(), &both, Outcome::More);
    check(
        &[&first[..], &cipher, &second].concat(),
        &both,
        Outcome::More,
    );
    let one = [("www.other.test", 0)];
    check(&first, &one, Outcome::More);
    check(&[&first[..], &cipher].concat(), &one, Outcome::More);
    // Application data, an alert, another message: the first hello was taken.
    for next in [&b"\x17"[..], b"\x15", b"\x16\x03\x03\0\x04\x10"] {
        check(&[&first[..], next].concat(), &one, Outcome::End);
        check(&[&first[..], &cipher, next].concat(), &one, Outcome::End);
    }
    let nameless = records(&hello(&[]), 999);
    check(&[&first[..], &nameless].concat(), &one, Outcome::NoName);
}

#[test]
fn ech_is_seen_beside_the_outer_name() {
    let mut flight = Flight::NEW;
    let whole = records(&hello(&[(0xfe0d, vec![1; 186]), sni(b"a.test")]), 999);
    assert_eq!(flight.read(&whole, |_| {}), Outcome::More);
    assert!(flight.is_ech());
    let mut flight = Flight::NEW;
    flight.read(&records(&hello(&[sni(b"a.test")]), 999), |_| {});
    assert!(!flight.is_ech());
}

#[test]
fn an_endless_flight_is_undecidable() {
    let message = hello(&[(21, vec![0; 16_000])]);
    check(&records(&message, 1), &[], Outcome::Undecidable);
    let line = [b"GET /".to_vec(), vec![b'x'; 20_000]].concat();
    check(&line, &[], Outcome::Undecidable);
}

#[test]
fn a_host_header_is_found_as_servers_find_it() {
    for request in [
        "GET / HTTP/1.1\r\nHost: api.model.test\r\n\r\n",
        "\r\nPOST /v1 HTTP/1.1\r\nAccept: */*\r\nhOsT:API.model.test\r\n\r\n",
        "GET / HTTP/1.1\nHost: api.model.test\n\n",
        "GET / HTTP/1.1\r\nHost : api.model.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\t api.model.test \r\n\r\n",
        "GET / HTTP/1.0\r\nHosts: a.test\r\nX-Host: b.test\r\nHost:\tapi.model.test\r\n\r\n",
        "get  /  HTTP/1.1\r\nHost: user:pw@api.model.test:80\r\n\r\n",
    ] {
        check(request.as_bytes(), &[("api.model.test", 80)], Outcome::End);
    }
}

#[test]
fn the_scheme_of_a_target_says_the_port() {
    for (scheme, port) in [("http", 80), ("https", 443), ("WSS", 443)] {
        let request = format!("GET {scheme}://a.test/ HTTP/1.1\r\n\r\n");
        check(request.as_bytes(), &[("a.test", port)], Outcome::End);
    }
}

#[test]
fn spaces_that_some_servers_pass_over_hide_no_name() {
    for (before, between, version) in [
        (" ", " ", "HTTP"),
        ("\x0b", "\t", "http"),
        ("", "\x1f", "HTTP"),
    ] {
        let request = format!("{before}GET{between}/ {version}/1.1\r\nHost: a.test\r\n\r\n");
        check(request.as_bytes(), &[("a.test", 80)], Outcome::End);
    }
}

#[test]
fn headers_may_be_long_once_the_name_is_known() {
    let cookie = "x".repeat(20_000);
    let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {cookie}\r\n\r\n");
    check(request.as_bytes(), &[("a.test", 80)], Outcome::End);
    let request = format!("GET / HTTP/1.1\r\nCookie: {cookie}\r\nHost: a.test\r\n\r\n");
    check(request.as_bytes(), &[], Outcome::Undecidable);
}

#[test]
fn every_name_of_a_request_is_given_out() {
    check(
        b"GET http://a.test:8080/x HTTP/1.1\r\nHost: b.test\r\nHost: api.model.test:8000\r\n\r\n",
        &[("a.test", 8080), ("b.test", 80), ("api.model.test", 8000)],
        Outcome::End,
    );
    check(
        b"GET http://a.test HTTP/1.1\r\n\r\n",
        &[("a.test", 80)],
        Outcome::End,
    );
}

#[test]
fn a_request_without_a_name_has_no_name() {
    check(b"GET / HTTP/1.0\r\n\r\n", &[], Outcome::NoName);
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[], Outcome::NoName);
    check(
        b"GET / HTTP/1.1\r\nHost: [fe80::1%eth0]:80\r\n\r\n",
        &[],
        Outcome::NoName,
    );
    // Some strip the brackets and look up what is left.
    for name in ["[api.model.test]", "[dead.beef]"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        check(request.as_bytes(), &[], Outcome::Undecidable);
    }
    check(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &[], Outcome::NoName);
    check(
        b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n",
        &[],
        Outcome::NoName,
    );
    check(
        b"GET / HTTP/1.1\r\nHost: %61pi.test\r\n\r\n",
        &[],
        Outcome::Undecidable,
    );
}

#[test]
fn a_tunnel_is_followed() {
    let inner = records(&hello(&[sni(b"api.model.test")]), 999);
    let connect = b"CONNECT proxy.test:8443 HTTP/1.1\r\nHost: proxy.test:8443\r\n\r\n";
    check(
        &[&connect[..], &inner].concat(),
        &[
            ("proxy.test", 8443),
            ("proxy.test", 8443),
            ("api.model.test", 8443),
        ],
        Outcome::More,
    );
    let connect = b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n";
    check(
        &[&connect[..], &inner].concat(),
        &[("api.model.test", 443)],
        Outcome::More,
    );
    check(
        b"CONNECT a.test HTTP/1.1\r\n\r\n",
        &[("a.test", 443)],
        Outcome::More,
    );
    let inner = b"GET / HTTP/1.1\r\nHost: api.model.test\r\n\r\n";
    check(
        &[&connect[..], inner].concat(),
        &[("api.model.test", 443)],
        Outcome::End,
    );
}

#[test]
fn a_tunnel_leads_to_the_port_of_its_target() {
    let inner = records(&hello(&[sni(b"api.model.test")]), 999);
    let connect = b"CONNECT 192.0.2.1:8443 HTTP/1.1\r\nHost: a.test:1\r\n\r\n";
    check(
        &[&connect[..], &inner].concat(),
        &[("a.test", 1), ("api.model.test", 8443)],
        Outcome::More,
    );
    let inner = b"GET http://a.test:1/ HTTP/1.1\r\nHost: me:2@api.model.test\r\n\r\n";
    let mut flight = Flight::NEW;
    let mut ports = Vec::new();
    flight.read(&[&connect[..], inner].concat(), |flight| {
        ports.push((flight.port(), flight.tunnel_port()));
    });
    assert_eq!(ports, [(1, 8443), (1, 8443), (8443, 8443)]);
}

#[test]
fn what_is_before_an_at_sign_is_no_port() {
    check(
        b"GET http://me:8000@a.test/ HTTP/1.1\r\nHost: me:8000@b.test\r\n\r\n",
        &[("a.test", 80), ("b.test", 80)],
        Outcome::End,
    );
    check(
        b"CONNECT me:8000@a.test HTTP/1.1\r\n",
        &[("a.test", 443)],
        Outcome::More,
    );
}

#[test]
fn a_port_of_many_digits_ends_in_peace() {
    let line = format!("CONNECT a.test:{} HTTP/1.1\r\n", "9".repeat(99));
    let (names, outcome) = read(line.as_bytes());
    assert_eq!((names.len(), outcome), (1, Outcome::More));
}

#[test]
fn any_token_is_a_method() {
    for method in ["G3T", "!#$%&'*+-.^_`|~9", "x", &"A".repeat(99)] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        check(request.as_bytes(), &[("a.test", 80)], Outcome::End);
    }
    check(
        b"connect a.test:8443 HTTP/1.1\r\n\r\n",
        &[("a.test", 8443)],
        Outcome::More,
    );
}

#[test]
fn a_tunnel_to_more_than_a_host_is_undecidable() {
    for target in ["http://a.test/", "a.test/x", "a.test:443?", "a.test#b"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
        check(request.as_bytes(), &[], Outcome::Undecidable);
    }
}

#[test]
fn a_record_of_another_type_before_the_hello_is_undecidable() {
    let rest = records(&hello(&[sni(b"a.test")]), 999);
    for first in [
        &b"\x15\x03\x03\0\x02\x01\x5a"[..],
        b"\x14\x03\x03\0\x01\x01",
    ] {
        check(&[first, &rest].concat(), &[], Outcome::Undecidable);
    }
}

#[test]
fn socks_requests_are_followed() {
    let inner = records(&hello(&[sni(b"api.model.test")]), 999);
    let by_name = [&b"\x05\x01\0\x05\x01\0\x03\x06a.test\x1f\x90"[..], &inner].concat();
    check(
        &by_name,
        &[("a.test", 8080), ("api.model.test", 8080)],
        Outcome::More,
    );
    let with_password = b"\x05\x02\0\x02\x01\x02me\x03key\x05\x01\0\x03\x06a.test\x01\xbb";
    check(with_password, &[("a.test", 443)], Outcome::More);
    let empty_password = b"\x05\x01\x02\x01\0\0\x05\x01\0\x03\x06a.test\x01\xbb";
    check(empty_password, &[("a.test", 443)], Outcome::More);
    let by_v4 = [
        &b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x01\x01\xbb"[..],
        &inner,
    ]
    .concat();
    check(&by_v4, &[("api.model.test", 443)], Outcome::More);
    let by_v6 = [
        &b"\x05\x01\0\x05\x01\0\x04"[..],
        &[1; 16],
        b"\x01\xbb",
        &inner,
    ]
    .concat();
    check(&by_v6, &[("api.model.test", 443)], Outcome::More);
    let v4a = b"\x04\x01\x01\xbb\0\0\0\x07me\0a.test\0";
    check(
        &[&v4a[..], &inner].concat(),
        &[("a.test", 443), ("api.model.test", 443)],
        Outcome::More,
    );
    let v4 = b"\x04\x01\x01\xbb\xc0\0\x02\x01\0";
    check(
        &[&v4[..], &inner].concat(),
        &[("api.model.test", 443)],
        Outcome::More,
    );
    // UDP associate, bind: what follows is not in this connection.
    check(b"\x05\x01\0\x05\x03\0\x01", &[], Outcome::Undecidable);
    check(b"\x04\x02\x01\xbb\xc0\0\x02\x01", &[], Outcome::Undecidable);
}

#[test]
fn other_protocols_are_not_recognised() {
    for first in [
        &b"SSH-2.0-OpenSSH_9\r\n"[..],
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\x16\x04\0\0",
        b"PING\r\n",
        b"EHLO there\r\n",
        b"\x80\x2e\x01\x03\x01",
        b"\x15\x04\0\0",
        b"*1\r\n$4\r\nPING\r\n",
        b"{\"jsonrpc\": 1}\n",
    ] {
        check(first, &[], Outcome::Unrecognised);
    }
}

#[test]
fn octets_one_by_one_and_at_once_are_the_same() {
    let whole = records(&hello(&[(21, vec![0; 500]), sni(b"a.test")]), 100);
    let mut flight = Flight::NEW;
    let mut n_names = 0;
    let mut last = Outcome::More;
    for octet in &whole {
        last = flight.read(&[*octet], |_| n_names += 1);
    }
    assert_eq!((last, n_names), (Outcome::More, 1));
}
