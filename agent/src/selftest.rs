//! `weir selftest`: does the kernel side do on this kernel what it promises?
//!
//! Loads and attaches every program at a cgroup made for the purpose, makes real connections over
//! loopback and removes everything again. The kernel matrix runs it in a virtual machine for each
//! kernel; an operator can run it before a rollout. It never touches the host's own cgroups.

mod addresses;
mod calls;
mod foreign;
mod live;
mod names;
mod sandbox;
mod sockets;
mod wire;

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use agent_common::{
    address::Address,
    counter::CounterKey,
    destination::{Destination, EndpointId},
    identity::IdentityId,
    policy::{Posture, RuleEntry, RuleId, Window},
    settings::{CloseSource, Mode},
    verdict::Reason,
};

use self::sandbox::Sandbox;
use crate::bpf::{KernelError, policy::PolicyTables, probe};

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

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Check {
    name: &'static str,
    mode: Mode,
    /// With which of the ways in which bytes are counted.
    sources: &'static [CloseSource],
    run: fn(&mut Sandbox) -> Result<Outcome, Failure>,
}

const CHECKS: [Check; 34] = [
    check(
        "observe mode allows what policy refuses",
        Mode::Observe,
        addresses::observe_allows,
    ),
    check(
        "shadow mode allows and counts would-deny",
        Mode::Shadow,
        addresses::shadow_counts,
    ),
    check(
        "a granted connection is allowed and counted",
        Mode::Enforce,
        addresses::granted_is_allowed,
    ),
    check(
        "an ungranted connection fails with EPERM",
        Mode::Enforce,
        addresses::ungranted_is_refused,
    ),
    check(
        "a v4-mapped address is the same address",
        Mode::Enforce,
        addresses::mapped_is_refused,
    ),
    check(
        "an IPv6 connection is refused",
        Mode::Enforce,
        addresses::ipv6_is_refused,
    ),
    check(
        "a datagram is refused",
        Mode::Enforce,
        addresses::datagram_is_refused,
    ),
    check(
        "a grant ends by itself",
        Mode::Enforce,
        addresses::grant_expires,
    ),
    check(
        "observe mode cuts no live connection",
        Mode::Observe,
        live::observe_cuts_nothing,
    ),
    check(
        "a limit of connections holds",
        Mode::Enforce,
        addresses::limit_holds,
    ),
    check(
        "a spent budget refuses, and opens by itself",
        Mode::Enforce,
        addresses::spent_budget_closes,
    ),
    check(
        "a live connection ends with its grant",
        Mode::Enforce,
        live::expiry_cuts,
    ),
    check(
        "a live connection ends when its grant is revoked",
        Mode::Enforce,
        live::revocation_cuts,
    ),
    check(
        "a live connection is judged by its cgroup's name of now",
        Mode::Enforce,
        live::renaming_cuts,
    ),
    check(
        "a live connection with a name ends when its grant is revoked",
        Mode::Enforce,
        live::revocation_cuts_named,
    ),
    check(
        "an unknown child cgroup inherits its parent",
        Mode::Enforce,
        addresses::child_inherits,
    ),
    Check {
        name: "a closed connection adds its exact bytes",
        mode: Mode::Enforce,
        sources: &[CloseSource::SockState, CloseSource::SockOps],
        run: addresses::close_adds_bytes,
    },
    check(
        "requests of plain HTTP are counted as calls",
        Mode::Observe,
        calls::plain_is_inferred,
    ),
    check(
        "calls behind TLS are counted while nothing is refused",
        Mode::Observe,
        calls::tls_is_inferred,
    ),
    check(
        "calls behind TLS are counted while their connection lives",
        Mode::Enforce,
        calls::tls_is_inferred,
    ),
    check(
        "calls by a name in the first packets are counted",
        Mode::Enforce,
        calls::named_are_counted,
    ),
    check(
        "observe mode lets every name pass",
        Mode::Observe,
        names::observe_refuses_no_name,
    ),
    check(
        "an answer of the DNS governs its address",
        Mode::Enforce,
        names::answer_is_learnt,
    ),
    check(
        "an answer of a stranger is not believed",
        Mode::Enforce,
        names::stranger_is_not_believed,
    ),
    check(
        "at a shared address the name decides",
        Mode::Enforce,
        names::shared_address_waits,
    ),
    check(
        "at an unknown address the name decides",
        Mode::Enforce,
        names::first_flight_decides,
    ),
    check(
        "QUIC is refused where names matter",
        Mode::Enforce,
        names::quic_is_refused,
    ),
    check(
        "observe mode lets a socket from elsewhere send",
        Mode::Observe,
        foreign::observe_lets_send,
    ),
    check(
        "a connected socket from elsewhere is refused before it sends",
        Mode::Enforce,
        foreign::send_is_refused,
    ),
    Check {
        name: "a connected socket from elsewhere is refused once it has sent",
        mode: Mode::Enforce,
        // There the hook that refuses earlier is not loaded.
        sources: &[CloseSource::SockOps],
        run: foreign::sent_is_refused,
    },
    check(
        "observe mode lets raw sockets be made",
        Mode::Observe,
        sockets::observe_lets_raw_be,
    ),
    check(
        "a raw socket is refused",
        Mode::Enforce,
        sockets::raw_is_refused,
    ),
    check(
        "a packet socket is refused",
        Mode::Enforce,
        sockets::packet_is_refused,
    ),
    check(
        "a new load adopts links, policy and counters",
        Mode::Enforce,
        addresses::reload_adopts,
    ),
];

const fn check(
    name: &'static str,
    mode: Mode,
    run: fn(&mut Sandbox) -> Result<Outcome, Failure>,
) -> Check {
    Check {
        name,
        mode,
        sources: &[CloseSource::SockState],
        run,
    }
}

impl Tally {
    /// Counts one outcome and says it in a line.
    fn note(&mut self, name: &str, outcome: Result<Outcome, Failure>) -> String {
        match outcome {
            Ok(Outcome::Ok) => {
                self.passed += 1;
                format!("ok {name}")
            }
            Ok(Outcome::Skip(why)) => {
                self.skipped += 1;
                format!("SKIP {name}: {why}")
            }
            Err(error) => {
                self.failed += 1;
                format!("FAIL {name}: {}", crate::error_chain(&*error))
            }
        }
    }
}

/// Runs every check and prints one line for each through `print`.
///
/// # Errors
///
/// When the host is unfit or the sandbox cannot be made.
pub fn run(print: &mut dyn FnMut(String)) -> Result<Tally, KernelError> {
    let host = probe::check()?;
    print(format!("kernel {}", host.kernel));
    let mut tally = Tally::default();
    // Loading is what takes time, above all in an emulated machine: once for each set of programs.
    for (mode, source) in [
        (Mode::Observe, CloseSource::SockState),
        (Mode::Shadow, CloseSource::SockState),
        (Mode::Enforce, CloseSource::SockState),
        (Mode::Enforce, CloseSource::SockOps),
    ] {
        let checks = CHECKS
            .iter()
            .filter(|check| check.mode == mode && check.sources.contains(&source));
        let mut sandbox = Sandbox::new(&host, mode, source)?;
        for check in checks {
            let outcome = sandbox.begin().and_then(|()| (check.run)(&mut sandbox));
            let name = match source {
                CloseSource::SockOps if check.sources.len() > 1 => {
                    format!("{} (sock_ops)", check.name)
                }
                CloseSource::None | CloseSource::SockState | CloseSource::SockOps => {
                    check.name.to_owned()
                }
            };
            print(tally.note(&name, outcome));
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
