//! What container runtimes on this host say about a container: its name, its image, its pod.
//!
//! Read from the state that they keep on disk in places of root, so that no runtime has to answer
//! and none needs to be known beforehand. Engines of users are never asked: their names are theirs
//! to choose.

mod containerd;
mod docker;
mod image;
mod place;
mod storage;

use std::{cell::RefCell, path::Path};

use self::{place::Places, storage::Storage};

/// Of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInfo {
    /// In a pod, its name there; that of the sandbox is `POD`.
    pub name: Option<String>,
    /// In full, as in `docker.io/library/nginx:1.27`.
    pub image: Option<String>,
    pub pod: Option<PodInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInfo {
    /// Older runtimes leave it out.
    pub uid: Option<String>,
    pub namespace: String,
    pub name: String,
}

/// The runtimes of this host.
#[derive(Debug)]
pub struct ContainerRuntimes {
    places: Places,
    storage: RefCell<Storage>,
}

impl Default for ContainerRuntimes {
    fn default() -> Self {
        Self::below(Path::new("/"), 0)
    }
}

impl ContainerRuntimes {
    /// State below `root` instead of `/`, where only files of the user `owner` are believed.
    #[must_use]
    pub fn below(root: &Path, owner: u32) -> Self {
        Self {
            places: Places::new(root, owner),
            storage: RefCell::default(),
        }
    }

    /// `None`: no runtime knows a container of this id, or not yet.
    #[must_use]
    pub fn look_up(&self, id: &str) -> Option<ContainerInfo> {
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return None;
        }
        let Self { places, storage } = self;
        let found = containerd::look_up(places, id)
            .or_else(|| storage.borrow_mut().look_up(places, id))
            .or_else(|| docker::look_up(places, id))?;
        Some(found.without_oddities())
    }
}

impl ContainerInfo {
    /// Of a name by which engines for Kubernetes tell containers apart:
    /// `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`. No part has a `_`.
    fn from_kubernetes_name(name: &str, image: Option<String>) -> Option<Self> {
        let parts = name.split('_').collect::<Vec<_>>();
        let ["k8s", container, pod, namespace, uid, _attempt, ..] = parts.as_slice() else {
            return None;
        };
        Some(Self {
            name: Some((*container).to_owned()),
            image,
            pod: Some(PodInfo {
                uid: Some((*uid).to_owned()),
                namespace: (*namespace).to_owned(),
                name: (*pod).to_owned(),
            }),
        })
    }

    /// Leaves out what no runtime would write and nobody could read.
    fn without_oddities(self) -> Self {
        let is_plain =
            |text: &String| (1..=1024).contains(&text.len()) && !text.contains(char::is_control);
        let Self { name, image, pod } = self;
        Self {
            name: name.filter(is_plain),
            image: image.filter(is_plain),
            pod: pod.filter(|pod| {
                let uid = pod.uid.iter();
                uid.chain([&pod.namespace, &pod.name]).all(is_plain)
            }),
        }
    }
}

#[cfg(test)]
mod tests;
