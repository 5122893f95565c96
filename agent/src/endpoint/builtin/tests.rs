//! What the built-in catalogue promises.

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
        let Source::Catalogue { evidence, .. } = &endpoint.source else {
            panic!("{} is not from the catalogue", endpoint.name);
        };
        assert!(
            !evidence.is_empty() && !evidence.contains("RECALLED"),
            "{}",
            endpoint.name
        );
        assert!(!endpoint.hosts.is_empty(), "{}", endpoint.name);
        let has_own_networks = endpoint.cidrs.iter().all(|net| *net == net.trunc());
        assert!(has_own_networks, "{}", endpoint.name);
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
fn management_is_kept_apart_from_calls() {
    use Plane::{Invoke, Manage};
    let plane = |host: &str| {
        let found = Catalogue::builtin().match_host(host);
        let first = found.first().unwrap_or_else(|| panic!("{host} is unknown"));
        (first.plane, first.also_manages())
    };
    for host in [
        "bedrock.eu-west-1.amazonaws.com",
        "bedrock-fips.us-gov-west-1.amazonaws.com",
        "bedrock.eu-west-1.api.aws",
        "bedrock.cn-north-1.amazonaws.com.cn",
        "api.sagemaker.eu-west-1.amazonaws.com",
        "api-fips.sagemaker.us-east-1.amazonaws.com",
        "vpce-1.api.sagemaker.us-east-1.vpce.amazonaws.com",
        "management.azure.com",
        "management.usgovcloudapi.net",
    ] {
        assert_eq!(plane(host), (Manage, false), "{host}");
    }
    for host in [
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
        "bedrock-runtime.eu-west-1.api.aws",
        "bedrock-runtime.cn-north-1.amazonaws.com.cn",
        "bedrock-runtime.eusc-de-east-1.amazonaws.eu",
        "runtime.sagemaker.eu-west-1.amazonaws.com",
        "vpce-1.runtime.sagemaker.us-east-1.vpce.amazonaws.com",
        "x.models.ai.azure.com",
        "generativelanguage.googleapis.com",
    ] {
        assert_eq!(plane(host), (Invoke, false), "{host}");
    }
    for host in [
        "x.openai.azure.com",
        "x.privatelink.openai.azure.com",
        "x.openai.azure.us",
        "x.privatelink.openai.azure.us",
        "x.cognitiveservices.azure.com",
        "x.cognitiveservices.azure.us",
        "x.services.ai.azure.com",
        "x.privatelink.services.ai.azure.com",
        "aiplatform.googleapis.com",
        "europe-west4-aiplatform.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
    ] {
        assert_eq!(plane(host), (Invoke, true), "{host}");
    }
}

#[test]
fn nothing_that_only_somebody_remembers_is_an_endpoint() {
    for host in [
        "x.openai.azure.cn",
        "x.services.ai.azure.us",
        "gemini.google.com",
    ] {
        assert!(Catalogue::builtin().match_host(host).is_empty(), "{host}");
    }
}

#[test]
fn resellers_are_marked() {
    let is_reseller = |name: &str| {
        let endpoint = Catalogue::builtin().get(name).expect("known");
        matches!(
            endpoint.source,
            Source::Catalogue {
                is_reseller: true,
                ..
            }
        )
    };
    for name in ["openrouter", "aihubmix", "api2d", "vercel-ai-gateway"] {
        assert!(is_reseller(name), "{name}");
    }
    for name in ["openai", "anthropic", "azure-openai", "encrypted-dns/quad9"] {
        assert!(!is_reseller(name), "{name}");
    }
}

#[test]
fn resolvers_are_found_by_name_and_address_and_are_no_model_provider() {
    let catalogue = Catalogue::builtin();
    for host in [
        "dns.google",
        "cloudflare-dns.com",
        "mozilla.cloudflare-dns.com",
        "chrome.cloudflare-dns.com",
        "one.one.one.one",
        "dns.quad9.net",
        "doh.opendns.com",
        "dns.nextdns.io",
        "doh.cleanbrowsing.org",
        "dns.adguard-dns.com",
        "dns.mullvad.net",
    ] {
        let found = catalogue.match_host(host);
        assert_eq!(found.len(), 1, "{host}");
        assert_eq!(
            found.first().map(|found| found.plane),
            Some(Plane::Resolve),
            "{host}"
        );
    }
    for address in [
        "8.8.8.8",
        "8.8.4.4",
        "1.1.1.1",
        "1.0.0.1",
        "9.9.9.9",
        "149.112.112.112",
        "208.67.222.222",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2620:fe::fe",
    ] {
        let found = catalogue.match_address(address.parse().expect("an address"));
        assert_eq!(found.len(), 1, "{address}");
    }
    let resolvers = catalogue.select(Endpoint::ENCRYPTED_DNS);
    assert!(resolvers.len() > 10);
    for (name, endpoint) in resolvers {
        assert_eq!(
            (endpoint.plane, endpoint.ports.as_slice()),
            (Plane::Resolve, [443, 853].as_slice())
        );
        assert_eq!(catalogue.select(&endpoint.provider).len(), 1, "{name}");
    }
}

#[test]
fn ordinary_hosts_are_nobodys_endpoint() {
    for host in [
        "example.com",
        "github.com",
        "s3.us-east-1.amazonaws.com",
        "www.google.com",
        "notopenai.com",
        "openai.com.evil.org",
        "api.openai.com.evil.org",
        "openai.azure.com",
        "xbedrock-runtime.us-east-1.amazonaws.com",
        "aiplatform.googleapis.com.evil.org",
    ] {
        assert!(Catalogue::builtin().match_host(host).is_empty(), "{host}");
    }
}

#[test]
fn more_than_a_hundred_providers_are_known() {
    assert!(Catalogue::builtin().providers().count() > 100);
}
