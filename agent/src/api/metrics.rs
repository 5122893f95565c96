//! Prometheus metrics. Cardinality is bounded, sums are not touched by that.

mod usage;

use prometheus_client::{
    encoding::text::encode as encode_text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::usage::cost::Dollars;

/// What [`encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Identities that keep their own label: the first that were seen. The rest are [`OTHER`].
const MAX_IDENTITIES: usize = 500;
const OTHER: &str = "other";
/// Grants whose end is told: those that end first.
const MAX_GRANTS: usize = 500;

/// Everything that is exported, at one instant.
#[derive(Clone, Debug, Default)]
pub struct MetricsSnapshot {
    pub version: String,
    pub mode: String,
    pub revision: u64,
    pub policy_errors: u64,
    pub rows: Vec<MetricsRow>,
    /// Attempts to reach a model endpoint, by reason of the verdict.
    pub reasons: Vec<(String, u64)>,
    pub losses: Vec<(String, u64)>,
    /// Map, entries, limit.
    pub maps: Vec<(String, u64, u64)>,
    pub hooks: Vec<(String, bool)>,
    /// Kind, all that are kept, open ones.
    pub anomalies: Vec<(String, u64, u64)>,
    /// Pairs of identity and endpoint that are watched, and notices that webhooks did not take;
    /// `None`: nobody looks for anomalies.
    pub watching: Option<(u64, u64)>,
    /// When counts were written to the store last, in seconds since 1970.
    pub taken_over_at: Option<i64>,
    /// When each grant that holds ends, in seconds since 1970.
    pub grant_ends: Vec<(String, i64)>,
    /// `None`: nobody is asked about pods.
    pub kubernetes: Option<PodsFreshness>,
}

/// What is known about pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct PodsFreshness {
    pub is_connected: bool,
    /// `None` if nothing was ever known.
    pub age_seconds: Option<u64>,
    pub pods: u64,
    pub unresolved: u64,
}

/// Counts of one identity and endpoint.
#[derive(Clone, Debug, Default)]
pub struct MetricsRow {
    /// Number of the identity: the order in which identities were first seen.
    pub number: u32,
    pub identity: String,
    pub endpoint: String,
    /// Allowed, denied, would-deny.
    pub connections: [u64; 3],
    pub datagrams: [u64; 3],
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub calls: u64,
    pub overlaps: u64,
    /// `None`: nobody knows.
    pub cost: Option<Dollars>,
}

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

const VERDICTS: [&str; 3] = ["allow", "deny", "would-deny"];

/// The snapshot in the text format of OpenMetrics.
#[must_use]
pub fn encode(snapshot: &MetricsSnapshot) -> String {
    let mut registry = Registry::with_prefix("weir");
    register_state(&mut registry, snapshot);
    if let Some(kubernetes) = &snapshot.kubernetes {
        register_kubernetes(&mut registry, kubernetes);
    }
    register_anomalies(&mut registry, snapshot);
    usage::register(&mut registry, &snapshot.rows);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode_text(&mut text, &registry);
    text
}

fn register_state(registry: &mut Registry, snapshot: &MetricsSnapshot) {
    let MetricsSnapshot {
        version,
        mode,
        revision,
        policy_errors,
        rows: _,
        reasons,
        losses,
        maps,
        hooks,
        anomalies: _,
        watching: _,
        taken_over_at,
        grant_ends,
        kubernetes: _,
    } = snapshot;
    register_ends(registry, grant_ends);
    if let Some(at) = taken_over_at {
        registry.register(
            "taken_over_timestamp_seconds",
            "When counts were written to the store last",
            instant(*at),
        );
    }
    let build = Gauges::default();
    build
        .get_or_create(&vec![("version", version.clone())])
        .set(1);
    registry.register("build_info", "The version that runs", build);
    let modes = Gauges::default();
    for name in ["observe", "shadow", "enforce"] {
        let value = i64::from(name == mode);
        modes
            .get_or_create(&vec![("mode", name.to_owned())])
            .set(value);
    }
    registry.register("mode", "1 for the mode in force", modes);
    registry.register(
        "policy_revision",
        "Number of the policy in force",
        gauge(*revision),
    );
    registry.register(
        "policy_errors",
        "Mistakes in policy files that keep them from being in force",
        gauge(*policy_errors),
    );
    let decisions = Counters::default();
    for (reason, count) in reasons {
        decisions
            .get_or_create(&vec![("reason", reason.clone())])
            .inc_by(*count);
    }
    registry.register(
        "decisions",
        "Attempts to reach a model endpoint, by reason of the verdict",
        decisions,
    );
    let lost = Counters::default();
    for (reason, count) in losses {
        lost.get_or_create(&vec![("reason", reason.clone())])
            .inc_by(*count);
    }
    registry.register("lost", "What the kernel side could not do, by reason", lost);
    let (entries, limits) = (Gauges::default(), Gauges::default());
    for (map, used, limit) in maps {
        let labels = vec![("map", map.clone())];
        entries
            .get_or_create(&labels)
            .set(i64::try_from(*used).unwrap_or(i64::MAX));
        limits
            .get_or_create(&labels)
            .set(i64::try_from(*limit).unwrap_or(i64::MAX));
    }
    registry.register("map_entries", "Entries in use of a kernel map", entries);
    registry.register("map_limit", "Entries that a kernel map can hold", limits);
    let up = Gauges::default();
    for (hook, is_up) in hooks {
        up.get_or_create(&vec![("hook", hook.clone())])
            .set(i64::from(*is_up));
    }
    registry.register("hook_up", "Whether a kernel hook is attached", up);
}

fn register_anomalies(registry: &mut Registry, snapshot: &MetricsSnapshot) {
    let Some((series, untold)) = snapshot.watching else {
        return;
    };
    let (open, all) = (Gauges::default(), Counters::default());
    for (kind, count, count_open) in &snapshot.anomalies {
        let labels = vec![("kind", kind.clone())];
        open.get_or_create(&labels)
            .set(i64::try_from(*count_open).unwrap_or(i64::MAX));
        all.get_or_create(&labels).inc_by(*count);
    }
    registry.register("anomalies_open", "Anomalies that go on", open);
    registry.register("anomalies", "Anomalies that are kept", all);
    registry.register(
        "watched_series",
        "Pairs of identity and endpoint that are watched for anomalies",
        gauge(series),
    );
    let counter: Counter = Counter::default();
    counter.inc_by(untold);
    registry.register(
        "notices_lost",
        "Notices of anomalies that webhooks did not take",
        counter,
    );
}

fn register_ends(registry: &mut Registry, grant_ends: &[(String, i64)]) {
    let mut first: Vec<_> = grant_ends.iter().map(|(name, end)| (*end, name)).collect();
    first.sort_unstable();
    let ends = Gauges::default();
    for (end, name) in first.into_iter().take(MAX_GRANTS) {
        ends.get_or_create(&vec![("grant", name.clone())]).set(end);
    }
    registry.register(
        "grant_end_timestamp_seconds",
        "When a grant that holds ends: those that end first",
        ends,
    );
}

fn instant(seconds: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(seconds);
    gauge
}

fn gauge(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

fn register_kubernetes(registry: &mut Registry, freshness: &PodsFreshness) {
    let PodsFreshness {
        is_connected,
        age_seconds,
        pods,
        unresolved,
    } = freshness;
    registry.register(
        "kubernetes_connected",
        "Whether metadata of pods is current",
        gauge(u64::from(*is_connected)),
    );
    if let Some(age) = age_seconds {
        registry.register(
            "kubernetes_age_seconds",
            "How old metadata of pods may be",
            gauge(*age),
        );
    }
    registry.register(
        "kubernetes_pods",
        "Pods of this node that are known",
        gauge(*pods),
    );
    registry.register(
        "kubernetes_unresolved",
        "Pods that have cgroups and are not known yet",
        gauge(*unresolved),
    );
}

#[cfg(test)]
mod tests {
    use super::{usage::bounded, *};

    fn row(identity: &str, allowed: u64) -> MetricsRow {
        MetricsRow {
            identity: identity.to_owned(),
            endpoint: "openai".to_owned(),
            connections: [allowed, 1, 0],
            bytes_out: 10,
            calls: 4,
            cost: Dollars::price(0.25),
            ..MetricsRow::default()
        }
    }

    #[test]
    fn counters_have_their_labels_and_zeros_are_left_out() {
        let snapshot = MetricsSnapshot {
            version: "1.2.3".to_owned(),
            mode: "enforce".to_owned(),
            rows: vec![row("unit:a.service", 7)],
            reasons: vec![("no-sni".to_owned(), 2)],
            losses: vec![("event-ring-full".to_owned(), 3)],
            taken_over_at: Some(1_750_000_000),
            grant_ends: vec![("weekly".to_owned(), 1_750_003_600)],
            kubernetes: Some(PodsFreshness {
                is_connected: false,
                age_seconds: Some(180),
                pods: 12,
                unresolved: 1,
            }),
            ..MetricsSnapshot::default()
        };
        let text = encode(&snapshot);
        for line in [
            "weir_build_info{version=\"1.2.3\"} 1",
            "weir_mode{mode=\"enforce\"} 1",
            "weir_mode{mode=\"observe\"} 0",
            "weir_decisions_total{reason=\"no-sni\"} 2",
            "weir_lost_total{reason=\"event-ring-full\"} 3",
            "weir_taken_over_timestamp_seconds 1750000000",
            "weir_grant_end_timestamp_seconds{grant=\"weekly\"} 1750003600",
            "weir_kubernetes_connected 0",
            "weir_kubernetes_age_seconds 180",
            "weir_kubernetes_pods 12",
            "weir_kubernetes_unresolved 1",
            "weir_connections_total{identity=\"unit:a.service\",endpoint=\"openai\",verdict=\"allow\"} 7",
            "weir_bytes_total{identity=\"unit:a.service\",endpoint=\"openai\",direction=\"out\"} 10",
            "weir_cost_dollars_total{identity=\"unit:a.service\",endpoint=\"openai\",quality=\"estimate\"} 0.25",
            "weir_calls_total{identity=\"unit:a.service\",endpoint=\"openai\",quality=\"inferred\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("would-deny"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn later_identities_are_added_up_and_nothing_is_lost() {
        let rows: Vec<_> = (0..2 * MAX_IDENTITIES)
            .map(|n| MetricsRow {
                number: n as u32,
                ..row(&format!("unit:{n}.service"), n as u64)
            })
            .collect();
        let bounded = bounded(&rows);
        assert_eq!(bounded.len(), MAX_IDENTITIES + 1);
        let sum = |rows: &[MetricsRow]| -> (u64, u64) {
            let allowed = rows.iter().map(|row| row.connections[0]).sum();
            (allowed, rows.iter().map(|row| row.bytes_out).sum())
        };
        assert_eq!(sum(&bounded), sum(&rows));
        let other = bounded
            .iter()
            .find(|row| row.identity == OTHER)
            .expect("the rest");
        assert_eq!(other.connections[1], MAX_IDENTITIES as u64);
    }
}
