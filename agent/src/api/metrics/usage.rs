//! What was counted, by identity and endpoint, and what it is estimated to cost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicU64,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{Counters, Labels, MAX_IDENTITIES, MetricsRow, OTHER, VERDICTS};

pub(super) fn register(registry: &mut Registry, rows: &[MetricsRow]) {
    let rows = bounded(rows);
    register_usage(registry, &rows);
    register_calls(registry, &rows);
    register_cost(registry, &rows);
}

fn register_usage(registry: &mut Registry, rows: &[MetricsRow]) {
    let (connections, datagrams, bytes) = (
        Counters::default(),
        Counters::default(),
        Counters::default(),
    );
    for row in rows {
        let labels = |name, value: &str| {
            vec![
                ("identity", row.identity.clone()),
                ("endpoint", row.endpoint.clone()),
                (name, value.to_owned()),
            ]
        };
        for (index, verdict) in VERDICTS.into_iter().enumerate() {
            for (family, counts) in [(&connections, row.connections), (&datagrams, row.datagrams)] {
                let count = counts.get(index).copied().unwrap_or(0);
                if count > 0 {
                    family
                        .get_or_create(&labels("verdict", verdict))
                        .inc_by(count);
                }
            }
        }
        for (direction, count) in [("out", row.bytes_out), ("in", row.bytes_in)] {
            if count > 0 {
                bytes
                    .get_or_create(&labels("direction", direction))
                    .inc_by(count);
            }
        }
    }
    registry.register(
        "connections",
        "Connections to model endpoints by verdict",
        connections,
    );
    registry.register(
        "datagrams",
        "Datagrams sent without a connection, by verdict",
        datagrams,
    );
    registry.register(
        "bytes",
        "Payload bytes of TCP connections that have ended",
        bytes,
    );
}

fn register_calls(registry: &mut Registry, rows: &[MetricsRow]) {
    let (calls, overlaps) = (Counters::default(), Counters::default());
    for row in rows {
        let labels = vec![
            ("identity", row.identity.clone()),
            ("endpoint", row.endpoint.clone()),
        ];
        if row.overlaps > 0 {
            overlaps.get_or_create(&labels).inc_by(row.overlaps);
        }
        if row.calls > 0 {
            let quality = ("quality", "inferred".to_owned());
            let labels = [labels, vec![quality]].concat();
            calls.get_or_create(&labels).inc_by(row.calls);
        }
    }
    registry.register(
        "calls",
        "Calls on connections to model endpoints, inferred from what passes on them",
        calls,
    );
    registry.register(
        "call_overlaps",
        "Times at which more calls than one may have begun at once: a lower bound if not 0",
        overlaps,
    );
}

/// What nobody knows has no sample.
fn register_cost(registry: &mut Registry, rows: &[MetricsRow]) {
    let costs: Family<Labels, Counter<f64, AtomicU64>> = Family::default();
    for row in rows {
        if let Some(cost) = row.cost {
            let labels = vec![
                ("identity", row.identity.clone()),
                ("endpoint", row.endpoint.clone()),
                ("quality", "estimate".to_owned()),
            ];
            costs.get_or_create(&labels).inc_by(cost.to_f64());
        }
    }
    registry.register(
        "cost_dollars",
        "What usage is estimated to cost by rules of the configuration, where one tells it",
        costs,
    );
}

/// The rows with all but the first identities added up. Which those are never changes, so that no
/// counter ever falls.
pub(super) fn bounded(rows: &[MetricsRow]) -> Vec<MetricsRow> {
    let numbers: BTreeSet<u32> = rows.iter().map(|row| row.number).collect();
    let kept: BTreeSet<u32> = numbers.into_iter().take(MAX_IDENTITIES).collect();
    let mut sums: BTreeMap<(String, String), MetricsRow> = BTreeMap::new();
    for row in rows {
        let identity = if kept.contains(&row.number) {
            row.identity.clone()
        } else {
            OTHER.to_owned()
        };
        let key = (identity.clone(), row.endpoint.clone());
        let sum = sums.entry(key).or_insert_with(|| MetricsRow {
            identity,
            endpoint: row.endpoint.clone(),
            ..MetricsRow::default()
        });
        for (sum, more) in sum.connections.iter_mut().zip(row.connections) {
            *sum += more;
        }
        for (sum, more) in sum.datagrams.iter_mut().zip(row.datagrams) {
            *sum += more;
        }
        sum.bytes_out += row.bytes_out;
        sum.bytes_in += row.bytes_in;
        sum.calls += row.calls;
        sum.overlaps += row.overlaps;
        sum.cost = match (sum.cost, row.cost) {
            (Some(sum), Some(more)) => Some(sum + more),
            (sum, more) => sum.or(more),
        };
    }
    sums.into_values().collect()
}
