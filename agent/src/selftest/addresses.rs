//! Checks of verdicts by address, of counts, and of the life of the programs.

use std::{
    io,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use agent_common::{
    counter::Counts,
    limit::Limit,
    policy::{RuleId, Window},
    verdict::Reason,
};

use super::{
    Failure, GRANT, GRANTED, OTHER, Outcome, expect, expect_refused, listener, row,
    sandbox::{self, Sandbox},
    tables,
};
use crate::host::clock::boot_ns;

pub(super) fn observe_allows(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("other", OTHER)?;
    TcpStream::connect(address)?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("allowed", counters.connects_allowed, 1)?;
    expect("denied", counters.connects_denied, 0)?;
    Ok(Outcome::Ok)
}

pub(super) fn shadow_counts(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("other", OTHER)?;
    TcpStream::connect(address)?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("would-deny", counters.connects_would_deny, 1)?;
    expect("denied", counters.connects_denied, 0)?;
    Ok(Outcome::Ok)
}

pub(super) fn granted_is_allowed(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    for _ in 0..10 {
        TcpStream::connect(address)?;
    }
    let counters = sandbox.counters(row(GRANTED, GRANT, Reason::Granted))?;
    expect("allowed", counters.connects_allowed, 10)?;
    Ok(Outcome::Ok)
}

pub(super) fn ungranted_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    let (_free, elsewhere) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("other", OTHER)?;
    expect_refused("connect", &TcpStream::connect(address))?;
    TcpStream::connect(elsewhere)?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("denied", counters.connects_denied, 1)?;
    Ok(Outcome::Ok)
}

pub(super) fn mapped_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("other", OTHER)?;
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse()?, address.port());
    expect_refused("::ffff:127.0.0.1", &TcpStream::connect(mapped))?;
    let any = SocketAddr::new("0.0.0.0".parse()?, address.port());
    expect_refused("0.0.0.0", &TcpStream::connect(any))?;
    Ok(Outcome::Ok)
}

pub(super) fn ipv6_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let Ok((_listener, address)) = listener("[::1]:0") else {
        return Ok(Outcome::Skip("the host has no IPv6 loopback".to_owned()));
    };
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("other", OTHER)?;
    expect_refused("::1", &TcpStream::connect(address))?;
    let any = SocketAddr::new("::".parse()?, address.port());
    expect_refused("::", &TcpStream::connect(any))?;
    sandbox.enter("granted", GRANTED)?;
    TcpStream::connect(address)?;
    Ok(Outcome::Ok)
}

pub(super) fn datagram_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("other", OTHER)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    expect_refused("sendto", &client.send_to(b"prompt", address))?;
    expect_refused("connect", &client.connect(address))?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("datagrams denied", counters.datagrams_denied, 1)?;
    expect("connects denied", counters.connects_denied, 1)?;
    Ok(Outcome::Ok)
}

pub(super) fn grant_expires(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    let life = Duration::from_millis(400);
    let not_after_ns = boot_ns() + life.as_nanos() as u64;
    sandbox.install(&tables(address, not_after_ns))?;
    sandbox.enter("granted", GRANTED)?;
    TcpStream::connect(address)?;
    let deadline = Instant::now() + 10 * life;
    loop {
        // Allowed just before the end, whose first packet leaves after it: not sent, not refused.
        let attempt = TcpStream::connect_timeout(&address, life);
        if attempt
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::TimedOut)
        {
            expect_refused("connect", &attempt)?;
            break;
        }
        if Instant::now() > deadline {
            return Err("still allowed long after its end".into());
        }
        sandbox::pause(life / 20);
    }
    let early = boot_ns() < not_after_ns;
    expect("refused before its end", early, false)?;
    expect_refused("connect", &TcpStream::connect(address))?;
    let counters = sandbox.counters(row(GRANTED, GRANT, Reason::Expired))?;
    expect("denied as expired", counters.connects_denied, 2)?;
    Ok(Outcome::Ok)
}

pub(super) fn limit_holds(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    const LIMIT: u64 = 3;
    let (_listener, address) = listener("127.0.0.1:0")?;
    let mut tables = tables(address, Window::FOREVER);
    let limit = Limit {
        connections: LIMIT,
        window_ns: Limit::DAY_NS,
        bytes: Limit::NONE,
        unix_ns: 0,
    };
    tables.limits.insert(GRANT, limit);
    sandbox.install(&tables)?;
    sandbox.enter("granted", GRANTED)?;
    for _ in 0..LIMIT {
        TcpStream::connect(address)?;
    }
    expect_refused("one more", &TcpStream::connect(address))?;
    let key = row(GRANTED, GRANT, Reason::LimitReached);
    expect("denied", sandbox.counters(key)?.connects_denied, 1)?;
    let now_ns = boot_ns();
    expect("windows", sandbox.windows_at(now_ns)?, 1)?;
    let over = sandbox.windows_at(now_ns + Limit::DAY_NS)?;
    expect("windows when it is over", over, 0)?;
    Ok(Outcome::Ok)
}

pub(super) fn spent_budget_closes(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    let mut tables = tables(address, Window::FOREVER);
    let limit = Limit {
        connections: Limit::NONE,
        window_ns: 0,
        bytes: Limit::NONE,
        unix_ns: 0,
    };
    tables.limits.insert(GRANT, limit);
    sandbox.install(&tables)?;
    sandbox.enter("granted", GRANTED)?;
    TcpStream::connect(address)?;
    sandbox.set_spent(GRANTED, GRANT, Some(boot_ns() + Limit::DAY_NS))?;
    expect_refused("a spent budget", &TcpStream::connect(address))?;
    let key = row(GRANTED, GRANT, Reason::BudgetSpent);
    expect("denied", sandbox.counters(key)?.connects_denied, 1)?;
    // It opens by itself.
    sandbox.set_spent(GRANTED, GRANT, Some(boot_ns()))?;
    TcpStream::connect(address)?;
    Ok(Outcome::Ok)
}

pub(super) fn child_inherits(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.name("granted", GRANTED)?;
    sandbox.enter_unnamed("granted/a/b")?;
    TcpStream::connect(address)?;
    let counters = sandbox.counters(row(GRANTED, GRANT, Reason::Granted))?;
    expect("allowed as the parent", counters.connects_allowed, 1)?;
    Ok(Outcome::Ok)
}

pub(super) fn close_adds_bytes(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    const OUT: usize = 100_000;
    const IN: usize = 5_000;
    if let Some(why) = sandbox.close_gap() {
        return Ok(Outcome::Skip(why));
    }
    let (listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("granted", GRANTED)?;
    sandbox::exchange(&listener, address, OUT, IN)?;
    let key = row(GRANTED, GRANT, Reason::Granted);
    let counters = sandbox.eventually(key, |counters: &Counts| counters.closed == 1)?;
    let bytes = (counters.closed, counters.bytes_out, counters.bytes_in);
    expect(
        "closed, bytes out and in",
        bytes,
        (1, OUT as u64, IN as u64),
    )?;
    Ok(Outcome::Ok)
}

pub(super) fn reload_adopts(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.enter("other", OTHER)?;
    expect_refused("before", &TcpStream::connect(address))?;
    sandbox.forget();
    expect_refused("without an agent", &TcpStream::connect(address))?;
    sandbox.load()?;
    sandbox.attach()?;
    expect_refused("after", &TcpStream::connect(address))?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("denied in all", counters.connects_denied, 3)?;
    expect("links adopted", sandbox.all_adopted(), true)?;
    Ok(Outcome::Ok)
}
