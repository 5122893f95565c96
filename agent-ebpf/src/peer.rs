//! Reads of a kernel socket by its address: whom it talks to, and from where.

use agent_common::address::Address;

use crate::{
    context::Target,
    kernel::{offset, read},
};

pub const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
pub const IPPROTO_TCP: u16 = 6;
pub const IPPROTO_UDP: u16 = 17;

/// Address family; `None` for anything but IP.
#[inline(always)]
pub fn family(sock: *const u8) -> Option<u16> {
    // SAFETY: the offset comes from the running kernel's BTF.
    match unsafe { read::<u16>(sock, offset!(sock_family)) }? {
        family @ (AF_INET | AF_INET6) => Some(family),
        _ => None,
    }
}

#[inline(always)]
pub fn protocol(sock: *const u8) -> Option<u16> {
    // SAFETY: the offset comes from the running kernel's BTF.
    unsafe { read(sock, offset!(sock_protocol)) }
}

/// What the socket is connected to.
#[inline(always)]
pub fn target(sock: *const u8) -> Option<Target> {
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe {
        let address = if family(sock)? == AF_INET {
            Address::from_v4(read(sock, offset!(sock_daddr))?)
        } else {
            Address::from_v6(read(sock, offset!(sock_v6_daddr))?)
        };
        let port = read(sock, offset!(sock_dport))?;
        Some(Target { address, port })
    }
}
