//! What the agent knows, as wire types.

use agent_common::{loss::Loss, verdict::Verdict};
use jiff::Timestamp;

use super::{bad, internal};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        metrics::{MetricsRow, MetricsSnapshot},
        types::{
            Capacity, ConsideredObject, Endpoint, EndpointMatch, EndpointMatches, Event, EventList,
            EventQuery, Explanation, HookCoverage, Identity, IdentityList, LossCount,
            MatchedEndpoint, Quality, Status, Target, UsageKey, UsageQuery, UsageReport, UsageRow,
            Who,
        },
    },
    bpf::{Attachment, close_source_name},
    daemon::{Core, Explained, Question, QuestionError, StatusView, sentence},
    endpoint::{self, Catalogue, Source},
    store::{EventFilter, EventRecord, Names, StoreError},
    usage::{self, Group, Key, Value},
};

/// What this version does not see or stop, for `weir status`.
const LIMITS: [&str; 6] = [
    "endpoints are recognised by address, not yet by name: wildcard hosts and addresses that were \
     never resolved here are missed, and an address that a model endpoint shares with other \
     services is governed as a whole",
    "a connection that exists when a grant ends goes on until it closes",
    "raw and packet sockets, SCTP and sockets that another cgroup opened are not seen",
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
        capacity,
        losses,
        identities,
        endpoints,
        grants,
        hosts,
        hosts_resolved,
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
        hosts: hosts as u64,
        hosts_resolved: hosts_resolved as u64,
        limits: LIMITS.map(ToOwned::to_owned).to_vec(),
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
    }
}

pub(super) fn usage(core: &mut Core, query: &UsageQuery) -> Result<UsageReport, ApiError> {
    let by = keys(query.by.as_deref().unwrap_or("identity"))?;
    let names = core
        .names()
        .map_err(|error| internal("read names", &error))?;
    let identity = query.identity.as_deref().map(|name| {
        let found = names.identities.iter().find(|(_, known)| *known == name);
        found
            .map(|(id, _)| *id)
            .ok_or_else(|| unknown("identity", name, "weir identities"))
    });
    let endpoint = query.endpoint.as_deref().map(|name| {
        let found = names.endpoints.iter().find(|(_, known)| *known == name);
        found
            .map(|(id, _)| *id)
            .ok_or_else(|| unknown("endpoint", name, "weir endpoints list"))
    });
    let rows = core
        .usage(
            query.since,
            query.until,
            identity.transpose()?,
            endpoint.transpose()?,
        )
        .map_err(|error| internal("read usage", &error))?;
    let keys: Vec<_> = by.iter().map(|key| domain_key(*key)).collect();
    let groups = usage::group(&rows, &keys);
    Ok(UsageReport {
        by,
        since: query.since,
        until: query.until.unwrap_or_else(Timestamp::now),
        rows: groups
            .iter()
            .map(|group| usage_row(group, &names))
            .collect(),
        lost_events: core.lost_events().unwrap_or_default(),
    })
}

fn keys(by: &str) -> Result<Vec<UsageKey>, ApiError> {
    let keys = by
        .split(',')
        .map(|word| match word.trim() {
            "identity" => Ok(UsageKey::Identity),
            "endpoint" => Ok(UsageKey::Endpoint),
            "grant" => Ok(UsageKey::Grant),
            "reason" => Ok(UsageKey::Reason),
            other => Err(bad(format!(
                "cannot group by `{other}`: one or two of identity, endpoint, grant, reason"
            ))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    match keys.as_slice() {
        [_] => Ok(keys),
        [first, second] if first != second => Ok(keys),
        _ => Err(bad("group by one key, or by two different ones")),
    }
}

const fn domain_key(key: UsageKey) -> Key {
    match key {
        UsageKey::Identity => Key::Identity,
        UsageKey::Endpoint => Key::Endpoint,
        UsageKey::Grant => Key::Rule,
        UsageKey::Reason => Key::Reason,
    }
}

fn usage_row(group: &Group, names: &Names) -> UsageRow {
    let bytes = group.bytes();
    let counts = &group.counts;
    UsageRow {
        key: group
            .values
            .iter()
            .map(|value| value_name(*value, names))
            .collect(),
        connections_allowed: counts.connects_allowed,
        connections_denied: counts.connects_denied,
        connections_would_deny: counts.connects_would_deny,
        datagrams_allowed: counts.datagrams_allowed,
        datagrams_denied: counts.datagrams_denied,
        datagrams_would_deny: counts.datagrams_would_deny,
        bytes_out: bytes.map(|(out, _)| out),
        bytes_in: bytes.map(|(_, back)| back),
        bytes_quality: match group.bytes_quality {
            usage::Quality::Exact => Quality::Exact,
            usage::Quality::Inferred => Quality::Inferred,
            usage::Quality::Unknown => Quality::Unknown,
        },
        connections_without_bytes: group.connections_without_bytes(),
        first_seen: Some(group.first_seen),
        last_seen: Some(group.last_seen),
    }
}

fn value_name(value: Value, names: &Names) -> String {
    let name = match value {
        Value::Identity(id) => names.identities.get(&id).cloned(),
        Value::Endpoint(id) => names.endpoints.get(&id).cloned(),
        Value::Rule(id) if id.is_none() => Some("-".to_owned()),
        Value::Rule(id) => names.rules.get(&id).map(|(_, name)| name.clone()),
        Value::Reason(reason) => Some(reason.name().to_owned()),
    };
    name.unwrap_or_else(|| "unknown".to_owned())
}

pub(super) fn events(core: &Core, query: &EventQuery) -> Result<EventList, ApiError> {
    const DEFAULT: u32 = 100;
    const MOST: u32 = 10_000;
    let names = core
        .names()
        .map_err(|error| internal("read names", &error))?;
    let verdict = query.verdict.as_deref().map(|word| {
        let found = Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.name() == word);
        found.ok_or_else(|| {
            bad(format!(
                "unknown verdict `{word}`: allow, deny or would-deny"
            ))
        })
    });
    let identity = query.identity.as_deref().map(|name| {
        let found = names.identities.iter().find(|(_, known)| *known == name);
        found
            .map(|(id, _)| *id)
            .ok_or_else(|| unknown("identity", name, "weir identities"))
    });
    let endpoint = query.endpoint.as_deref().map(|name| {
        let found = names.endpoints.iter().find(|(_, known)| *known == name);
        found
            .map(|(id, _)| *id)
            .ok_or_else(|| unknown("endpoint", name, "weir endpoints list"))
    });
    let filter = EventFilter {
        since: query.since,
        after: query.after,
        verdict: verdict.transpose()?,
        identity: identity.transpose()?,
        endpoint: endpoint.transpose()?,
        limit: query.limit.unwrap_or(DEFAULT).min(MOST),
    };
    let found = core
        .events(&filter)
        .map_err(|error| internal("read events", &error))?;
    Ok(EventList {
        events: found
            .into_iter()
            .map(|(id, record)| event(id, record, &names))
            .collect(),
        lost: core.lost_events().unwrap_or_default(),
    })
}

fn event(id: u64, record: EventRecord, names: &Names) -> Event {
    Event {
        id,
        at: record.at,
        kind: record.kind.name().to_owned(),
        verdict: record.verdict.name().to_owned(),
        reason: record.reason.name().to_owned(),
        identity: value_name(Value::Identity(record.identity), names),
        endpoint: value_name(Value::Endpoint(record.endpoint), names),
        rule: names.rules.get(&record.rule).map(|(_, name)| name.clone()),
        address: record.address,
        port: record.port,
        protocol: if record.is_udp { "udp" } else { "tcp" }.to_owned(),
        shared_address: record.is_shared,
        pid: record.pid,
        comm: record.comm,
        exe: record.exe,
        cgroup: record.cgroup,
        bytes_out: record.bytes_out,
        bytes_in: record.bytes_in,
        duration_ms: record.duration_ms,
    }
}

pub(super) fn identities(core: &Core) -> Result<IdentityList, ApiError> {
    let known = core
        .known_identities()
        .map_err(|error| internal("list identities", &error))?;
    let identities = known.into_iter().map(|(known, cgroups)| Identity {
        name: known.key,
        unit: known.labels.unit,
        slice: known.labels.slice,
        container: known.labels.container,
        pod: known.labels.pod,
        cgroups,
        first_seen: Some(known.first_seen),
        last_seen: Some(known.last_seen),
    });
    Ok(IdentityList {
        identities: identities.collect(),
    })
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
        ports: endpoint
            .ports
            .iter()
            .copied()
            .filter(|port| *port != 0)
            .collect(),
        risk: endpoint.risk.name().to_owned(),
        shared: endpoint.shared,
        source: source(&endpoint.source),
        addresses: addresses.to_vec(),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Catalogue { evidence } => format!("catalogue: {evidence}"),
        Source::File { path, line } => format!("{path}:{line}"),
        Source::Api => "api".to_owned(),
    }
}

pub(crate) fn matches(catalogue: &Catalogue, host: &str) -> EndpointMatches {
    let matches = catalogue
        .match_host(host)
        .into_iter()
        .map(|found| EndpointMatch {
            endpoint: found.endpoint.name.clone(),
            provider: found.endpoint.provider.clone(),
            plane: found.plane.name().to_owned(),
            pattern: found.pattern.as_str().to_owned(),
            shared: found.endpoint.shared,
            source: source(&found.endpoint.source),
        });
    EndpointMatches {
        host: host.to_owned(),
        matches: matches.collect(),
    }
}

pub(super) fn explain(core: &Core, question: Question) -> Result<Explanation, ApiError> {
    let explained = core.explain(question).map_err(question_error)?;
    let suggestion = suggestion(&explained);
    let Explained {
        identity,
        labels: _,
        found_by,
        cgroup,
        pid,
        asked,
        targets,
        decision,
        verdict,
        rule,
        posture,
        considered,
    } = explained;
    let reason = decision.reason();
    Ok(Explanation {
        who: Who {
            identity,
            found_by,
            cgroup,
            pid,
        },
        target: Target {
            asked,
            endpoints: targets
                .into_iter()
                .map(|(endpoint, recognised_by, is_shared)| MatchedEndpoint {
                    endpoint,
                    recognised_by,
                    certainty: if is_shared {
                        "shared-address"
                    } else {
                        "certain"
                    }
                    .to_owned(),
                })
                .collect(),
        },
        verdict: verdict.name().to_owned(),
        reason: reason.name().to_owned(),
        summary: sentence(reason).to_owned(),
        mode: core.mode().name().to_owned(),
        revision: core.policy().0,
        rule,
        posture: posture
            .as_ref()
            .map_or("allow", |posture| posture.ungranted.name())
            .to_owned(),
        posture_name: posture.and_then(|posture| posture.name),
        considered: considered
            .into_iter()
            .map(|one| ConsideredObject {
                kind: one.kind.name().to_owned(),
                name: one.name,
                applies: one.matches_subject && one.matches_endpoint,
                text: one.text,
            })
            .collect(),
        suggestion,
    })
}

fn question_error(error: QuestionError) -> ApiError {
    match error {
        QuestionError::NoProcess(_)
        | QuestionError::NoIdentity(_)
        | QuestionError::NoCgroup(_)
        | QuestionError::NoEvent(_)
        | QuestionError::Explain(_) => ApiError::new(ErrorCode::NotFound, error.to_string()),
        QuestionError::Store(_) => internal("explain", &error),
    }
}

/// A command that would let a refused caller through.
fn suggestion(explained: &Explained) -> Option<String> {
    if explained.decision.is_entitled() {
        return None;
    }
    let labels = &explained.labels;
    let subject = match (&labels.container, &labels.unit) {
        (Some(container), _) => format!("--container {container}"),
        (None, Some(unit)) => format!("--unit {unit}"),
        (None, None) => format!("--cgroup {}", labels.cgroup),
    };
    let (endpoint, _, _) = explained.targets.first()?;
    Some(format!(
        "weir grant issue NAME {subject} --endpoint {endpoint} --purpose \"WHY\" --ttl 8h"
    ))
}

pub(super) fn metrics(core: &mut Core) -> Result<MetricsSnapshot, ApiError> {
    let failed = |error: StoreError| internal("read usage", &error);
    let names = core.names().map_err(failed)?;
    let rows = core.usage(None, None, None, None).map_err(failed)?;
    let view = core
        .status()
        .map_err(|error| internal("read the status", &error))?;
    let groups = usage::group(&rows, &[Key::Identity, Key::Endpoint]);
    let row = |group: &Group| {
        let name = |index: usize| {
            let value = group.values.get(index);
            value
                .map(|value| value_name(*value, &names))
                .unwrap_or_default()
        };
        let counts = &group.counts;
        MetricsRow {
            identity: name(0),
            endpoint: name(1),
            connections: [
                counts.connects_allowed,
                counts.connects_denied,
                counts.connects_would_deny,
            ],
            datagrams: [
                counts.datagrams_allowed,
                counts.datagrams_denied,
                counts.datagrams_would_deny,
            ],
            bytes_out: counts.bytes_out,
            bytes_in: counts.bytes_in,
        }
    };
    Ok(MetricsSnapshot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: view.mode.name().to_owned(),
        revision: view.revision,
        policy_errors: view.policy_errors.len() as u64,
        rows: groups.iter().map(row).collect(),
        losses: view
            .losses
            .iter()
            .map(|(loss, count)| (loss.name().to_owned(), *count))
            .collect(),
        maps: view
            .capacity
            .iter()
            .map(|map| (map.what.to_owned(), map.used as u64, u64::from(map.limit)))
            .collect(),
        hooks: view
            .coverage
            .iter()
            .map(|hook| (hook.program.to_owned(), hook.attachment.is_ok()))
            .collect(),
    })
}

fn unknown(what: &str, name: &str, list: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("no {what} `{name}`; `{list}` lists all"),
    )
}
