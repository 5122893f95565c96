//! Debian's cloud kernels: the newest of a series, kept in the cache.
//!
//! The machine's own package sources are neither used nor changed: apt runs with private lists.

mod modules;
mod name;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};

pub(crate) use modules::modules;

use name::Name;

use crate::{
    apt::{Apt, Installed, Suite},
    paths, process,
};

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub release: String,
    pub file: PathBuf,
}

/// How long an image counts as the newest without asking again.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) fn check_series(series: &str) -> Result<()> {
    if !name::is_series(series) {
        bail!("`{series}` is no kernel series; write one as 6.1 or 6.12");
    }
    Ok(())
}

pub(crate) fn newest(series: &str) -> Result<Image> {
    check_series(series)?;
    let dir = paths::cache()?.join("kernels").join(series);
    let kept = kept(&dir);
    if let Some((image, age)) = &kept
        && *age < FRESH
    {
        return Ok(image.clone());
    }
    match (download(series, &dir), kept) {
        (Ok(image), _) => Ok(image),
        (Err(error), Some((image, _))) => {
            eprintln!("warning: {error:#}; using the older {}", image.release);
            Ok(image)
        }
        (Err(error), None) => Err(error),
    }
}

/// The image of an earlier run and its age.
fn kept(dir: &Path) -> Option<(Image, Duration)> {
    let release = fs::read_to_string(dir.join("release")).ok()?;
    let file = dir.join(format!("vmlinuz-{release}"));
    let written = fs::metadata(dir.join("release")).ok()?.modified().ok()?;
    let age = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default();
    file.is_file().then_some((Image { release, file }, age))
}

/// Between them they have every series from 5.10 on. The oldest has no backports any more.
fn suites() -> Vec<Suite> {
    let oldest = [
        ("debian", "bullseye".to_owned()),
        ("debian-security", "bullseye-security".to_owned()),
    ];
    let newer = ["bookworm", "trixie"].into_iter().flat_map(|release| {
        [
            ("debian", release.to_owned()),
            ("debian-security", format!("{release}-security")),
            ("debian", format!("{release}-backports")),
        ]
    });
    oldest.into_iter().chain(newer).collect()
}

/// A package can be in the index and no longer in the archive: the next newest then serves.
fn download(series: &str, dir: &Path) -> Result<Image> {
    println!("looking for the newest Debian {series} kernel");
    let apt = Apt::prepare(&paths::cache()?.join("apt"), &suites(), Installed::Nothing)?;
    let names = name::of_series(series, &apt.package_names("linux-image-")?);
    let mut last_error = None;
    for name in &names {
        match install(&apt, name, dir) {
            Ok(image) => return Ok(image),
            Err(error) => {
                eprintln!("warning: {error:#}");
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) => Err(error.context(format!("download a {series} kernel"))),
        None => bail!("Debian has no {series} cloud kernel; choose another series"),
    }
}

fn install(apt: &Apt, name: &Name, dir: &Path) -> Result<Image> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let scratch = tempfile::tempdir_in(dir).context("create a scratch directory")?;
    let tree = scratch.path().join("tree");
    for package in [name.image(), name.binary()] {
        let archive = apt.download(&package, scratch.path())?;
        let mut unpack = Command::new("dpkg-deb");
        process::output(unpack.arg("-x").arg(archive).arg(&tree))?;
        if let Some(found) = name.find_in(&tree) {
            let file = dir.join(format!("vmlinuz-{}", name.release));
            fs::rename(&found, &file).with_context(|| format!("keep {}", file.display()))?;
            fs::write(dir.join("release"), &name.release).context("note the kernel's release")?;
            return Ok(Image {
                release: name.release.clone(),
                file,
            });
        }
    }
    bail!("no kernel in {} or {}", name.image(), name.binary())
}
