//! Checks of connections that are there already when their right goes. No agent runs here: what
//! ends them is the kernel alone.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use agent_common::{
    event::EventKind,
    policy::{Posture, RuleEntry, Window},
    verdict::Reason,
};

use super::{
    ENDPOINT, Failure, GRANTED, OTHER, Outcome, expect, listener,
    names::{self, GOVERNED},
    sandbox::{self, Sandbox},
    tables, wire,
};
use crate::host::clock::boot_ns;

/// How long nothing has to arrive to count as cut off.
const SILENCE: Duration = Duration::from_millis(150);

/// Both ends of a connection.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn connect(listener: &TcpListener) -> Result<Self, Failure> {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(SILENCE))?;
        }
        Ok(Self { client, server })
    }

    /// Whether an octet that the caller sends arrives, and one that it is sent.
    fn passes(&mut self) -> (bool, bool) {
        let Self { client, server } = self;
        (passes(client, server), passes(server, client))
    }
}

fn passes(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    from.write_all(b"x").is_ok() && to.read_exact(&mut [0]).is_ok()
}

pub(super) fn observe_cuts_nothing(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    let mut pair = Pair::connect(&listener)?;
    sandbox.install(&tables(address, 1))?;
    expect("passes without a grant", pair.passes(), (true, true))?;
    Ok(Outcome::Ok)
}

pub(super) fn expiry_cuts(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.0.0.1:0")?;
    let life = Duration::from_millis(400);
    let not_after_ns = boot_ns() + life.as_nanos() as u64;
    sandbox.install(&tables(address, not_after_ns))?;
    sandbox.enter("granted", GRANTED)?;
    let mut pair = Pair::connect(&listener)?;
    expect("passes", pair.passes(), (true, true))?;
    while boot_ns() <= not_after_ns {
        sandbox::pause(life / 20);
    }
    expect("passes after its end", pair.passes(), (false, false))?;
    let cut = sandbox.told(EventKind::Cut)?;
    expect("told once", cut.len(), 1)?;
    let reason = cut.first().and_then(|event| event.reason());
    expect("reason", reason, Some(Reason::Expired))?;
    Ok(Outcome::Ok)
}

pub(super) fn revocation_cuts(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.0.0.1:0")?;
    let peer = UdpSocket::bind(address)?;
    peer.set_read_timeout(Some(SILENCE))?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    let mut pair = Pair::connect(&listener)?;
    let datagrams = UdpSocket::bind("127.0.0.1:0")?;
    datagrams.connect(address)?;
    datagrams.send(b"x")?;
    expect("datagram arrives", peer.recv(&mut [0]).is_ok(), true)?;
    expect("passes", pair.passes(), (true, true))?;
    // A change of policy that leaves the grant alone.
    sandbox.install(&tables(address, Window::FOREVER))?;
    expect("passes still", pair.passes(), (true, true))?;
    let mut revoked = tables(address, Window::FOREVER);
    let none = RuleEntry::posture_only(Posture::Deny);
    revoked.rules.insert((GRANTED, ENDPOINT), none);
    sandbox.install(&revoked)?;
    expect("passes when revoked", pair.passes(), (false, false))?;
    let refused = datagrams
        .send(b"x")
        .err()
        .and_then(|error| error.raw_os_error());
    expect("datagram", refused, Some(libc::EPERM))?;
    // What has been cut off stays so.
    sandbox.install(&tables(address, Window::FOREVER))?;
    expect("passes when granted again", pair.passes(), (false, false))?;
    Ok(Outcome::Ok)
}

/// A cgroup that has got another name since: the connection is judged, and told of, as who it is now.
pub(super) fn renaming_cuts(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    let mut pair = Pair::connect(&listener)?;
    expect("passes", pair.passes(), (true, true))?;
    sandbox.name("granted", OTHER)?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    expect("passes under another name", pair.passes(), (false, false))?;
    let cut = sandbox.told(EventKind::Cut)?;
    let reason = cut.first().and_then(|event| event.reason());
    expect("reason", reason, Some(Reason::NoGrant))?;
    Ok(Outcome::Ok)
}

/// A connection whose first packets have told the name, to a shared address.
pub(super) fn revocation_cuts_named(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (listener, address) = listener("127.83.0.9:0")?;
    sandbox.install(&names::named(address.port())?)?;
    sandbox.enter("granted", GRANTED)?;
    let mut governed = Pair::connect(&listener)?;
    let mut ordinary = Pair::connect(&listener)?;
    greet(&mut governed, GOVERNED)?;
    greet(&mut ordinary, "www.other.test")?;
    let mut revoked = names::named(address.port())?;
    let none = RuleEntry::posture_only(Posture::Deny);
    revoked.rules.insert((GRANTED, ENDPOINT), none);
    sandbox.install(&revoked)?;
    expect("passes when revoked", governed.passes(), (false, false))?;
    expect("its neighbour passes", ordinary.passes(), (true, true))?;
    Ok(Outcome::Ok)
}

fn greet(pair: &mut Pair, name: &str) -> io::Result<()> {
    let hello = wire::client_hello(name);
    pair.client.write_all(&hello)?;
    let mut arrived = vec![0; hello.len()];
    pair.server.read_exact(&mut arrived)
}
