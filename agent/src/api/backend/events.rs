//! Events, as wire types.

use agent_common::verdict::Verdict;

use super::{
    bad, internal,
    usage::{endpoint_id, identity_id, value_name},
};
use crate::{
    api::{
        error::ApiError,
        types::{Event, EventList, EventQuery},
    },
    daemon::Core,
    store::{EventFilter, EventRecord, Names},
    usage::Value,
};

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
