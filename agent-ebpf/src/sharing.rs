//! Whether the payload of a packet is in pages that its sender can still write to: with `sendfile`,
//! `splice` and `MSG_ZEROCOPY` the kernel takes the pages instead of a copy.

use core::mem::offset_of;

use agent_common::settings::Offsets;
use aya_ebpf::{bindings::__sk_buff, helpers::bpf_probe_read_kernel};

use crate::{kernel::read, maps};

/// `SKBFL_SHARED_FRAG` in `skb_shared_info.flags` (5.12 and later), and `SKBTX_SHARED_FRAG` in
/// `tx_flags` before.
const SHARED: u8 = 1 << 1;
const SHARED_OLD: u8 = 1 << 5;

/// Unknown, on a kernel without type information, counts as no.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn has_shared_pages(skb: *mut __sk_buff) -> u32 {
    let head_at = maps::kernel_offset(offset_of!(Offsets, skb_head));
    let end_at = maps::kernel_offset(offset_of!(Offsets, skb_end));
    let flags_at = maps::kernel_offset(offset_of!(Offsets, shared_info_flags));
    let is_old = maps::kernel_offset(offset_of!(Offsets, shared_info_is_old)) != 0;
    if end_at == 0 {
        return 0;
    }
    // The context is the packet itself: read its address from the stack as a plain one.
    let slot = skb;
    // SAFETY: the slot is on the stack; the offsets come from the running kernel's BTF.
    let flags = unsafe {
        let Ok(packet) = bpf_probe_read_kernel((&raw const slot).cast::<*const u8>()) else {
            return 0;
        };
        let (Some(head), Some(end)) = (
            read::<*const u8>(packet, head_at),
            read::<u32>(packet, end_at),
        ) else {
            return 0;
        };
        read::<u8>(head.wrapping_add(end as usize), flags_at)
    };
    let mask = if is_old { SHARED_OLD } else { SHARED };
    u32::from(flags.is_some_and(|flags| flags & mask != 0))
}

#[inline(always)]
pub fn is_shared(skb: *mut __sk_buff) -> bool {
    has_shared_pages(skb) != 0
}
