//! What Prometheus is told.

use std::collections::BTreeMap;

use super::{internal, usage::value_name};
use crate::{
    api::{
        error::ApiError,
        metrics::{MetricsRow, MetricsSnapshot, PodsFreshness},
    },
    daemon::Core,
    kube::inventory::State,
    store::StoreError,
    usage::{Group, Grouping, Key, Value},
};

pub(super) fn metrics(core: &mut Core) -> Result<MetricsSnapshot, ApiError> {
    let failed = |error: StoreError| internal("read usage", &error);
    let names = core.names().map_err(failed)?;
    let rows = core.usage(None, None, None, None).map_err(failed)?;
    let view = core
        .status()
        .map_err(|error| internal("read the status", &error))?;
    let labels = BTreeMap::new();
    let groups = Grouping::new(&[Key::Identity, Key::Endpoint], &labels).group(&rows);
    let row = |group: &Group| {
        let name = |index: usize| {
            let value = group.values.get(index);
            value
                .map(|value| value_name(value, &names))
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
        }
    };
    Ok(MetricsSnapshot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: view.mode.name().to_owned(),
        revision: view.revision,
        policy_errors: view.policy_errors.len() as u64,
        rows: groups.iter().map(row).collect(),
        reasons: Grouping::new(&[Key::Reason], &labels)
            .group(&rows)
            .iter()
            .map(|group| {
                let name = group.values.first().map(|value| value_name(value, &names));
                (name.unwrap_or_default(), group.counts.attempts())
            })
            .collect(),
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
