//! Processes from fork to exit: who started them, what they run, as whom.

use core::mem::offset_of;

use agent_common::{
    process::{COMM_LEN, ExeKey, Process, TEXT_LEN},
    settings::Offsets,
};
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_probe_read_kernel_str, bpf_probe_read_user,
};

use crate::{
    attempt::now_ns,
    exe_path,
    kernel::{offset, read},
    maps, task,
};

/// A new process, a thread excepted, is a copy of its parent.
#[inline(always)]
pub fn forked(parent: *const u8, child: *const u8) {
    let (Some(parent_id), Some(child_id)) = (id(parent), id(child)) else {
        return;
    };
    if parent_id == child_id || !is_in_scope() {
        return;
    }
    let known = maps::process(parent_id);
    let Some(process) = maps::add_process(child_id, known) else {
        return;
    };
    let parent_start_ns = match known {
        // SAFETY: a valid pointer to a map value.
        Some(known) => unsafe { (*known).start_ns },
        None => 0,
    };
    // SAFETY: a valid pointer to a map value, which only its own process changes.
    unsafe {
        (*process).start_ns = start(child);
        (*process).parent_start_ns = parent_start_ns;
        (*process).exec_ns = 0;
        (*process).end_ns = 0;
        (*process).cgroup = task::cgroup();
        (*process).parent = parent_id;
        (*process).user = task::user();
        if known.is_none() {
            tell_comm(process);
        }
    }
}

/// The calling process runs another program.
#[inline(always)]
pub fn executed(task: *const u8, binary: *const u8) {
    if !is_in_scope() {
        return;
    }
    let id = task::process_id();
    let known = match maps::process(id) {
        Some(known) => Some(known),
        None => maps::add_process(id, None),
    };
    let Some(process) = known else {
        return;
    };
    let now_ns = now_ns();
    let exe = exe(binary).unwrap_or(ExeKey::NONE);
    // SAFETY: a valid pointer to a map value, which only its own process changes.
    unsafe {
        if (*process).start_ns == 0 {
            (*process).start_ns = start(task);
            (*process).parent = parent(task);
        }
        (*process).former_exe = (*process).exe;
        (*process).exe = exe;
        (*process).exec_ns = now_ns;
        (*process).cgroup = task::cgroup();
        (*process).user = task::user();
        (*process).flags = if tell_script(id, binary, now_ns) {
            Process::SCRIPT
        } else {
            0
        };
        tell_comm(process);
    }
    if maps::keeps_arguments() {
        tell_arguments(id, task, now_ns);
    }
}

/// A thread ends; the process does with its last one.
#[inline(always)]
pub fn exited(task: *const u8) {
    let Some(id) = id(task) else {
        return;
    };
    let Some(process) = maps::process(id) else {
        return;
    };
    // SAFETY: the offsets come from the running kernel's BTF; a valid pointer to a map value.
    unsafe {
        let Some(signal) = read::<*const u8>(task, offset!(task_signal)) else {
            return;
        };
        if read::<u32>(signal, offset!(signal_live)) != Some(0) {
            return;
        }
        (*process).end_ns = now_ns();
    }
    maps::end_process(id, process);
}

#[inline(always)]
fn id(task: *const u8) -> Option<u32> {
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe { read(task, offset!(task_tgid)) }
}

/// Below a scope, processes elsewhere are nobody's business.
#[inline(always)]
fn is_in_scope() -> bool {
    !maps::is_scoped() || maps::identity_of_cgroup(task::cgroup()).is_some()
}

/// The parent of a process that was forked where nobody looked; 0 if it cannot be read.
#[inline(always)]
fn parent(task: *const u8) -> u32 {
    // SAFETY: the offset comes from the running kernel's BTF.
    let parent = unsafe { read::<*const u8>(task, offset!(task_parent)) };
    parent.and_then(id).unwrap_or(0)
}

#[inline(always)]
fn start(task: *const u8) -> u64 {
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe { read(task, offset!(task_start)) }.unwrap_or(0)
}

/// # Safety
///
/// `process` points to a map value.
#[inline(always)]
unsafe fn tell_comm(process: *mut Process) {
    // SAFETY: the caller's promise; the helper writes no more than it is told.
    unsafe {
        let comm = &raw mut (*process).comm;
        bpf_get_current_comm(comm.cast(), COMM_LEN as u32);
    }
}

/// The executable that runs: of a script, its interpreter.
#[inline(always)]
fn exe(binary: *const u8) -> Option<ExeKey> {
    // SAFETY: the offsets come from the running kernel's BTF.
    let (file, inode, key) = unsafe {
        let file: *const u8 = read(binary, offset!(binary_file))?;
        let inode: *const u8 = read(file, offset!(file_inode))?;
        let of: *const u8 = read(inode, offset!(inode_super))?;
        let key = ExeKey {
            inode: read(inode, offset!(inode_number))?,
            device: read(of, offset!(super_device))?,
            generation: read(inode, offset!(inode_generation))?,
        };
        (file, inode, key)
    };
    exe_path::remember(&key, file, inode);
    Some(key)
}

/// Whether this was started as a script, whose name is then kept.
#[inline(always)]
fn tell_script(id: u32, binary: *const u8, now_ns: u64) -> bool {
    // SAFETY: the offsets come from the running kernel's BTF.
    let names = unsafe {
        (
            read::<*const u8>(binary, offset!(binary_filename)),
            read::<*const u8>(binary, offset!(binary_interpreter)),
        )
    };
    let (Some(name), Some(interpreter)) = names else {
        return false;
    };
    if name == interpreter {
        return false;
    }
    let Some(text) = maps::text_scratch() else {
        return false;
    };
    // SAFETY: there is room for `TEXT_LEN` bytes.
    let len = unsafe {
        bpf_probe_read_kernel_str(text.bytes.as_mut_ptr().cast(), TEXT_LEN as u32, name.cast())
    };
    if len <= 0 {
        return false;
    }
    text.exec_ns = now_ns;
    text.len = len as u32 - 1;
    maps::remember_script(id, text);
    true
}

#[inline(always)]
fn tell_arguments(id: u32, task: *const u8, now_ns: u64) {
    // SAFETY: the offsets come from the running kernel's BTF.
    let range = unsafe {
        let Some(memory) = read::<*const u8>(task, offset!(task_mm)) else {
            return;
        };
        (
            read::<u64>(memory, offset!(mm_arg_start)),
            read::<u64>(memory, offset!(mm_arg_end)),
        )
    };
    let ((Some(from), Some(to)), Some(text)) = (range, maps::text_scratch()) else {
        return;
    };
    let told = to.wrapping_sub(from);
    let len = if told < TEXT_LEN as u64 {
        told as u32
    } else {
        TEXT_LEN as u32
    };
    if len == 0 || len > TEXT_LEN as u32 {
        return;
    }
    // SAFETY: there is room for `TEXT_LEN` bytes, and the helper checks what it reads.
    let failed =
        unsafe { bpf_probe_read_user(text.bytes.as_mut_ptr().cast(), len, from as *const _) };
    if failed != 0 {
        return;
    }
    text.exec_ns = now_ns;
    text.len = len;
    maps::remember_arguments(id, text);
}

/// Whether the calling task is the kernel's own.
#[inline(always)]
pub fn is_kernel_thread() -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    // SAFETY: no arguments; the offset comes from the running kernel's BTF.
    let flags = unsafe {
        let task = aya_ebpf::helpers::generated::bpf_get_current_task() as *const u8;
        read::<u32>(task, maps::kernel_offset(offset_of!(Offsets, task_flags)))
    };
    flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
}
