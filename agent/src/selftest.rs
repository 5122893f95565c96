//! `weir selftest`: does the kernel side do on this kernel what it promises?
//!
//! Loads and attaches every program at a cgroup made for the purpose, makes real connections over
//! loopback and removes everything again. The kernel matrix runs it in a virtual machine for each
//! kernel; an operator can run it before a rollout. It never touches the host's own cgroups.

mod sandbox;

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use agent_common::{
    address::Address,
    counter::{CounterKey, Counters},
    destination::{Destination, EndpointId},
    identity::IdentityId,
    policy::{Posture, RuleEntry, RuleId, Window},
    settings::{CloseSource, Mode},
    verdict::Reason,
};

use self::sandbox::Sandbox;
use crate::{
    bpf::{KernelError, policy::PolicyTables, probe},
    host::clock::boot_ns,
};

/// How the checks went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

enum Outcome {
    Ok,
    Skip(String),
}

type Check = fn(&mut Sandbox) -> Result<Outcome, Failure>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

const CHECKS: [(&str, Mode, Check); 11] = [
    (
        "observe mode allows what policy refuses",
        Mode::Observe,
        observe_allows,
    ),
    (
        "shadow mode allows and counts would-deny",
        Mode::Shadow,
        shadow_counts,
    ),
    (
        "a granted connection is allowed and counted",
        Mode::Enforce,
        granted_is_allowed,
    ),
    (
        "an ungranted connection fails with EPERM",
        Mode::Enforce,
        ungranted_is_refused,
    ),
    (
        "a v4-mapped address is the same address",
        Mode::Enforce,
        mapped_is_refused,
    ),
    (
        "an IPv6 connection is refused",
        Mode::Enforce,
        ipv6_is_refused,
    ),
    ("a datagram is refused", Mode::Enforce, datagram_is_refused),
    ("a grant ends by itself", Mode::Enforce, grant_expires),
    (
        "an unknown child cgroup inherits its parent",
        Mode::Enforce,
        child_inherits,
    ),
    (
        "a closed connection adds its exact bytes",
        Mode::Enforce,
        close_adds_bytes,
    ),
    (
        "a new load adopts links, policy and counters",
        Mode::Enforce,
        reload_adopts,
    ),
];

/// Runs every check and prints one line for each through `print`.
///
/// # Errors
///
/// When the host is unfit or the sandbox cannot be made.
pub fn run(print: &mut dyn FnMut(String)) -> Result<Tally, KernelError> {
    let host = probe::check()?;
    print(format!("kernel {}", host.kernel));
    let mut tally = Tally::default();
    for source in [CloseSource::SockState, CloseSource::SockOps] {
        for (name, mode, check) in CHECKS {
            // The decision hooks are the same whatever counts the bytes.
            if source == CloseSource::SockOps && !name.contains("bytes") {
                continue;
            }
            let name = match source {
                CloseSource::SockOps => format!("{name} (sock_ops)"),
                CloseSource::None | CloseSource::SockState => name.to_owned(),
            };
            let outcome = Sandbox::new(&host, mode, source)
                .map_err(Failure::from)
                .and_then(|mut sandbox| check(&mut sandbox));
            match outcome {
                Ok(Outcome::Ok) => {
                    tally.passed += 1;
                    print(format!("ok {name}"));
                }
                Ok(Outcome::Skip(why)) => {
                    tally.skipped += 1;
                    print(format!("SKIP {name}: {why}"));
                }
                Err(error) => {
                    tally.failed += 1;
                    print(format!("FAIL {name}: {}", crate::error_chain(&*error)));
                }
            }
        }
    }
    let Tally {
        passed,
        failed,
        skipped,
    } = tally;
    print(format!(
        "selftest: {passed} passed, {failed} failed, {skipped} skipped"
    ));
    Ok(tally)
}

const GRANTED: IdentityId = IdentityId::from_raw(1);
const OTHER: IdentityId = IdentityId::from_raw(2);
const ENDPOINT: EndpointId = EndpointId::from_raw(7);
const GRANT: RuleId = RuleId::from_raw(3);

/// `GRANTED` may reach `ENDPOINT` at `address` until `not_after_ns`, nobody else may.
fn tables(address: SocketAddr, not_after_ns: u64) -> PolicyTables {
    let mut granted = RuleEntry::posture_only(Posture::Deny);
    if let Some(window) = granted.windows.first_mut() {
        *window = Window {
            not_before_ns: 1,
            not_after_ns,
            grant: GRANT,
            _pad: 0,
        };
    }
    let mut tables = PolicyTables::default();
    tables.addresses.insert(
        (Address::from_ip(address.ip()), address.port()),
        Destination::one(ENDPOINT),
    );
    tables.rules.insert((GRANTED, ENDPOINT), granted);
    tables.rules.insert(
        (IdentityId::UNKNOWN, EndpointId::ANY),
        RuleEntry::posture_only(Posture::Deny),
    );
    tables
}

fn row(identity: IdentityId, rule: RuleId, reason: Reason) -> CounterKey {
    CounterKey {
        identity,
        endpoint: ENDPOINT,
        rule,
        reason: reason as u32,
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), Failure> {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what}: expected {wanted:?}, found {found:?}").into())
}

fn expect_refused(what: &str, result: &io::Result<impl Sized>) -> Result<(), Failure> {
    let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
    expect(what, errno, Some(libc::EPERM))
}

fn listener(address: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn observe_allows(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("other", OTHER)?;
    TcpStream::connect(address)?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("allowed", counters.connects_allowed, 1)?;
    expect("denied", counters.connects_denied, 0)?;
    Ok(Outcome::Ok)
}

fn shadow_counts(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("other", OTHER)?;
    TcpStream::connect(address)?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("would-deny", counters.connects_would_deny, 1)?;
    expect("denied", counters.connects_denied, 0)?;
    Ok(Outcome::Ok)
}

fn granted_is_allowed(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("granted", GRANTED)?;
    for _ in 0..10 {
        TcpStream::connect(address)?;
    }
    let counters = sandbox.counters(row(GRANTED, GRANT, Reason::Granted))?;
    expect("allowed", counters.connects_allowed, 10)?;
    Ok(Outcome::Ok)
}

fn ungranted_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    let (_free, elsewhere) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("other", OTHER)?;
    expect_refused("connect", &TcpStream::connect(address))?;
    TcpStream::connect(elsewhere)?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("denied", counters.connects_denied, 1)?;
    Ok(Outcome::Ok)
}

fn mapped_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("other", OTHER)?;
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse()?, address.port());
    expect_refused("::ffff:127.0.0.1", &TcpStream::connect(mapped))?;
    let any = SocketAddr::new("0.0.0.0".parse()?, address.port());
    expect_refused("0.0.0.0", &TcpStream::connect(any))?;
    Ok(Outcome::Ok)
}

fn ipv6_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let Ok((_listener, address)) = listener("[::1]:0") else {
        return Ok(Outcome::Skip("the host has no IPv6 loopback".to_owned()));
    };
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("other", OTHER)?;
    expect_refused("::1", &TcpStream::connect(address))?;
    let any = SocketAddr::new("::".parse()?, address.port());
    expect_refused("::", &TcpStream::connect(any))?;
    sandbox.enter("granted", GRANTED)?;
    TcpStream::connect(address)?;
    Ok(Outcome::Ok)
}

fn datagram_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("other", OTHER)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    expect_refused("sendto", &client.send_to(b"prompt", address))?;
    expect_refused("connect", &client.connect(address))?;
    let counters = sandbox.counters(row(OTHER, RuleId::NONE, Reason::NoGrant))?;
    expect("datagrams denied", counters.datagrams_denied, 1)?;
    expect("connects denied", counters.connects_denied, 1)?;
    Ok(Outcome::Ok)
}

fn grant_expires(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    let life = Duration::from_millis(400);
    let not_after_ns = boot_ns() + life.as_nanos() as u64;
    sandbox.install(&tables(address, not_after_ns))?;
    sandbox.attach()?;
    sandbox.enter("granted", GRANTED)?;
    TcpStream::connect(address)?;
    let deadline = Instant::now() + 10 * life;
    while TcpStream::connect(address).is_ok() {
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

fn child_inherits(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.name("granted", GRANTED)?;
    sandbox.enter_unnamed("granted/a/b")?;
    TcpStream::connect(address)?;
    let counters = sandbox.counters(row(GRANTED, GRANT, Reason::Granted))?;
    expect("allowed as the parent", counters.connects_allowed, 1)?;
    Ok(Outcome::Ok)
}

fn close_adds_bytes(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    const OUT: usize = 100_000;
    const IN: usize = 5_000;
    if let Some(why) = sandbox.close_gap() {
        return Ok(Outcome::Skip(why));
    }
    let (listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
    sandbox.enter("granted", GRANTED)?;
    sandbox::exchange(&listener, address, OUT, IN)?;
    let key = row(GRANTED, GRANT, Reason::Granted);
    let counters = sandbox.eventually(key, |counters: &Counters| counters.closed == 1)?;
    let bytes = (counters.closed, counters.bytes_out, counters.bytes_in);
    expect(
        "closed, bytes out and in",
        bytes,
        (1, OUT as u64, IN as u64),
    )?;
    Ok(Outcome::Ok)
}

fn reload_adopts(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    sandbox.install(&tables(address, Window::FOREVER))?;
    sandbox.attach()?;
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
