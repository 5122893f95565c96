//! Gives memory back that starting has used once: the kernel's type information, the catalogue.

#![expect(unsafe_code, reason = "the allocator's trim has no safe wrapper")]

/// Returns free heap pages to the kernel.
pub fn give_back() {
    // SAFETY: may be called at any time; it only releases pages that hold nothing.
    unsafe { libc::malloc_trim(0) };
}
