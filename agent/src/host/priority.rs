//! Which threads come first when the processors are busy.

#![expect(
    unsafe_code,
    reason = "no safe wrapper sets the priority of one thread"
)]

/// A new workload may call at once, so naming it must not wait behind it.
const NICE: libc::c_int = -10;

/// Lets this thread run before others. It may not be allowed to: then it waits like everybody.
pub fn prefer_this_thread() {
    // SAFETY: takes numbers only; 0 is the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "no priority for the thread that names cgroups");
    }
}
