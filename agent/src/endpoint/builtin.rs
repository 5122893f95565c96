//! Reads the catalogue that is compiled in. `cargo xtask catalogue` writes it.

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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    provider: String,
    plane: String,
    hosts: Vec<String>,
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
    let hosts = spec.hosts.iter().map(|host| HostPattern::parse(host));
    let plane = Plane::ALL
        .into_iter()
        .find(|plane| plane.name() == spec.plane);
    Ok(Endpoint {
        name: metadata.name,
        provider: spec.provider,
        plane: plane.ok_or(BuiltinError::Plane(spec.plane))?,
        hosts: hosts.collect::<Result<_, _>>()?,
        cidrs: Vec::new(),
        ports: if spec.ports.is_empty() {
            vec![Endpoint::DEFAULT_PORT]
        } else {
            spec.ports
        },
        risk: Risk::default(),
        shared: spec.shared,
        source: Source::Catalogue {
            evidence: metadata.annotations.source,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::endpoint::Catalogue;

    #[test]
    fn the_catalogue_reads_and_every_endpoint_has_evidence() {
        let endpoints = parse(TEXT).expect("well formed");
        let names = endpoints
            .iter()
            .map(|endpoint| &endpoint.name)
            .collect::<BTreeSet<_>>();
        assert_eq!(names.len(), endpoints.len(), "names are unique");
        for endpoint in &endpoints {
            let Source::Catalogue { evidence } = &endpoint.source else {
                panic!("{} is not from the catalogue", endpoint.name);
            };
            assert!(
                !evidence.is_empty() && !evidence.contains("RECALLED"),
                "{}",
                endpoint.name
            );
            assert!(!endpoint.hosts.is_empty(), "{}", endpoint.name);
        }
    }

    fn check(host: &str, name: &str, provider: &str, plane: Plane, shared: bool) {
        let found = Catalogue::builtin().match_host(host);
        let first = found
            .first()
            .unwrap_or_else(|| panic!("{host} is unknown"))
            .endpoint;
        assert_eq!(
            (
                first.name.as_str(),
                first.provider.as_str(),
                first.plane,
                first.shared
            ),
            (name, provider, plane, shared),
            "{host}"
        );
    }

    #[test]
    fn well_known_hosts_lead_to_their_endpoint() {
        use Plane::{Invoke, Manage};
        check("api.anthropic.com", "anthropic", "anthropic", Invoke, false);
        check("claude.ai", "anthropic/shared", "anthropic", Invoke, true);
        check(
            "console.anthropic.com",
            "anthropic/manage",
            "anthropic",
            Manage,
            false,
        );
        check("eu.api.openai.com", "openai", "openai", Invoke, false);
        check(
            "x.openai.azure.com",
            "azure-openai",
            "azure-openai",
            Invoke,
            false,
        );
        check(
            "us-central1-aiplatform.googleapis.com",
            "google-vertex",
            "google-vertex",
            Invoke,
            false,
        );
        check(
            "api.cloudflare.com",
            "cloudflare-workers-ai",
            "cloudflare-workers-ai",
            Invoke,
            true,
        );
        check(
            "huggingface.co",
            "huggingface-hub",
            "huggingface-hub",
            Invoke,
            true,
        );
        let aws = "aws-bedrock";
        let region = "bedrock-runtime.us-east-1.amazonaws.com";
        check(region, "bedrock-runtime/us-east-1", aws, Invoke, false);
        check(
            "bedrock-runtime.xx-new-1.amazonaws.com",
            "bedrock-runtime",
            aws,
            Invoke,
            false,
        );
        check(
            "bedrock-fips.us-east-1.amazonaws.com",
            "bedrock/us-east-1",
            aws,
            Manage,
            false,
        );
        check(
            "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
            "bedrock-runtime",
            aws,
            Invoke,
            false,
        );
    }

    #[test]
    fn ordinary_hosts_are_nobodys_endpoint() {
        for host in [
            "example.com",
            "github.com",
            "s3.us-east-1.amazonaws.com",
            "www.google.com",
        ] {
            assert!(Catalogue::builtin().match_host(host).is_empty(), "{host}");
        }
    }

    #[test]
    fn more_than_a_hundred_providers_are_known() {
        assert!(Catalogue::builtin().providers().count() > 100);
    }
}
