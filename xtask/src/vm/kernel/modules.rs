//! Modules of the network, beside a kernel: what the kernel itself does not hold.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{Image, name, newest, suites};
use crate::{
    apt::{Apt, Installed},
    paths, process,
};

/// Where they are in a package, below the directory of the release.
const PARTS: [&str; 4] = [
    "kernel/net",
    "kernel/drivers/net",
    "kernel/lib",
    "kernel/crypto",
];

/// Those of `names` that the newest kernel of a series has, in this order, unpacked into `into`.
pub(crate) fn modules(series: &str, names: &[&str], into: &Path) -> Result<Vec<PathBuf>> {
    let image = newest(series)?;
    let kept = paths::cache()?
        .join("kernels")
        .join(series)
        .join(format!("modules-{}", image.release));
    if !kept.is_dir() {
        download(series, &image, &kept)?;
    }
    let mut found = Vec::new();
    for name in names {
        let (plain, packed) = (format!("{name}.ko"), format!("{name}.ko.xz"));
        if kept.join(&plain).is_file() {
            found.push(kept.join(plain));
        } else if kept.join(&packed).is_file() {
            let file = into.join(plain);
            let output =
                fs::File::create(&file).with_context(|| format!("create {}", file.display()))?;
            let mut unpack = Command::new("xz");
            unpack
                .args(["--decompress", "--stdout"])
                .arg(kept.join(packed))
                .stdout(output);
            process::run_quietly(&mut unpack)?;
            found.push(file);
        }
    }
    Ok(found)
}

fn download(series: &str, image: &Image, kept: &Path) -> Result<()> {
    println!("fetching modules of {}", image.release);
    let apt = Apt::prepare(&paths::cache()?.join("apt"), &suites(), Installed::Nothing)?;
    let names = name::of_series(series, &apt.package_names("linux-image-")?);
    let same = names
        .into_iter()
        .filter(|name| name.release == image.release);
    let mut last_error = None;
    for name in same {
        match keep(&apt, &name.image(), &image.release, kept) {
            Ok(()) => return Ok(()),
            Err(error) => last_error = Some(error),
        }
    }
    match last_error {
        Some(error) => Err(error),
        None => bail!(
            "Debian has the package of {} no more; remove {}",
            image.release,
            kept.display()
        ),
    }
}

/// In the end in one step: what is there is whole.
fn keep(apt: &Apt, package: &str, release: &str, kept: &Path) -> Result<()> {
    let parent = kept.parent().context("a directory of the cache")?;
    let scratch = tempfile::tempdir_in(parent).context("create a scratch directory")?;
    let archive = apt.download(package, scratch.path())?;
    let tree = scratch.path().join("tree");
    process::output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&tree))?;
    let draft = scratch.path().join("modules");
    fs::create_dir(&draft).context("create a scratch directory")?;
    for part in PARTS {
        for root in ["lib", "usr/lib"] {
            collect(
                &tree.join(root).join("modules").join(release).join(part),
                &draft,
            )?;
        }
    }
    fs::rename(&draft, kept).with_context(|| format!("keep {}", kept.display()))
}

/// Names of modules are unique in a kernel.
fn collect(from: &Path, into: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(from).with_context(|| format!("list {}", from.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("list {}", from.display()))?
            .path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if let Some(name) = path.file_name() {
            fs::rename(&path, into.join(name))
                .with_context(|| format!("keep {}", path.display()))?;
        }
    }
    Ok(())
}
