//! `cgroup_skb/egress` and `cgroup_skb/ingress`, once more, after the programs that judge: calls on
//! connections that were let through are counted.
//!
//! Kernel: as in `egress` and `ingress`; each program of a cgroup runs, and one that refuses is
//! enough. These always return 1, so they cannot refuse. A socket without calls leaves after one
//! look-up.

use aya_ebpf::{macros::cgroup_skb, programs::SkBuffContext};

use crate::calls;

const PASS: i32 = 1;

#[cgroup_skb(egress)]
pub fn calls_sent(ctx: SkBuffContext) -> i32 {
    calls::sends(ctx.skb.skb);
    PASS
}

#[cgroup_skb(ingress)]
pub fn calls_received(ctx: SkBuffContext) -> i32 {
    calls::receives(ctx.skb.skb);
    PASS
}
