//! Ways to touch kernel memory that the compiler has no name for.

use core::arch::asm;

/// Where the running kernel keeps the structure member that the `Offsets` field names.
macro_rules! offset {
    ($field:ident) => {
        $crate::maps::kernel_offset(core::mem::offset_of!(
            agent_common::settings::Offsets,
            $field
        ))
    };
}
pub(crate) use offset;

use aya_ebpf::{bindings::bpf_sock, helpers::bpf_probe_read_kernel};

/// Adds to a counter that other CPUs add to at the same time.
///
/// The target has no compare-and-swap, so the standard library offers no atomic for it.
///
/// # Safety
///
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn atomic_add(counter: *mut u64, amount: u64) {
    // SAFETY: the caller's promise; the instruction writes nothing else.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
            options(nostack),
        );
    }
}

/// The same number, of which the verifier knows nothing any more: it would otherwise follow each
/// value that it has found possible through all that comes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn forget(number: u64) -> u64 {
    number
}

/// The address of a socket as a plain one, from which [`read`] can read: the verifier forbids
/// arithmetic on the pointer itself.
#[inline(always)]
pub fn address_of(socket: *mut bpf_sock) -> Option<*const u8> {
    let slot = socket;
    // SAFETY: the slot is on the stack and holds a pointer.
    unsafe { bpf_probe_read_kernel((&raw const slot).cast::<*const u8>()) }.ok()
}

/// The pointer that lies `offset` bytes into a structure, of which the verifier knows the type. Null
/// if there is none.
///
/// # Safety
///
/// `base` is a pointer that the kernel has handed in, and at `offset`, a constant, there is a
/// pointer to a `T`.
#[inline(always)]
pub unsafe fn follow<T>(base: *const u8, offset: usize) -> *mut T {
    // SAFETY: the caller's promise, and the verifier checks it. Volatile: read once, where it says.
    unsafe { core::ptr::read_volatile(base.wrapping_add(offset).cast::<*mut T>()) }
}

/// Reads a member of a kernel structure; `None` if the page is not there.
///
/// # Safety
///
/// `base + offset` is where the running kernel keeps a `T`.
#[inline(always)]
pub unsafe fn read<T: Copy>(base: *const u8, offset: usize) -> Option<T> {
    // SAFETY: the helper checks the address; the caller vouches for the meaning.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset).cast::<T>()) }.ok()
}
