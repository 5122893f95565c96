//! What Prometheus is told.

use std::collections::BTreeMap;

use agent_common::destination::EndpointId;

use super::{DaemonBackend, internal, usage::value_name};
use crate::{
    api::{
        error::ApiError,
        metrics::{MetricsRow, MetricsSnapshot, PodsFreshness},
    },
    daemon::Core,
    kube::inventory::State,
    store::{Names, StoreError, UsageReader},
    usage::{Group, Grouping, Key, Value, cost::Rate, period::plan},
};

/// What the daemon knows, but what it has counted.
struct Facts {
    reader: UsageReader,
    names: Names,
    rates: BTreeMap<EndpointId, Rate>,
    snapshot: MetricsSnapshot,
}

/// Counts are added up on a thread of their own: there may be years of them.
pub(super) async fn metrics(backend: &DaemonBackend) -> Result<MetricsSnapshot, ApiError> {
    let facts = backend.ask(facts).await?;
    tokio::task::spawn_blocking(move || counted(facts))
        .await
        .map_err(|error| internal("read usage", &error))?
}

fn counted(facts: Facts) -> Result<MetricsSnapshot, ApiError> {
    let Facts {
        reader,
        names,
        rates,
        snapshot,
    } = facts;
    let plan = plan(None, None, &reader.kept());
    let rows = reader.usage(&plan, None, None);
    let rows = rows.map_err(|error| internal("read usage", &error))?;
    let rows = || rows.values().flatten();
    let labels = BTreeMap::new();
    let groups = Grouping::new(&[Key::Identity, Key::Endpoint], &labels).priced(&rates);
    let groups = groups.group(rows());
    let reasons = Grouping::new(&[Key::Reason], &labels).group(rows());
    let reason = |group: &Group| {
        let name = group.values.first().map(|value| value_name(value, &names));
        (name.unwrap_or_default(), group.counts.attempts())
    };
    Ok(MetricsSnapshot {
        rows: groups.iter().map(|group| row(group, &names)).collect(),
        reasons: reasons.iter().map(reason).collect(),
        ..snapshot
    })
}

fn row(group: &Group, names: &Names) -> MetricsRow {
    let name = |index: usize| {
        let value = group.values.get(index);
        value
            .map(|value| value_name(value, names))
            .unwrap_or_default()
    };
    let counts = &group.counts;
    let number = match group.values.first() {
        Some(Value::Identity(id)) => id.to_raw(),
        Some(
            Value::Endpoint(_)
            | Value::Rule(_)
            | Value::Reason(_)
            | Value::Label(_)
            | Value::Exe(_)
            | Value::User(_),
        )
        | None => 0,
    };
    MetricsRow {
        number,
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
        calls: counts.calls,
        overlaps: counts.overlaps,
        cost: group.cost.map(|cost| cost.dollars),
    }
}

fn facts(core: &mut Core) -> Result<Facts, ApiError> {
    let failed = |error: StoreError| internal("read usage", &error);
    let reader = core.usage_reader(false).map_err(failed)?;
    Ok(Facts {
        reader,
        names: core.names().map_err(failed)?,
        rates: core.rates(),
        snapshot: state(core)?,
    })
}

fn state(core: &Core) -> Result<MetricsSnapshot, ApiError> {
    let failed = |error: StoreError| internal("count anomalies", &error);
    let view = core
        .status()
        .map_err(|error| internal("read the status", &error))?;
    Ok(MetricsSnapshot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: view.mode.name().to_owned(),
        revision: view.revision,
        policy_errors: view.policy_errors.len() as u64,
        rows: Vec::new(),
        reasons: Vec::new(),
        anomalies: core.anomaly_counts().map_err(failed)?,
        watching: core
            .watching()
            .map(|watching| (watching.series, watching.untold)),
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
        taken_over_at: core.taken_over_at().map(|at| at.as_second()),
        grant_ends: core
            .grant_ends()
            .into_iter()
            .map(|(name, end)| (name, end.as_second()))
            .collect(),
        kubernetes: view.kubernetes.map(|kubernetes| PodsFreshness {
            is_connected: kubernetes.state == State::Connected,
            age_seconds: kubernetes.age.and_then(|age| age.as_secs().try_into().ok()),
            pods: kubernetes.pods as u64,
            unresolved: kubernetes.unresolved as u64,
        }),
    })
}
