//! The guest's file system: busybox, the agent and the init script in one cpio archive.
//!
//! Not compressed: QEMU hands it over in one copy, and an emulated CPU unpacks slowly.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{paths, process};

/// Mounts what a host has; what follows runs in the guest, whose last act it is.
const INIT: &str = include_str!("init.sh");
const DIRECTORIES: [&str; 9] = [
    "bin", "dev", "etc", "modules", "proc", "run", "sys", "tmp", "var/lib",
];

/// With these files at these places, and `script` to be run by the shell.
pub(crate) fn pack(files: &[(&Path, &str)], script: &str, archive: &Path) -> Result<()> {
    let root = tempfile::tempdir().context("create a scratch directory")?;
    populate(root.path(), files, script)?;
    let file =
        fs::File::create(archive).with_context(|| format!("create {}", archive.display()))?;
    let mut cpio = Command::new("cpio");
    cpio.args(["-o", "-H", "newc", "--quiet", "-R", "0:0", "-D"])
        .arg(root.path());
    let mut child = cpio
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .context("run `cpio`")?;
    if let Some(mut stdin) = child.stdin.take() {
        let names = file_names(root.path(), Path::new(""))?.join("\n");
        stdin
            .write_all(names.as_bytes())
            .context("hand the file names to `cpio`")?;
    }
    let status = child.wait().context("wait for `cpio`")?;
    process::expect_success(&cpio, status)
}

fn populate(root: &Path, files: &[(&Path, &str)], script: &str) -> Result<()> {
    for dir in DIRECTORIES {
        fs::create_dir_all(root.join(dir))
            .with_context(|| format!("create /{dir} of the guest"))?;
    }
    let busybox = paths::program("busybox").context("no busybox; run `cargo xtask setup`")?;
    for (from, to) in files
        .iter()
        .copied()
        .chain([(busybox.as_path(), "bin/busybox")])
    {
        fs::copy(from, root.join(to)).with_context(|| format!("copy {}", from.display()))?;
    }
    let init = root.join("init");
    fs::write(
        &init,
        format!("{INIT}{script}echo \"guest: exit $?\"\npoweroff -f\n"),
    )
    .context("write /init of the guest")?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))
        .context("make /init of the guest executable")
}

/// Relative names, each directory before what is in it, as cpio wants them.
fn file_names(root: &Path, below: &Path) -> Result<Vec<String>> {
    let dir = root.join(below);
    let entries = fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        let name = below.join(entry.file_name());
        names.push(name.display().to_string());
        if entry.path().is_dir() {
            names.extend(file_names(root, &name)?);
        }
    }
    Ok(names)
}
