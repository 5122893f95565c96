//! Usage and events, as wire types.

use std::collections::BTreeMap;

use agent_common::{destination::EndpointId, identity::IdentityId, verdict::Verdict};
use jiff::Timestamp;

use super::{bad, internal};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        types::{
            Event, EventList, EventQuery, Quality, UsageKey, UsageQuery, UsageReport, UsageRow,
        },
    },
    daemon::Core,
    identity::LabelKey,
    store::{EventFilter, EventRecord, Names, StoreError},
    usage::{self, Group, Key, Value, period::start_of},
};

pub(super) fn usage(core: &mut Core, query: &UsageQuery) -> Result<UsageReport, ApiError> {
    let by = keys(query.by.as_deref().unwrap_or("identity"))?;
    let names = core
        .names()
        .map_err(|error| internal("read names", &error))?;
    let identity = query
        .identity
        .as_deref()
        .map(|name| identity_id(&names, name));
    let endpoint = query
        .endpoint
        .as_deref()
        .map(|name| endpoint_id(&names, name));
    let (identity, endpoint) = (identity.transpose()?, endpoint.transpose()?);
    let failed = |error: StoreError| internal("read usage", &error);
    let plan = core.usage_plan(query.since, query.until).map_err(failed)?;
    let kept = core.usage_kept().map_err(failed)?;
    let rows = core
        .planned_usage(&plan, identity, endpoint)
        .map_err(failed)?;
    let keys: Vec<_> = by.iter().map(|key| domain_key(*key)).collect();
    let has_label = keys.iter().any(|key| matches!(key, Key::Label(_)));
    let labels = if has_label {
        core.known_labels()
            .map_err(|error| internal("read labels", &error))?
    } else {
        BTreeMap::new()
    };
    let groups = if keys.iter().any(|key| key.is_about_process()) {
        if keys
            .iter()
            .any(|key| matches!(key, Key::Rule | Key::Reason))
        {
            return Err(bad(
                "events do not tell grant and reason of a process: group by exe or user with \
                 something else",
            ));
        }
        let told = core
            .planned_process_usage(&plan, identity, endpoint)
            .map_err(failed)?;
        usage::group_processes(&told, &keys, &labels, &rows)
    } else {
        usage::group(&rows, &keys, &labels)
    };
    Ok(UsageReport {
        by,
        since: query.since,
        until: query.until.unwrap_or_else(Timestamp::now),
        covered_since: plan.first.map(start_of),
        covered_until: plan.end.map(start_of),
        minutes_since: kept.minute.map(start_of),
        hours_since: kept.hour.map(start_of),
        days_since: kept.day.map(start_of),
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
        .map(|word| {
            let word = word.trim();
            let key = UsageKey::ALL.into_iter().find(|key| key.name() == word);
            key.ok_or_else(|| {
                let all = UsageKey::ALL.map(UsageKey::name).join(", ");
                bad(format!("cannot group by `{word}`: one or two of {all}"))
            })
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
        UsageKey::Unit => Key::Label(LabelKey::Unit),
        UsageKey::Slice => Key::Label(LabelKey::Slice),
        UsageKey::Container => Key::Label(LabelKey::Container),
        UsageKey::Pod => Key::Label(LabelKey::Pod),
        UsageKey::Namespace => Key::Label(LabelKey::Namespace),
        UsageKey::ServiceAccount => Key::Label(LabelKey::ServiceAccount),
        UsageKey::Task => Key::Label(LabelKey::Task),
        UsageKey::Owner => Key::Label(LabelKey::Owner),
        UsageKey::Exe => Key::Exe,
        UsageKey::User => Key::User,
    }
}

const fn quality(quality: usage::Quality) -> Quality {
    match quality {
        usage::Quality::Exact => Quality::Exact,
        usage::Quality::Inferred => Quality::Inferred,
        usage::Quality::LowerBound => Quality::LowerBound,
        usage::Quality::Unknown => Quality::Unknown,
    }
}

fn usage_row(group: &Group, names: &Names) -> UsageRow {
    let bytes = group.bytes();
    let counts = &group.counts;
    UsageRow {
        key: group
            .values
            .iter()
            .map(|value| value_name(value, names))
            .collect(),
        connections_allowed: counts.connects_allowed,
        connections_denied: counts.connects_denied,
        connections_would_deny: counts.connects_would_deny,
        connections_quality: quality(group.connections_quality),
        datagrams_allowed: counts.datagrams_allowed,
        datagrams_denied: counts.datagrams_denied,
        datagrams_would_deny: counts.datagrams_would_deny,
        bytes_out: bytes.map(|(out, _)| out),
        bytes_in: bytes.map(|(_, back)| back),
        bytes_quality: quality(group.bytes_quality),
        connections_without_bytes: group.connections_without_bytes(),
        calls: group.calls(),
        calls_quality: quality(group.calls_quality),
        first_seen: Some(group.first_seen),
        last_seen: Some(group.last_seen),
    }
}

pub(super) fn value_name(value: &Value, names: &Names) -> String {
    let name = match value {
        Value::Identity(id) => names.identities.get(id).cloned(),
        Value::Endpoint(id) => names.endpoints.get(id).cloned(),
        Value::Rule(id) if id.is_none() => Some("-".to_owned()),
        Value::Rule(id) => names.rules.get(id).map(|(_, name)| name.clone()),
        Value::Reason(reason) => Some(reason.name().to_owned()),
        Value::Label(label) => Some(label.clone().unwrap_or_else(|| "-".to_owned())),
        Value::Exe(exe) => exe.clone(),
        Value::User(user) => user.map(|uid| match names.users.get(&uid) {
            Some(name) => format!("{name} ({uid})"),
            None => uid.to_string(),
        }),
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
    let identity = query
        .identity
        .as_deref()
        .map(|name| identity_id(&names, name));
    let endpoint = query
        .endpoint
        .as_deref()
        .map(|name| endpoint_id(&names, name));
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
        identity: value_name(&Value::Identity(record.identity), names),
        endpoint: value_name(&Value::Endpoint(record.endpoint), names),
        rule: names.rules.get(&record.rule).map(|(_, name)| name.clone()),
        address: record.address,
        port: record.port,
        protocol: if record.is_udp { "udp" } else { "tcp" }.to_owned(),
        shared_address: record.is_shared,
        pid: record.pid,
        comm: record.comm,
        exe: record.exe,
        script: record.script,
        user: record.user,
        cgroup: record.cgroup,
        bytes_out: record.bytes_out,
        bytes_in: record.bytes_in,
        duration_ms: record.duration_ms,
    }
}

fn unknown(what: &str, name: &str, list: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("no {what} `{name}`; `{list}` lists all"),
    )
}

fn identity_id(names: &Names, name: &str) -> Result<IdentityId, ApiError> {
    let mut known = names.identities.iter();
    let found = known.find(|(_, known)| *known == name);
    found
        .map(|(id, _)| *id)
        .ok_or_else(|| unknown("identity", name, "weir identities"))
}

fn endpoint_id(names: &Names, name: &str) -> Result<EndpointId, ApiError> {
    let mut known = names.endpoints.iter();
    let found = known.find(|(_, known)| *known == name);
    found
        .map(|(id, _)| *id)
        .ok_or_else(|| unknown("endpoint", name, "weir endpoints list"))
}
