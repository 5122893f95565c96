//! QUIC: its long headers (RFC 8999), by version. The server's name is not read: it is encrypted.

use aya_ebpf::bindings::__sk_buff;
use core::ptr::read_volatile;

use crate::packet;

const UDP_HEADER: u32 = 8;
/// Datagrams of one packet before segmentation that are looked at (`UDP_MAX_SEGMENTS`).
const MAX_SEGMENTS: u32 = 128;
const NEGOTIATION: u32 = 0;
const V1: u32 = 1;
const V2: u32 = 0x6b33_43cf;
const DRAFTS: u32 = 0xff00_0000;
/// `Q0` in ASCII: Google's versions, as Q050.
const GOOGLE: u32 = 0x5130;
const FACEBOOK: u32 = 0xface_b000;

/// 1 if the UDP packet whose header begins at `header` holds a datagram that begins a connection.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn has_long_header(skb: *mut __sk_buff, header: u32) -> u32 {
    let len = packet::len(skb);
    // SAFETY: the kernel hands in a valid context.
    let segment = unsafe { read_volatile(&raw const (*skb).gso_size) };
    let mut at = (header & 0x3ff) + UDP_HEADER;
    let mut index = 0;
    while index < MAX_SEGMENTS {
        if at >= len {
            return 0;
        }
        if is_long_header(skb, at) {
            return 1;
        }
        if segment == 0 {
            return 0;
        }
        at = at.wrapping_add(segment);
        index += 1;
    }
    0
}

#[inline(always)]
fn is_long_header(skb: *mut __sk_buff, at: u32) -> bool {
    let Some(first) = packet::u8_at(skb, at) else {
        return false;
    };
    if first & 0x80 == 0 {
        return false;
    }
    let Some(version) = packet::u32_at(skb, at + 1) else {
        return false;
    };
    // The second bit may be anything (RFC 9287).
    let is_old = version >> 16 == GOOGLE || version & 0xffff_ff00 == FACEBOOK;
    version == NEGOTIATION
        || version == V1
        || version == V2
        || version & 0xffff_ff00 == DRAFTS
        || is_old
}
