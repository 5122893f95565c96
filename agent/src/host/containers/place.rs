//! Where runtimes keep their state, and how much of it is believed.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use nix::fcntl::OFlag;
use serde::{Deserialize, de::DeserializeOwned};

use crate::error_chain;

/// No configuration of a container comes near it.
const LARGEST: u64 = 16 << 20;

const DOCKER: [&str; 2] = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
const DOCKER_SETTINGS: &str = "etc/docker/daemon.json";

const CONTAINERD: [&str; 4] = [
    "run/containerd",
    "run/k3s/containerd",
    "run/k0s/containerd",
    "var/snap/microk8s/common/run/containerd",
];

/// Of Podman, Buildah and CRI-O: what is kept, and what a reboot clears.
const STORAGE: [&str; 2] = ["var/lib/containers/storage", "run/containers/storage"];
const STORAGE_SETTINGS: &str = "etc/containers/storage.conf";

#[derive(Debug)]
pub(super) struct Places {
    pub docker: Vec<PathBuf>,
    pub containerd: Vec<PathBuf>,
    pub storage: Vec<PathBuf>,
    owner: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DockerSettings {
    data_root: Option<String>,
}

#[derive(Deserialize)]
struct StorageSettings {
    #[serde(default)]
    storage: StorageRoots,
}

#[derive(Default, Deserialize)]
struct StorageRoots {
    graphroot: Option<String>,
    runroot: Option<String>,
}

/// Changes whenever a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl Places {
    pub(super) fn new(root: &Path, owner: u32) -> Self {
        let below = |places: &[&str]| places.iter().map(|place| root.join(place)).collect();
        let mut places = Self {
            docker: below(&DOCKER),
            containerd: below(&CONTAINERD),
            storage: below(&STORAGE),
            owner,
        };
        let moved = |place: String| root.join(place.trim_start_matches('/'));
        let docker: Option<DockerSettings> = places.read(&root.join(DOCKER_SETTINGS));
        let docker = docker.and_then(|settings| settings.data_root);
        places.docker.extend(docker.map(moved));
        let storage = places.bytes(&root.join(STORAGE_SETTINGS)).ok();
        let storage = storage.and_then(|text| toml::from_slice::<StorageSettings>(&text).ok());
        let StorageRoots { graphroot, runroot } =
            storage.map(|settings| settings.storage).unwrap_or_default();
        let roots = [graphroot, runroot].into_iter().flatten();
        places.storage.extend(roots.map(moved));
        places
    }

    pub(super) fn stamp(path: &Path) -> Option<Stamp> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// `None` if there is no such file, or none that can be believed and read.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let text = match self.bytes(path) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return None;
            }
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "state of a container not read");
                return None;
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(|error| {
                let (error, path) = (error_chain(error), path.display());
                tracing::debug!(error, %path, "state of a container not understood");
            })
            .ok()
    }

    fn bytes(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        // Neither waits for a pipe nor follows a link.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)?;
        let metadata = file.metadata()?;
        let refused = |why: &str| std::io::Error::new(ErrorKind::InvalidData, why.to_owned());
        if !metadata.is_file() || metadata.uid() != self.owner {
            return Err(refused("not a file of root"));
        }
        let mut text = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LARGEST {
            return Err(refused("larger than any state of a container"));
        }
        Ok(text)
    }
}
