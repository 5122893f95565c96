//! A root file system with systemd, which end-to-end tests boot in a container: Debian's packages,
//! unpacked into the cache, once.

use std::{fs, io, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{paths, process};

const SUITE: &str = "bookworm";

/// Makes it, unless it is there.
pub(crate) fn ensure() -> Result<()> {
    let into = paths::machine()?;
    if into.is_dir() {
        return Ok(());
    }
    if paths::program("mmdebstrap").is_none() {
        bail!("mmdebstrap is missing, which makes a root file system for tests");
    }
    println!("making a root file system with systemd from Debian's packages: a minute, once");
    // In the end in one step: what is there is whole.
    let draft = into.with_extension("draft");
    remove(&draft)?;
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase", "--include=systemd,dbus"]);
    process::run(make.arg(SUITE).arg(&draft))?;
    fs::rename(&draft, &into).with_context(|| format!("rename {}", draft.display()))?;
    println!("a root file system with systemd is in {}", into.display());
    Ok(())
}

/// What a run that was cut off has left.
fn remove(draft: &Path) -> Result<()> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", draft.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
