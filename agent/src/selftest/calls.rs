//! Checks of calls: counted while their connection lives, in plain HTTP and behind TLS.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use agent_common::{counter::Counts, policy::Window, verdict::Reason};

use super::{
    Failure, GRANT, GRANTED, Outcome, expect, listener,
    names::{self, GOVERNED},
    row,
    sandbox::Sandbox,
    tables, wire,
};

/// Both ends of a connection.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn connect(listener: &TcpListener) -> Result<Self, Failure> {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok(Self { client, server })
    }

    fn send(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.client.write_all(octets)?;
        self.server.read_exact(&mut vec![0; octets.len()])?;
        Ok(())
    }

    fn answer(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.server.write_all(octets)?;
        self.client.read_exact(&mut vec![0; octets.len()])?;
        Ok(())
    }

    /// Head, body and answer, as TLS shows them.
    fn call(&mut self) -> Result<(), Failure> {
        self.send(&record(23, 300))?;
        self.send(&record(23, 900))?;
        self.answer(&record(23, 700))
    }

    /// What follows a hello.
    fn shake_hands(&mut self) -> Result<(), Failure> {
        self.answer(&[record(22, 122), record(20, 1), record(23, 2_800)].concat())?;
        self.send(&[record(20, 1), record(23, 53)].concat())
    }
}

fn record(kind: u8, len: u16) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend(len.to_be_bytes());
    record.resize(5 + usize::from(len), 0x17);
    record
}

fn expect_calls(
    sandbox: &mut Sandbox,
    what: &str,
    reason: Reason,
    [metered, calls]: [u64; 2],
) -> Result<(), Failure> {
    let counts = sandbox.counters(row(GRANTED, GRANT, reason))?;
    let found = Counts {
        connects_allowed: counts.connects_allowed,
        metered: counts.metered,
        calls: counts.calls,
        overlaps: counts.overlaps,
        ..Counts::ZERO
    };
    let wanted = Counts {
        connects_allowed: metered,
        metered,
        calls,
        ..Counts::ZERO
    };
    expect(what, found, wanted)
}

pub(super) fn plain_is_inferred(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    let mut pair = Pair::connect(&listener)?;
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n";
    for n in 1..=3 {
        pair.send(head)?;
        pair.send(&[b'x'; 40_000])?;
        pair.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        expect_calls(sandbox, "plain", Reason::Granted, [1, n])?;
    }
    Ok(Outcome::Ok)
}

pub(super) fn tls_is_inferred(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    let mut pair = Pair::connect(&listener)?;
    pair.send(&wire::client_hello("a.test"))?;
    pair.shake_hands()?;
    expect_calls(sandbox, "none yet", Reason::Granted, [1, 0])?;
    for n in 1..=3 {
        pair.call()?;
        expect_calls(sandbox, "by address", Reason::Granted, [1, n])?;
    }
    Ok(Outcome::Ok)
}

/// Where the first flight has told the name.
pub(super) fn named_are_counted(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.83.2.1:0")?;
    sandbox.install(&names::named(address.port())?)?;
    sandbox.enter("granted", GRANTED)?;
    let mut secret = Pair::connect(&listener)?;
    secret.send(&wire::client_hello(GOVERNED))?;
    secret.shake_hands()?;
    secret.call()?;
    secret.call()?;
    expect_calls(sandbox, "by name", Reason::Granted, [1, 2])?;
    let mut plain = Pair::connect(&listener)?;
    for _ in 0..3 {
        let port = address.port();
        let request = format!("GET / HTTP/1.1\r\nHost: {GOVERNED}:{port}\r\n\r\n");
        plain.send(request.as_bytes())?;
        plain.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
    expect_calls(sandbox, "plain, by name", Reason::Granted, [2, 5])?;
    Ok(Outcome::Ok)
}
