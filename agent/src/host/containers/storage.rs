//! The storage that Podman, Buildah and CRI-O share: one list of all containers for each driver.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::{
    ContainerInfo, image,
    place::{Places, Stamp},
};

const LISTS: [&str; 6] = [
    "overlay-containers/containers.json",
    "overlay-containers/volatile-containers.json",
    "vfs-containers/containers.json",
    "vfs-containers/volatile-containers.json",
    "btrfs-containers/containers.json",
    "zfs-containers/containers.json",
];

/// Every list that has been read, as it was then.
#[derive(Debug, Default)]
pub(super) struct Storage {
    lists: BTreeMap<PathBuf, (Stamp, BTreeMap<String, ContainerInfo>)>,
}

#[derive(Deserialize)]
struct Container {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON in its turn.
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Metadata {
    name: Option<String>,
    image_name: Option<String>,
}

impl Storage {
    pub(super) fn look_up(&mut self, places: &Places, id: &str) -> Option<ContainerInfo> {
        let files = places
            .storage
            .iter()
            .flat_map(|place| LISTS.map(|list| place.join(list)));
        for file in files {
            let Some(stamp) = Places::stamp(&file) else {
                self.lists.remove(&file);
                continue;
            };
            let is_current = |(of, _): &(Stamp, _)| *of == stamp;
            if !self.lists.get(&file).is_some_and(is_current) {
                let list: Vec<Container> = places.read(&file).unwrap_or_default();
                let containers = list.into_iter().map(told).collect();
                self.lists.insert(file.clone(), (stamp, containers));
            }
            let found = self.lists.get(&file).and_then(|(_, list)| list.get(id));
            if let Some(found) = found {
                return Some(found.clone());
            }
        }
        None
    }
}

fn told(container: Container) -> (String, ContainerInfo) {
    let Container {
        id,
        names,
        metadata,
    } = container;
    let metadata: Metadata = serde_json::from_str(&metadata).unwrap_or_default();
    let name = names.into_iter().next().or(metadata.name);
    let image = metadata.image_name.filter(|image| !image.is_empty());
    let image = image.map(|image| image::in_full(&image));
    let of_pod = name
        .as_ref()
        .and_then(|name| ContainerInfo::from_kubernetes_name(name, image.clone()));
    let info = of_pod.unwrap_or(ContainerInfo {
        name,
        image,
        pod: None,
    });
    (id, info)
}
