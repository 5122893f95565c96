//! containerd: the bundle of each running container, whose annotations are written by its plugin
//! for Kubernetes and by nerdctl.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;

use super::{ContainerInfo, PodInfo, image, place::Places};

/// Directories of bundles, by namespace of containerd and id.
const TASKS: [&str; 2] = [
    "io.containerd.runtime.v2.task",
    "io.containerd.runtime.v1.linux",
];

/// More namespaces than anybody has.
const MAX_NAMESPACES: usize = 64;

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

pub(super) fn look_up(places: &Places, id: &str) -> Option<ContainerInfo> {
    let bundles = bundles(places, id).into_iter();
    let bundles = bundles.filter_map(|file| places.read::<Bundle>(&file));
    bundles.filter_map(|bundle| told(&bundle)).next()
}

fn bundles(places: &Places, id: &str) -> Vec<PathBuf> {
    let tasks = places
        .containerd
        .iter()
        .flat_map(|place| TASKS.map(|tasks| place.join(tasks)));
    let mut bundles = Vec::new();
    for directory in tasks {
        let Ok(namespaces) = fs::read_dir(directory) else {
            continue;
        };
        let namespaces = namespaces.flatten().take(MAX_NAMESPACES);
        bundles.extend(namespaces.map(|namespace| namespace.path().join(id).join("config.json")));
    }
    bundles
}

/// `None`: somebody else, such as Docker, uses containerd and keeps names to itself.
fn told(bundle: &Bundle) -> Option<ContainerInfo> {
    let get = |name: &str| bundle.annotations.get(name).cloned();
    let of_cri = |name: &str| get(&format!("io.kubernetes.cri.{name}"));
    let names = of_cri("sandbox-namespace").zip(of_cri("sandbox-name"));
    let pod = names.map(|(namespace, name)| PodInfo {
        uid: of_cri("sandbox-uid"),
        namespace,
        name,
    });
    let name = match of_cri("container-type").as_deref() {
        Some("sandbox") => Some("POD".to_owned()),
        Some(_) | None => of_cri("container-name").or_else(|| get("nerdctl/name")),
    };
    if name.is_none() && pod.is_none() {
        return None;
    }
    Some(ContainerInfo {
        name,
        image: of_cri("image-name").map(|image| image::in_full(&image)),
        pod,
    })
}
