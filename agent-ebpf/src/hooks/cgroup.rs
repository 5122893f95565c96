//! BTF tracepoints `cgroup_mkdir` and `cgroup_rmdir`: cgroups come and go.
//!
//! Kernel: `void (struct cgroup *cgrp, const char *path)`, 5.5 and later, under the lock of all
//! cgroups and before `mkdir` returns, so that nothing has run in the cgroup yet. Global; the return
//! code has no effect.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::cgroup;

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_made(ctx: BtfTracePointContext) -> i32 {
    cgroup::made(ctx.arg(0), ctx.arg(1));
    0
}

#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_removed(ctx: BtfTracePointContext) -> i32 {
    cgroup::removed(ctx.arg(0));
    0
}
