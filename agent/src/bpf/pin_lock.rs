//! One agent for each directory of pins: a second one would put its own programs in the place of the
//! first one's, which would go on in the belief that it decides.

use std::{
    fs::{self, File},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::KernelError;

/// Held as long as an agent's pins are in a directory; a killed one holds nothing.
#[derive(Debug)]
pub struct PinLock {
    _held: Flock<File>,
}

impl PinLock {
    /// Makes the directory if it is not there. `None` if another process holds it.
    ///
    /// # Errors
    ///
    /// When it cannot be made or opened.
    pub fn take(pin_dir: &Path) -> Result<Option<Self>, KernelError> {
        let failed = |source| KernelError::io(pin_dir, source);
        fs::create_dir_all(pin_dir).map_err(failed)?;
        let directory = File::open(pin_dir).map_err(failed)?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Self { _held: held })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_once_and_free_again_afterwards() {
        let directory = tempfile::tempdir().expect("a directory");
        let pins = directory.path().join("pins");
        let held = PinLock::take(&pins).expect("a lock");
        assert!(held.is_some());
        assert!(PinLock::take(&pins).expect("an answer").is_none());
        drop(held);
        assert!(PinLock::take(&pins).expect("a lock").is_some());
    }
}
