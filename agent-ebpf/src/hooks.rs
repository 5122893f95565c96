//! One module per attach family.

mod calls;
mod cgroup;
mod close;
mod connect;
mod egress;
mod foreign_send;
mod ingress;
mod process;
mod sendmsg;
mod sock_create;
mod sock_ops;

use agent_common::verdict::Verdict;

/// What a hook of the security modules returns for each verdict.
#[inline(always)]
fn errno(verdict: Verdict) -> i32 {
    const EPERM: i32 = 1;
    match verdict {
        Verdict::Allow | Verdict::WouldDeny => 0,
        Verdict::Deny => -EPERM,
    }
}
