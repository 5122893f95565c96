//! What this machine is called.

/// Name of the host; empty where it has none.
#[must_use]
pub fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
