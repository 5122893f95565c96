//! Places at which tests kill the agent. A release build has none.

/// Environment variable that names the place.
#[cfg(debug_assertions)]
const VARIABLE: &str = "WEIR_FAULT";

/// Ends this process, as `kill -9` would, if a test has asked for that here.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use nix::sys::signal::{Signal, raise};

    if std::env::var(VARIABLE).is_ok_and(|asked| asked == name) {
        // It cannot be refused to a process by itself.
        let _ = raise(Signal::SIGKILL);
    }
}

#[cfg(not(debug_assertions))]
pub const fn point(_: &str) {}

/// Tells a test that it is heard.
pub fn announce() {
    #[cfg(debug_assertions)]
    if let Ok(asked) = std::env::var(VARIABLE) {
        tracing::warn!("fault point {asked} is armed");
    }
}
