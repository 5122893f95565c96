//! Docker: `containers/<id>/config.v2.json` below its data directory.

use serde::Deserialize;

use super::{ContainerInfo, image, place::Places};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(rename = "ID")]
    id: String,
    /// With a slash before it.
    name: Option<String>,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: Option<String>,
}

pub(super) fn look_up(places: &Places, id: &str) -> Option<ContainerInfo> {
    let files = places
        .docker
        .iter()
        .map(|place| place.join("containers").join(id).join("config.v2.json"));
    let container: Container = files.filter_map(|file| places.read(&file)).next()?;
    if container.id != id {
        return None;
    }
    let image = container.config.and_then(|config| config.image);
    let image = image.map(|image| image::in_full(&image));
    let name = container.name.unwrap_or_default();
    let name = name.trim_start_matches('/');
    ContainerInfo::from_kubernetes_name(name, image.clone()).or_else(|| {
        Some(ContainerInfo {
            name: (!name.is_empty()).then(|| name.to_owned()),
            image,
            pod: None,
        })
    })
}
