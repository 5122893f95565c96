//! BTF tracepoints `sched_process_fork`, `sched_process_exec` and `sched_process_exit`.
//!
//! Kernel: `void (struct task_struct *parent, struct task_struct *child)`, `void (struct task_struct
//! *p, pid_t old_pid, struct linux_binprm *bprm)` and `void (struct task_struct *p)`, 5.5 and later.
//! A fork is told before the child runs, an exec before the new program does. Global; the return
//! code has no effect.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::process;

#[btf_tracepoint(function = "sched_process_fork")]
pub fn forked(ctx: BtfTracePointContext) -> i32 {
    process::forked(ctx.arg(0), ctx.arg(1));
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn executed(ctx: BtfTracePointContext) -> i32 {
    process::executed(ctx.arg(0), ctx.arg(2));
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn exited(ctx: BtfTracePointContext) -> i32 {
    process::exited(ctx.arg(0));
    0
}
