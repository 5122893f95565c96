//! Checks of names: learnt from the DNS, and read in the first packets of a connection.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use agent_common::{
    counter::CounterKey,
    destination::EndpointId,
    identity::IdentityId,
    policy::{Posture, RuleEntry, RuleId},
    verdict::Reason,
};

use super::{
    ENDPOINT, Failure, GRANT, GRANTED, OTHER, Outcome, expect, expect_refused, listener, row,
    sandbox::Sandbox, tables, wire,
};
use crate::{
    bpf::policy::PolicyTables,
    endpoint::{HostPattern, NameUse, build_name_tree},
};

pub(super) const GOVERNED: &str = "api.model.test";
const ORDINARY: &str = "www.other.test";
/// On loopback, and nobody else's.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 83, 83, 83);
const PATIENCE: Duration = Duration::from_secs(5);

/// Only `GRANTED` may reach `GOVERNED` at this port; no address of it is known.
pub(super) fn named(port: u16) -> Result<PolicyTables, Failure> {
    let nowhere = SocketAddr::from(([127, 83, 0, 1], 1));
    let mut tables = tables(nowhere, agent_common::policy::Window::FOREVER);
    let mut unnamed = RuleEntry::posture_only(Posture::Deny);
    unnamed.posture |= RuleEntry::REFUSE_UNDECIDABLE | RuleEntry::REFUSE_QUIC;
    tables
        .rules
        .insert((IdentityId::UNKNOWN, EndpointId::UNNAMED), unnamed);
    tables.names = build_name_tree(&[NameUse {
        pattern: HostPattern::parse(GOVERNED)?,
        endpoints: BTreeSet::from([(ENDPOINT, port)]),
        flags: 0,
    }]);
    Ok(tables)
}

/// A server at `address` which `OTHER`, whose cgroup this process is in, may not call by `GOVERNED`,
/// while `resolver` is believed.
fn serve(
    sandbox: &mut Sandbox,
    address: Ipv4Addr,
    resolver: Ipv4Addr,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let (listener, place) = listener(&format!("{address}:0"))?;
    sandbox.believe(&BTreeSet::from([IpAddr::V4(resolver)]))?;
    sandbox.install(&named(place.port())?)?;
    sandbox.enter("other", OTHER)?;
    Ok((listener, place))
}

/// Resolves `name` to `address` at a resolver of our own, as a workload would.
fn resolve(name: &str, address: Ipv4Addr) -> Result<(), Failure> {
    let server = UdpSocket::bind((RESOLVER, 53))?;
    let client = UdpSocket::bind((RESOLVER, 0))?;
    client.set_read_timeout(Some(PATIENCE))?;
    server.send_to(&wire::dns_answer(name, address), client.local_addr()?)?;
    client.recv(&mut [0; 512])?;
    Ok(())
}

/// Sends `parts` one after the other; what of them arrives, waiting for `wanted` octets.
fn deliver(listener: &TcpListener, parts: &[&[u8]], wanted: usize) -> Result<usize, Failure> {
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    let (mut server, _) = listener.accept()?;
    for part in parts {
        client.write_all(part)?;
    }
    // What is refused never arrives: only then this time passes.
    let patience = if wanted == 0 {
        Duration::from_millis(150)
    } else {
        PATIENCE
    };
    server.set_read_timeout(Some(patience))?;
    let mut buffer = vec![0; 65_536];
    let mut n_arrived = 0;
    let deadline = Instant::now() + PATIENCE;
    while (wanted == 0 || n_arrived < wanted) && Instant::now() < deadline {
        match server.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n_arrived += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(n_arrived)
}

fn expect_passes(listener: &TcpListener, what: &str, parts: &[&[u8]]) -> Result<(), Failure> {
    let len = parts.iter().map(|part| part.len()).sum();
    expect(what, deliver(listener, parts, len)?, len)
}

/// The last part does not arrive, so the whole never does.
fn expect_cut(listener: &TcpListener, what: &str, parts: &[&[u8]]) -> Result<(), Failure> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let last = parts.last().map_or(0, |part| part.len());
    let arrived = deliver(listener, parts, 0)?;
    expect(what, arrived <= len - last, true)
}

fn refusals(sandbox: &mut Sandbox, endpoint: EndpointId, reason: Reason) -> Result<u64, Failure> {
    let key = CounterKey {
        endpoint,
        ..row(OTHER, RuleId::NONE, reason)
    };
    Ok(sandbox.counters(key)?.connects_denied)
}

pub(super) fn answer_is_learnt(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let address = Ipv4Addr::new(127, 83, 1, 1);
    let (_listener, place) = serve(sandbox, address, RESOLVER)?;
    TcpStream::connect(place)?;
    resolve(GOVERNED, address)?;
    expect_refused("connect", &TcpStream::connect(place))?;
    sandbox.enter("granted", GRANTED)?;
    TcpStream::connect(place)?;
    let counters = sandbox.counters(row(GRANTED, GRANT, Reason::Granted))?;
    expect("allowed", counters.connects_allowed, 1)?;
    Ok(Outcome::Ok)
}

pub(super) fn stranger_is_not_believed(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let address = Ipv4Addr::new(127, 83, 1, 2);
    let (_listener, place) = serve(sandbox, address, Ipv4Addr::new(127, 83, 83, 84))?;
    resolve(GOVERNED, address)?;
    TcpStream::connect(place)?;
    Ok(Outcome::Ok)
}

pub(super) fn shared_address_waits(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let address = Ipv4Addr::new(127, 83, 1, 3);
    let (listener, _) = serve(sandbox, address, RESOLVER)?;
    resolve(GOVERNED, address)?;
    resolve(ORDINARY, address)?;
    expect_passes(
        &listener,
        "the ordinary name",
        &[&wire::client_hello(ORDINARY)],
    )?;
    expect_cut(
        &listener,
        "the governed name",
        &[&wire::client_hello(GOVERNED)],
    )?;
    expect_cut(&listener, "no name", &[&wire::client_hello("")])?;
    let denied = refusals(sandbox, ENDPOINT, Reason::NoGrant)?;
    expect("denied by name", denied, 1)?;
    let denied = refusals(sandbox, ENDPOINT, Reason::NoSni)?;
    expect("denied without a name", denied, 1)?;
    Ok(Outcome::Ok)
}

pub(super) fn first_flight_decides(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, place) = listener("127.83.1.4:0")?;
    sandbox.install(&named(place.port())?)?;
    sandbox.enter("other", OTHER)?;
    let hello = wire::client_hello(GOVERNED);
    let octets: Vec<_> = hello.chunks(1).collect();
    let (head, tail) = hello.split_at(60);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {GOVERNED}:{}\r\n\r\n",
        place.port()
    );
    let tunnel = format!("CONNECT {GOVERNED}:{} HTTP/1.1\r\n\r\n", place.port());
    let mut socks = b"\x05\x01\0\x05\x01\0\x03\x0e".to_vec();
    socks.extend(GOVERNED.as_bytes());
    socks.extend(place.port().to_be_bytes());
    let n_before = refusals(sandbox, ENDPOINT, Reason::NoGrant)?;
    let cut: [(&str, &[&[u8]]); 6] = [
        ("a server's name", &[&hello]),
        ("in two parts", &[head, tail]),
        ("octet by octet", &octets),
        ("a Host header", &[request.as_bytes()]),
        ("CONNECT", &[tunnel.as_bytes()]),
        ("SOCKS5", &[&socks]),
    ];
    for (what, parts) in cut {
        expect_cut(&listener, what, parts)?;
    }
    let n_refused = refusals(sandbox, ENDPOINT, Reason::NoGrant)? - n_before;
    expect("denied by name", n_refused, cut.len() as u64)?;
    let other = wire::client_hello(ORDINARY);
    let octets: Vec<_> = other.chunks(1).collect();
    expect_passes(&listener, "an ordinary name", &[&other, &[9; 30_000]])?;
    expect_passes(&listener, "an ordinary name octet by octet", &octets)?;
    expect_passes(
        &listener,
        "another protocol",
        &[b"\0\0\0\x08\x04\xd2\x16\x2f"],
    )?;
    sandbox.enter("granted", GRANTED)?;
    expect_passes(&listener, "with a grant", &[&hello])?;
    let counters = sandbox.counters(row(GRANTED, GRANT, Reason::Granted))?;
    expect("allowed by name", counters.connects_allowed, 1)?;
    Ok(Outcome::Ok)
}

pub(super) fn quic_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let server = UdpSocket::bind("127.83.1.5:0")?;
    let place = server.local_addr()?;
    sandbox.install(&named(place.port())?)?;
    sandbox.enter("other", OTHER)?;
    let client = UdpSocket::bind("127.83.1.5:0")?;
    client.send_to(b"not QUIC", place)?;
    expect_refused("sendto", &client.send_to(&wire::quic_initial(), place))?;
    client.connect(place)?;
    expect_refused("send", &client.send(&wire::quic_initial()))?;
    client.send(b"still not QUIC")?;
    let key = CounterKey {
        endpoint: EndpointId::ANY,
        ..row(OTHER, RuleId::NONE, Reason::Quic)
    };
    let counters = sandbox.counters(key)?;
    expect("datagrams denied", counters.datagrams_denied, 2)?;
    Ok(Outcome::Ok)
}

pub(super) fn observe_refuses_no_name(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let address = Ipv4Addr::new(127, 83, 1, 6);
    let (listener, _) = serve(sandbox, address, RESOLVER)?;
    resolve(GOVERNED, address)?;
    resolve(ORDINARY, address)?;
    expect_passes(
        &listener,
        "the governed name",
        &[&wire::client_hello(GOVERNED)],
    )?;
    expect_passes(&listener, "no name", &[&wire::client_hello("")])?;
    let key = row(OTHER, RuleId::NONE, Reason::NoGrant);
    let counters = sandbox.eventually(key, |counters| counters.connects_allowed > 0)?;
    expect("allowed", counters.connects_allowed > 0, true)?;
    expect("denied", counters.connects_denied, 0)?;
    Ok(Outcome::Ok)
}
