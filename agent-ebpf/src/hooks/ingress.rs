//! `cgroup_skb/ingress`: before a packet is queued to its socket.
//!
//! Kernel: `sk_filter_trim_cap`, 4.10 and later. It runs before the receiver can read, so what an
//! answer of the DNS tells is known when the receiver connects. Return 0: the packet is dropped, which
//! happens only to connections whose right is gone.

use aya_ebpf::{bindings::__sk_buff, macros::cgroup_skb, programs::SkBuffContext};

use agent_common::{address::Address, loss::Loss, settings::Offsets, verdict::Verdict};

use crate::{dns, flight, kernel, live, maps, packet};

const DNS_PORT: u32 = 53;
const UDP_HEADER: u32 = 8;
/// Header of a DNS message.
const LEAST: u32 = 12;
/// Messages of one segment that are read.
const MAX_MESSAGES: u32 = 8;

#[cgroup_skb(ingress)]
pub fn ingress(ctx: SkBuffContext) -> i32 {
    let skb = ctx.skb.skb;
    if !live::passes(skb) && matches!(flight::unreadable(), Verdict::Deny) {
        return DROP;
    }
    if is_plainly_foreign(skb) {
        return PASS;
    }
    learn(skb);
    PASS
}

const PASS: i32 = 1;
const DROP: i32 = 0;

/// Whether the receiver is in the agent's network namespace. Unknown counts as no.
#[inline(always)]
fn is_in_own_namespace(skb: *mut __sk_buff) -> bool {
    let at = maps::kernel_offset(core::mem::offset_of!(Offsets, net_inum));
    let Some(socket) = packet::socket(skb).and_then(kernel::address_of) else {
        return false;
    };
    if at == 0 {
        return false;
    }
    // SAFETY: the offsets come from the running kernel's BTF.
    let inode = unsafe {
        let net = maps::kernel_offset(core::mem::offset_of!(Offsets, sock_net));
        let Some(net) = kernel::read::<*const u8>(socket, net) else {
            return false;
        };
        kernel::read::<u32>(net, at)
    };
    inode == Some(maps::own_namespace())
}

/// Whether the linear part shows that this packet is not from port 53: nearly every packet, and
/// without a call of a helper. What it does not show is read by [`learn`].
#[inline(always)]
fn is_plainly_foreign(skb: *mut __sk_buff) -> bool {
    /// The shortest header of IPv4, which nearly all packets have.
    const PLAIN_V4: u8 = 0x45;
    let Some(head) = packet::linear::<24>(skb) else {
        return false;
    };
    if head[0] == PLAIN_V4 {
        return is_foreign(head[9], [head[20], head[21]]);
    }
    if head[0] >> 4 != 6 {
        return false;
    }
    match packet::linear::<44>(skb) {
        Some(head) => is_foreign(head[6], [head[40], head[41]]),
        None => false,
    }
}

#[inline(always)]
fn is_foreign(protocol: u8, port: [u8; 2]) -> bool {
    let protocol = u32::from(protocol);
    let port = u32::from(u16::from_be_bytes(port));
    (protocol == packet::UDP || protocol == packet::TCP) && port != DNS_PORT
}

/// Learns from a packet that comes from port 53 of a resolver that is believed.
#[inline(always)]
fn learn(skb: *mut __sk_buff) -> Option<()> {
    let transport = packet::transport(skb);
    let protocol = (transport >> 16) as u32;
    let header = transport as u32 & 0x3ff;
    if protocol != packet::UDP && protocol != packet::TCP {
        return None;
    }
    if packet::u16_at(skb, header)? != DNS_PORT {
        return None;
    }
    let is_hint = maps::resolver(&source(skb)?)? || !is_in_own_namespace(skb);
    let len = packet::len(skb);
    if protocol == packet::UDP {
        let payload = header + UDP_HEADER;
        if len > payload + LEAST {
            dns::learn(skb, payload, is_hint);
        }
        return Some(());
    }
    let header_len = (packet::u8_at(skb, header + 12)? >> 4) << 2;
    let payload = header + header_len;
    if len > payload + LEAST {
        stream(skb, payload, is_hint);
    }
    Some(())
}

/// Over TCP the length of each message comes first, mostly in the same segment. What is in parts is
/// not read but counted.
#[inline(always)]
fn stream(skb: *mut __sk_buff, payload: u32, is_hint: bool) {
    let len = packet::len(skb);
    let mut at = payload;
    let mut index = 0;
    while index < MAX_MESSAGES {
        if at >= len {
            return;
        }
        let told = packet::u16_at(skb, at).unwrap_or(0);
        let end = at + 2 + told;
        if told <= LEAST || end > len {
            break;
        }
        dns::learn(skb, at + 2, is_hint);
        at = end & 0xffff;
        index += 1;
    }
    if index == 0 {
        // The length may have come in a segment of its own.
        dns::learn(skb, payload, is_hint);
    }
    maps::count_loss(Loss::AnswerUnread);
}

#[inline(always)]
fn source(skb: *mut __sk_buff) -> Option<Address> {
    let mut words = [0_u32; 4];
    let into = words.as_mut_ptr().cast::<u8>();
    let first = packet::u8_at(skb, 0)?;
    if first >> 4 == 4 {
        // SAFETY: four octets of sixteen.
        return unsafe { packet::copy(skb, 12, 4, 4, into) }.then(|| Address::from_v4(words[0]));
    }
    // SAFETY: sixteen octets.
    unsafe { packet::copy(skb, 8, 16, 16, into) }.then(|| Address::from_v6(words))
}
