//! Sockets that are neither TCP nor UDP.

use std::io;

use agent_common::{
    abi::program,
    destination::EndpointId,
    event::EventKind,
    identity::IdentityId,
    policy::{Posture, RuleEntry, RuleId, Window},
    verdict::Reason,
};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::{
    Failure, OTHER, Outcome, expect, expect_refused, listener, row, sandbox::Sandbox, tables,
};

/// Nobody may have a socket that nothing judges.
fn refuse_raw(sandbox: &mut Sandbox) -> Result<(), Failure> {
    let (_listener, address) = listener("127.0.0.1:0")?;
    let mut tables = tables(address, Window::FOREVER);
    let mut unnamed = RuleEntry::posture_only(Posture::Deny);
    unnamed.posture |= RuleEntry::REFUSE_RAW;
    tables
        .rules
        .insert((IdentityId::UNKNOWN, EndpointId::UNNAMED), unnamed);
    sandbox.install(&tables)?;
    sandbox.enter("other", OTHER)
}

fn ask(
    family: AddressFamily,
    form: SockType,
    protocol: Option<SockProtocol>,
) -> io::Result<impl Sized> {
    socket(family, form, SockFlag::SOCK_CLOEXEC, protocol).map_err(io::Error::from)
}

fn told(sandbox: &mut Sandbox, expected: &[(u32, bool, u32)]) -> Result<(), Failure> {
    let events = sandbox.told(EventKind::Socket)?;
    let found: Vec<_> = events.iter().map(|event| event.socket()).collect();
    expect("what is told", found.as_slice(), expected)
}

const RAW_UDP: (u32, bool, u32) = (libc::AF_INET as u32, true, libc::IPPROTO_UDP as u32);

pub(super) fn observe_lets_raw_be(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    refuse_raw(sandbox)?;
    ask(AddressFamily::Inet, SockType::Raw, Some(SockProtocol::Udp))?;
    told(sandbox, &[RAW_UDP])?;
    Ok(Outcome::Ok)
}

pub(super) fn raw_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    refuse_raw(sandbox)?;
    let raw = ask(AddressFamily::Inet, SockType::Raw, Some(SockProtocol::Udp));
    expect_refused("a raw socket", &raw)?;
    let raw = ask(AddressFamily::Inet6, SockType::Raw, Some(SockProtocol::Udp));
    expect_refused("a raw socket of IPv6", &raw)?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        ask(family, SockType::Stream, None)?;
        ask(family, SockType::Datagram, None)?;
    }
    ask(AddressFamily::Unix, SockType::Stream, None)?;
    let of_six = (libc::AF_INET6 as u32, RAW_UDP.1, RAW_UDP.2);
    told(sandbox, &[RAW_UDP, of_six])?;
    let mut key = row(OTHER, RuleId::NONE, Reason::RawSocket);
    key.endpoint = EndpointId::ANY;
    let counters = sandbox.counters(key)?;
    expect("refused", counters.connects_denied, 2)?;
    Ok(Outcome::Ok)
}

pub(super) fn packet_is_refused(sandbox: &mut Sandbox) -> Result<Outcome, Failure> {
    if let Err(why) = sandbox.gap(program::SOCKET_CREATE) {
        return Ok(Outcome::Skip(why));
    }
    refuse_raw(sandbox)?;
    let packet = ask(AddressFamily::Packet, SockType::Raw, None);
    expect_refused("a packet socket", &packet)?;
    ask(AddressFamily::Unix, SockType::Stream, None)?;
    ask(AddressFamily::Netlink, SockType::Raw, None)?;
    told(sandbox, &[(libc::AF_PACKET as u32, true, 0)])?;
    Ok(Outcome::Ok)
}
