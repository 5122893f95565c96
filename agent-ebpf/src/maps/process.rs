//! Processes: what each runs and who started it, and what policy says about executables and users.

use agent_common::{
    abi,
    identity::IdentityId,
    loss::Loss,
    process::{ExeKey, ExePath, NarrowKey, Process, ProcessText},
};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC},
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray},
};

use super::count_loss;

#[map]
static PROCESSES: HashMap<u32, Process> =
    HashMap::with_max_entries(abi::MAX_PROCESSES, BPF_F_NO_PREALLOC);
#[map]
static ENDED: LruHashMap<u32, Process> = LruHashMap::with_max_entries(abi::MAX_ENDED, 0);
#[map]
static EXES: LruHashMap<ExeKey, ExePath> = LruHashMap::with_max_entries(abi::MAX_EXES, 0);
#[map]
static SCRIPTS: LruHashMap<u32, ProcessText> = LruHashMap::with_max_entries(abi::MAX_TEXTS, 0);
#[map]
static ARGUMENTS: LruHashMap<u32, ProcessText> = LruHashMap::with_max_entries(abi::MAX_TEXTS, 0);
#[map]
static EXE_CLASSES: HashMap<ExeKey, u32> =
    HashMap::with_max_entries(abi::MAX_CLASSES, BPF_F_NO_PREALLOC);
#[map]
static USER_CLASSES: HashMap<u32, u32> =
    HashMap::with_max_entries(abi::MAX_CLASSES, BPF_F_NO_PREALLOC);
#[map]
static NARROWED: HashMap<NarrowKey, IdentityId> =
    HashMap::with_max_entries(2 * abi::MAX_NARROWED, BPF_F_NO_PREALLOC);
#[map]
static PATH_SCRATCH: PerCpuArray<ExePath> = PerCpuArray::with_max_entries(1, 0);
#[map]
static TEXT_SCRATCH: PerCpuArray<ProcessText> = PerCpuArray::with_max_entries(1, 0);

/// In read-only memory: zeroing it on the stack would be a call to `memset`.
static NEW_PROCESS: Process = Process::ZERO;

#[inline(always)]
pub fn process(id: u32) -> Option<*mut Process> {
    PROCESSES.get_ptr_mut(id)
}

/// Makes the row of a process, as a copy of `parent`'s if there is one.
#[inline(always)]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "by value the row would be built on the stack"
)]
pub fn add_process(id: u32, parent: Option<*mut Process>) -> Option<*mut Process> {
    let added = match parent {
        // SAFETY: a valid pointer to a map value; a torn copy has one wrong name at worst.
        Some(parent) => PROCESSES.insert(id, unsafe { &*parent }, u64::from(BPF_ANY)),
        None => PROCESSES.insert(id, &NEW_PROCESS, u64::from(BPF_ANY)),
    };
    if added.is_err() {
        count_loss(Loss::ProcessMapFull);
        return None;
    }
    PROCESSES.get_ptr_mut(id)
}

/// Moves a process to those that have ended.
#[inline(always)]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "by value the row would be built on the stack"
)]
pub fn end_process(id: u32, process: *mut Process) {
    // A hint: what finds no room is not remembered.
    // SAFETY: a valid pointer to a map value.
    let _ = ENDED.insert(id, unsafe { &*process }, u64::from(BPF_ANY));
    let _ = PROCESSES.remove(id);
}

#[inline(always)]
pub fn exe_path(key: &ExeKey) -> Option<&'static ExePath> {
    // SAFETY: values are only replaced as a whole.
    unsafe { EXES.get(key) }
}

/// This processor's scratch. Tracepoints do not interrupt each other.
#[inline(always)]
pub fn path_scratch() -> Option<&'static mut ExePath> {
    // SAFETY: a valid pointer that no other program uses at this time.
    PATH_SCRATCH
        .get_ptr_mut(0)
        .map(|path| unsafe { &mut *path })
}

#[inline(always)]
pub fn remember_exe(key: &ExeKey, path: &ExePath) {
    // A hint: what finds no room has no path.
    let _ = EXES.insert(key, path, u64::from(BPF_ANY));
}

/// As [`path_scratch`].
#[inline(always)]
pub fn text_scratch() -> Option<&'static mut ProcessText> {
    // SAFETY: as above.
    TEXT_SCRATCH
        .get_ptr_mut(0)
        .map(|text| unsafe { &mut *text })
}

#[inline(always)]
pub fn remember_script(process: u32, text: &ProcessText) {
    let _ = SCRIPTS.insert(process, text, u64::from(BPF_ANY));
}

#[inline(always)]
pub fn remember_arguments(process: u32, text: &ProcessText) {
    let _ = ARGUMENTS.insert(process, text, u64::from(BPF_ANY));
}

/// What policy calls an executable; 0 if it does not name it.
#[inline(always)]
pub fn exe_class(key: &ExeKey) -> u16 {
    // SAFETY: values of one word.
    let class = unsafe {
        EXE_CLASSES
            .get(key)
            .or_else(|| EXE_CLASSES.get(key.of_any_generation()))
    };
    class.map_or(0, |class| *class as u16)
}

/// What policy calls a user; 0 if it does not name it.
#[inline(always)]
pub fn user_class(user: u32) -> u16 {
    // SAFETY: a value of one word.
    unsafe { USER_CLASSES.get(user) }.map_or(0, |class| *class as u16)
}

#[inline(always)]
pub fn narrowed(key: &NarrowKey) -> Option<IdentityId> {
    // SAFETY: a value of one word.
    unsafe { NARROWED.get(key) }.copied()
}
