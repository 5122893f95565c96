//! Reads the catalogue that is compiled in. `cargo xtask catalogue` writes it.

use ipnet::IpNet;
use serde::Deserialize;

use super::{Endpoint, HostPattern, Plane, Risk, Source};

const TEXT: &str = include_str!("../../data/catalogue.yaml");

/// The part of a `ModelEndpoint` document that the generator uses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: serde::de::IgnoredAny,
    #[serde(rename = "kind")]
    _kind: serde::de::IgnoredAny,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    #[serde(rename = "weir.dev/source")]
    source: String,
    /// Separated by blanks.
    #[serde(rename = "weir.dev/also-manage", default)]
    also_manage: String,
    #[serde(rename = "weir.dev/reseller", default)]
    reseller: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    provider: String,
    plane: String,
    hosts: Vec<String>,
    #[serde(default)]
    cidrs: Vec<String>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    shared: bool,
}

#[derive(Debug, thiserror::Error)]
enum BuiltinError {
    #[error("read the built-in catalogue")]
    Yaml(#[from] serde_saphyr::Error),
    #[error("read a host of the built-in catalogue")]
    Host(#[from] super::HostPatternError),
    #[error("read a network of the built-in catalogue")]
    Network(#[from] ipnet::AddrParseError),
    #[error("unknown plane `{0}` in the built-in catalogue")]
    Plane(String),
}

#[expect(
    clippy::expect_used,
    reason = "the text is compiled in, and a test reads all of it"
)]
pub(super) fn endpoints() -> Vec<Endpoint> {
    parse(TEXT).expect("the built-in catalogue is well formed")
}

fn parse(text: &str) -> Result<Vec<Endpoint>, BuiltinError> {
    let documents: Vec<Document> = serde_saphyr::from_multiple(text)?;
    documents.into_iter().map(endpoint).collect()
}

fn endpoint(document: Document) -> Result<Endpoint, BuiltinError> {
    let Document { metadata, spec, .. } = document;
    let Annotations {
        source,
        also_manage,
        reseller,
    } = metadata.annotations;
    let hosts = spec.hosts.iter().map(|host| HostPattern::parse(host));
    let cidrs = spec.cidrs.iter().map(|cidr| cidr.parse::<IpNet>());
    let also_manage = also_manage.split_whitespace().map(HostPattern::parse);
    let plane = Plane::ALL
        .into_iter()
        .find(|plane| plane.name() == spec.plane);
    Ok(Endpoint {
        name: metadata.name,
        provider: spec.provider,
        plane: plane.ok_or(BuiltinError::Plane(spec.plane))?,
        hosts: hosts.collect::<Result<_, _>>()?,
        cidrs: cidrs.collect::<Result<_, _>>()?,
        ports: if spec.ports.is_empty() {
            vec![Endpoint::DEFAULT_PORT]
        } else {
            spec.ports
        },
        risk: Risk::default(),
        shared: spec.shared,
        exclusive: false,
        source: Source::Catalogue {
            evidence: source,
            is_reseller: reseller == "true",
            also_manage: also_manage.collect::<Result<_, _>>()?,
        },
    })
}

#[cfg(test)]
mod tests;
