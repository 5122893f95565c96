//! What the agent knows, as wire types.

use std::net::IpAddr;

use agent_common::{destination::ANY_PORT, loss::Loss};

use super::internal;
use crate::{
    api::{
        error::ApiError,
        types::{
            BrokenGlass, Capacity, Endpoint, EndpointMatch, EndpointMatches, HookCoverage,
            Identity, IdentityList, Kubernetes, LossCount, NamingLatency, RefusedConnections,
            SimilarHost, Status,
        },
    },
    bpf::{Attachment, close_source_name},
    daemon::{Core, KubernetesView, StatusView},
    endpoint::{self, Catalogue, Source},
    identity::{Labels, LocalUser},
    kube::inventory::State,
    store::KnownIdentity,
};

/// What this version does not see or stop, for `weir status`.
const LIMITS: [&str; 8] = [
    "names are read in TLS, HTTP/1, CONNECT and SOCKS requests; a caller that fronts one name with \
     another, behind a shared address, is judged by the name that it shows first",
    "names inside encrypted DNS, and in answers over TCP that come in parts, are not seen; the \
     connection is then judged by its first packets",
    "in observe mode, a connection to an address that no answer of the DNS told is not attributed",
    "data on a connection that another workload has made is seen only with `watch_sends` or `lsm` in \
     the configuration",
    "packet sockets are refused only with `lsm` in the configuration, and raw sockets that are older \
     than the agent are not seen",
    "a forward proxy or helper in another workload calls with that workload's rights",
    "bytes of UDP and QUIC are not counted",
    "root can detach the programs",
];

pub(super) fn status(view: StatusView) -> Status {
    let StatusView {
        mode,
        revision,
        revision_installed_at,
        policy_errors,
        policy_warnings,
        cgroup,
        started_at,
        kernel,
        coverage,
        close_source,
        close_fallback,
        resolvers,
        ended: [ended, gone, not_ended],
        naming,
        capacity,
        losses,
        identities,
        endpoints,
        grants,
        waiting,
        broken_glass,
        findings,
        hosts,
        hosts_resolved,
        kubernetes,
    } = view;
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: mode.name().to_owned(),
        revision,
        revision_installed_at,
        policy_errors,
        policy_warnings,
        cgroup,
        started_at,
        kernel,
        hooks: coverage
            .into_iter()
            .map(|hook| HookCoverage {
                hook: hook.program.to_owned(),
                purpose: hook.purpose.to_owned(),
                state: match &hook.attachment {
                    Ok(Attachment::Created) => "created",
                    Ok(Attachment::Adopted) => "adopted",
                    Err(_) => "unavailable",
                }
                .to_owned(),
                why: hook.attachment.err(),
            })
            .collect(),
        close_source: close_source_name(close_source).to_owned(),
        close_fallback,
        resolvers,
        refused: RefusedConnections {
            ended,
            gone,
            not_ended,
        },
        naming: naming.map(|naming| NamingLatency {
            count: naming.count,
            median_us: naming.median_us,
            p99_us: naming.p99_us,
            max_us: naming.max_us,
        }),
        capacity: capacity
            .into_iter()
            .map(|map| Capacity {
                what: map.what.to_owned(),
                used: map.used as u64,
                limit: map.limit.into(),
            })
            .collect(),
        losses: losses
            .into_iter()
            .map(|(loss, count)| LossCount {
                reason: loss.name().to_owned(),
                count,
                meaning: meaning(loss).to_owned(),
            })
            .collect(),
        identities: identities as u64,
        endpoints: endpoints as u64,
        grants: grants as u64,
        waiting,
        findings,
        broken_glass: broken_glass
            .into_iter()
            .map(|(grant, until, by)| BrokenGlass {
                grant,
                by: by.to_string(),
                until,
            })
            .collect(),
        hosts: hosts as u64,
        hosts_resolved: hosts_resolved as u64,
        kubernetes: kubernetes.map(kubernetes_wire),
        limits: LIMITS.map(ToOwned::to_owned).to_vec(),
    }
}

fn kubernetes_wire(view: KubernetesView) -> Kubernetes {
    let KubernetesView {
        source,
        node,
        pods,
        unresolved,
        state,
        current_at,
        age,
    } = view;
    let (away_since, why) = match state {
        State::Connected => (None, None),
        State::Away { since, why } => (Some(since), Some(why)),
    };
    Kubernetes {
        source: source.to_owned(),
        node,
        pods: pods as u64,
        unresolved: unresolved as u64,
        connected: away_since.is_none(),
        away_since,
        why,
        age_seconds: age.and_then(|age| age.as_secs().try_into().ok()),
        current_at,
    }
}

const fn meaning(loss: Loss) -> &'static str {
    match loss {
        Loss::EventRingFull => "events are missing from `weir events`; verdicts and counts are not",
        Loss::CounterMapFull => {
            "counted without identity and endpoint; raise the limit or remove idle identities"
        }
        Loss::IdentityMapFull => "cgroups beyond the limit are judged as their ancestor",
        Loss::UnknownCgroup => "connections were judged by the host's default posture",
        Loss::CloseUnattributed => "connections ended whose bytes are not counted",
        Loss::RefusalRingFull => {
            "refused connections were cut off but not ended: their callers wait for a timeout"
        }
        Loss::InspectionFailed => {
            "sockets had no room for their first packets: judged as undecidable"
        }
        Loss::AnswerUnread => {
            "answers of the DNS were malformed or cut off: what they tell is found out later"
        }
        Loss::CgroupRingFull => "cgroups were found late: judged as their parent until then",
        Loss::ProcessMapFull => {
            "processes whose executable is unknown: rules about executables do not select them"
        }
        Loss::LimitMapFull => "uses of limited grants that could not be counted: they were refused",
        Loss::CallsUncounted => "connections whose calls are missing from `weir usage`",
        Loss::LiveUnwatched => {
            "allowed connections that the kernel cannot end: the agent ends them if their right goes"
        }
    }
}

pub(super) fn identities(core: &Core) -> Result<IdentityList, ApiError> {
    let known = core
        .known_identities()
        .map_err(|error| internal("list identities", &error))?;
    Ok(IdentityList {
        identities: known.into_iter().map(identity).collect(),
    })
}

fn identity((known, cgroups): (KnownIdentity, Vec<String>)) -> Identity {
    let Labels {
        cgroup,
        unit,
        slice,
        user_unit,
        nested,
        container,
        container_name,
        image,
        pod,
        pod_name,
        namespace,
        service_account,
        owner,
        pod_labels,
        is_unresolved,
        task,
        exe,
        user,
    } = known.labels;
    Identity {
        name: known.key,
        cgroup,
        unit,
        slice,
        user_unit,
        nested,
        container,
        container_name,
        image,
        pod,
        pod_name,
        namespace,
        service_account,
        owner,
        pod_labels,
        unresolved: is_unresolved,
        task,
        exe,
        user: user.map(|LocalUser { uid, name }| name.unwrap_or_else(|| uid.to_string())),
        cgroups,
        first_seen: Some(known.first_seen),
        last_seen: Some(known.last_seen),
    }
}

pub(crate) fn endpoint(endpoint: &endpoint::Endpoint, addresses: &[String]) -> Endpoint {
    Endpoint {
        name: endpoint.name.clone(),
        provider: endpoint.provider.clone(),
        plane: endpoint.plane.name().to_owned(),
        hosts: endpoint
            .hosts
            .iter()
            .map(|host| host.as_str().to_owned())
            .collect(),
        cidrs: endpoint.cidrs.iter().map(ToString::to_string).collect(),
        ports: ports(endpoint),
        risk: endpoint.risk.name().to_owned(),
        shared: endpoint.shared,
        source: source(&endpoint.source),
        addresses: addresses.to_vec(),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Catalogue { evidence, .. } => format!("catalogue: {evidence}"),
        Source::File { path, line } => format!("{path}:{line}"),
        Source::Api => "api".to_owned(),
    }
}

/// Empty for every port.
fn ports(endpoint: &endpoint::Endpoint) -> Vec<u16> {
    let ports = endpoint.ports.iter().copied();
    ports.filter(|port| *port != ANY_PORT).collect()
}

/// `host` may also be an address.
pub(crate) fn matches(catalogue: &Catalogue, host: &str) -> EndpointMatches {
    let matches = match host.parse::<IpAddr>() {
        Ok(address) => {
            let found = catalogue.match_address(address).into_iter();
            found
                .map(|(endpoint, net)| endpoint_match(endpoint, net.to_string(), false))
                .collect()
        }
        Err(_) => {
            let found = catalogue.match_host(host).into_iter();
            found
                .map(|found| {
                    let pattern = found.pattern.as_str().to_owned();
                    endpoint_match(found.endpoint, pattern, found.also_manages())
                })
                .collect::<Vec<_>>()
        }
    };
    let similar = if matches.is_empty() {
        catalogue.similar_hosts(host)
    } else {
        Vec::new()
    };
    let similar = similar.into_iter().map(|(pattern, endpoint)| SimilarHost {
        pattern: pattern.as_str().to_owned(),
        endpoint: endpoint.name.clone(),
    });
    EndpointMatches {
        host: host.to_owned(),
        matches,
        similar: similar.collect(),
    }
}

fn endpoint_match(
    endpoint: &endpoint::Endpoint,
    pattern: String,
    also_manages: bool,
) -> EndpointMatch {
    EndpointMatch {
        endpoint: endpoint.name.clone(),
        provider: endpoint.provider.clone(),
        plane: endpoint.plane.name().to_owned(),
        pattern,
        ports: ports(endpoint),
        shared: endpoint.shared,
        also_manages,
        reseller: matches!(
            endpoint.source,
            Source::Catalogue {
                is_reseller: true,
                ..
            }
        ),
        source: source(&endpoint.source),
    }
}
