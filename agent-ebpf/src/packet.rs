//! Reads of a packet, and where its payload begins.
//!
//! At `cgroup_skb` a packet begins with its network header. Payload of what is sent is rarely in
//! the linear part, so octets are copied out instead of pointed to.

use core::{ffi::c_void, hint::black_box, ptr::read_volatile};

use agent_common::address::Address;
use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    helpers::generated::{bpf_sk_fullsock, bpf_skb_load_bytes},
};

use crate::context::Target;

pub const TCP: u32 = 6;
pub const UDP: u32 = 17;

/// Extension headers of IPv6 that are passed over before a packet counts as unreadable.
const MAX_EXTENSIONS: u32 = 8;
const HOP_BY_HOP: u32 = 0;
const ROUTING: u32 = 43;
const AUTHENTICATION: u32 = 51;
const DESTINATION: u32 = 60;

/// The octet at `at`.
#[inline(always)]
pub fn u8_at(skb: *mut __sk_buff, at: u32) -> Option<u32> {
    let mut value = 0_u8;
    // SAFETY: the helper checks the range and writes one octet.
    let failed = unsafe { bpf_skb_load_bytes(skb.cast(), at, (&raw mut value).cast(), 1) };
    (failed == 0).then_some(value as u32)
}

/// The number of two octets at `at`.
#[inline(always)]
pub fn u16_at(skb: *mut __sk_buff, at: u32) -> Option<u32> {
    let mut value = 0_u16;
    // SAFETY: the helper checks the range and writes two octets.
    let failed = unsafe { bpf_skb_load_bytes(skb.cast(), at, (&raw mut value).cast(), 2) };
    (failed == 0).then_some(u16::from_be(value) as u32)
}

/// The number of four octets at `at`.
#[inline(always)]
pub fn u32_at(skb: *mut __sk_buff, at: u32) -> Option<u32> {
    let mut value = 0_u32;
    // SAFETY: the helper checks the range and writes four octets.
    let failed = unsafe { bpf_skb_load_bytes(skb.cast(), at, (&raw mut value).cast(), 4) };
    (failed == 0).then_some(u32::from_be(value))
}

/// Copies `len` octets, 1 to `max`, to `into`.
///
/// # Safety
///
/// `into` has room for `max` octets.
#[inline(always)]
pub unsafe fn copy(skb: *mut __sk_buff, at: u32, len: u32, max: u32, into: *mut u8) -> bool {
    // Kernels before 6.8 learn a lower bound from a comparison only if it is against 0 from below.
    let last = black_box(len.wrapping_sub(1));
    if last >= max {
        return false;
    }
    // SAFETY: the helper checks the range; the caller vouches for the room.
    unsafe { bpf_skb_load_bytes(skb.cast(), at, into.cast::<c_void>(), last + 1) == 0 }
}

/// The first `N` octets, if they are in the linear part: that of what is received holds all headers.
#[inline(always)]
pub fn linear<const N: usize>(skb: *mut __sk_buff) -> Option<&'static [u8; N]> {
    // SAFETY: the kernel hands in a valid context; it makes pointers of these two fields.
    let (start, end) = unsafe {
        (
            read_volatile(&raw const (*skb).data) as usize,
            read_volatile(&raw const (*skb).data_end) as usize,
        )
    };
    // The compiler would compare with one octet less, of which older kernels make too little.
    if black_box(start + N) > end {
        return None;
    }
    // SAFETY: the range was checked, and the packet outlives the program's run.
    Some(unsafe { &*(start as *const [u8; N]) })
}

#[inline(always)]
pub fn len(skb: *mut __sk_buff) -> u32 {
    // SAFETY: the kernel hands in a valid context.
    unsafe { read_volatile(&raw const (*skb).len) }
}

/// The socket that sends or receives; `None` for what has none, or only a request or a remainder.
#[inline(always)]
pub fn socket(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    // SAFETY: the kernel hands in a valid context; both pointers are checked before use.
    unsafe {
        let socket = read_volatile(&raw const (*skb).__bindgen_anon_2.sk);
        if socket.is_null() {
            return None;
        }
        let full = bpf_sk_fullsock(socket);
        (!full.is_null()).then_some(full)
    }
}

/// Octets of payload of a packet of TCP or UDP; of anything else, all that follows the IP header.
#[inline(always)]
pub fn payload_len(skb: *mut __sk_buff) -> u32 {
    const TCP_DATA_OFFSET: u32 = 12;
    const UDP_HEADER: u32 = 8;
    let transport = transport(skb);
    let header = transport as u32 & 0x3ff;
    let own = match (transport >> 16) as u32 {
        TCP => u8_at(skb, header + TCP_DATA_OFFSET).map_or(0, |offset| (offset >> 4) << 2),
        UDP => UDP_HEADER,
        _ => 0,
    };
    len(skb).saturating_sub(header + own)
}

/// What the socket of a packet is connected to.
#[inline(always)]
pub fn peer(skb: *mut __sk_buff) -> Target {
    const AF_INET: u32 = 2;
    // SAFETY: the kernel hands in a valid context, of which each field is read once and by itself.
    unsafe {
        let family = read_volatile(&raw const (*skb).family);
        let v4 = read_volatile(&raw const (*skb).remote_ip4);
        let v6 = &raw const (*skb).remote_ip6;
        let words = [
            read_volatile(&raw const (*v6)[0]),
            read_volatile(&raw const (*v6)[1]),
            read_volatile(&raw const (*v6)[2]),
            read_volatile(&raw const (*v6)[3]),
        ];
        let address = if family == AF_INET {
            Address::from_v4(v4)
        } else {
            Address::from_v6(words)
        };
        Target {
            address,
            port: (u32::from_be(read_volatile(&raw const (*skb).remote_port)) as u16).to_be(),
        }
    }
}

/// As [`socket`], unchecked: for helpers that check it themselves.
#[inline(always)]
pub fn any_socket(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    // SAFETY: the kernel hands in a valid context.
    let socket = unsafe { read_volatile(&raw const (*skb).__bindgen_anon_2.sk) };
    (!socket.is_null()).then_some(socket)
}

/// Transport protocol and where its header begins, as `protocol << 16 | offset`; 0 if the packet
/// cannot be read.
///
/// A global function, which the verifier checks once by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn transport(skb: *mut __sk_buff) -> u64 {
    let Some(first) = u8_at(skb, 0) else {
        return 0;
    };
    if first >> 4 == 4 {
        return match u8_at(skb, 9) {
            Some(protocol) => ((protocol << 16) | ((first & 15) << 2)) as u64,
            None => 0,
        };
    }
    let Some(mut protocol) = u8_at(skb, 6) else {
        return 0;
    };
    let mut at = 40;
    let mut index = 0;
    while index < MAX_EXTENSIONS {
        if protocol == TCP || protocol == UDP {
            return ((protocol << 16) | at) as u64;
        }
        let unit = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => 8,
            AUTHENTICATION => 4,
            _ => return ((protocol << 16) | at) as u64,
        };
        let (Some(next), Some(len)) = (u8_at(skb, at), u8_at(skb, at + 1)) else {
            return 0;
        };
        let least = if unit == 8 { 1 } else { 2 };
        at = (at + (len + least) * unit) & 0xffff;
        protocol = next;
        index += 1;
    }
    0
}
