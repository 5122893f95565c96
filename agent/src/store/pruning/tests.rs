use std::collections::BTreeMap;

use agent_common::{
    counter::{CounterKey, Counters, Counts},
    destination::EndpointId,
    identity::IdentityId,
    policy::RuleId,
    verdict::Reason,
};
use jiff::SignedDuration;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::usage::{
    OTHER_IDENTITY, UsageRow,
    period::{plan, start_of},
};

/// A day, in minutes since 1970.
const DAY: i64 = 1_440;
const FIRST: i64 = 20_000 * DAY;

fn retention() -> Retention {
    Retention {
        minutes: SignedDuration::from_hours(3),
        hours: SignedDuration::from_hours(48),
        days: SignedDuration::from_hours(400 * 24),
        max_bytes: u64::MAX,
        max_rows: u64::MAX,
    }
}

/// A store, and what its kernel has counted.
struct Site {
    _directory: TempDir,
    store: Store,
    counted: BTreeMap<u32, u64>,
}

impl Site {
    fn new(retention: Retention) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("weir.db");
        Self {
            store: Store::open_to_keep(&path, retention).expect("a store"),
            _directory: directory,
            counted: BTreeMap::new(),
        }
    }

    fn count(&mut self, minute: i64, identity: u32, more: u64) {
        let count = self.counted.entry(identity).or_default();
        *count += more;
        let key = CounterKey {
            identity: IdentityId::from_raw(identity),
            endpoint: EndpointId::from_raw(2),
            rule: RuleId::NONE,
            reason: Reason::NoGrant as u32,
        };
        let counters = Counters {
            counts: Counts {
                connects_denied: *count,
                bytes_out: 3 * *count,
                ..Counts::ZERO
            },
            first_ns: 1,
            last_ns: 2,
        };
        let at = start_of(minute);
        self.store
            .drain(7, &[(key, counters)], &|_| at, &|_| false, at)
            .expect("drained");
    }

    fn prune_all(&mut self, minute: i64) -> usize {
        let mut n_steps = 0;
        while self.store.prune(start_of(minute)).expect("pruned") {
            n_steps += 1;
        }
        n_steps
    }

    /// The time that the answer covers, and its rows.
    fn usage(&self, first: Option<i64>, end: Option<i64>) -> (i64, i64, Vec<UsageRow>) {
        let plan = plan(first, end, &self.store.kept().expect("read"));
        let rows = self.store.usage(&plan, None, None).expect("usage");
        let rows: Vec<_> = rows.into_values().flatten().collect();
        (
            plan.first.unwrap_or(i64::MIN),
            plan.end.unwrap_or(i64::MAX),
            rows,
        )
    }

    fn rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let count = self.store.connection.query_row(&sql, [], |row| row.get(0));
        count.expect("a count")
    }
}

fn denied(rows: &[UsageRow]) -> u64 {
    rows.iter().map(|row| row.counts.connects_denied).sum()
}

#[test]
fn what_is_old_loses_its_minutes_then_its_hours_and_never_its_sums() {
    let mut site = Site::new(retention());
    for minute in 0..6 * 60 {
        site.count(FIRST + minute, 1, 1);
    }
    assert_eq!(site.prune_all(FIRST + 2 * 60), 0);
    assert_eq!(site.store.kept().expect("read"), Kept::default());

    // At 06:00 the minutes up to 03:00 go.
    assert!(site.prune_all(FIRST + 6 * 60) > 0);
    assert_eq!((site.rows("usage"), site.rows("usage_hour")), (180, 6));
    let (first, end, rows) = site.usage(Some(FIRST + 70), Some(FIRST + 80));
    assert_eq!((first, end), (FIRST + 60, FIRST + 120));
    assert_eq!(denied(&rows), 60);
    let (first, _, rows) = site.usage(Some(FIRST + 190), Some(FIRST + 200));
    assert_eq!((first, denied(&rows)), (FIRST + 190, 10));

    // Three days later only the day is left.
    site.prune_all(FIRST + 3 * DAY);
    assert_eq!((site.rows("usage"), site.rows("usage_hour")), (0, 0));
    let (first, end, rows) = site.usage(Some(FIRST + 70), Some(FIRST + 80));
    assert_eq!((first, end, denied(&rows)), (FIRST, FIRST + DAY, 360));
    site.prune_all(FIRST + 402 * DAY);
    assert_eq!(denied(&site.usage(None, None).2), 0);
}

#[test]
fn a_period_without_room_counts_the_rest_in_one_row() {
    let mut site = Site::new(Retention {
        max_rows: 3,
        ..retention()
    });
    for identity in 1..=10 {
        site.count(FIRST, identity, 1);
    }
    for identity in 1..=10 {
        site.count(FIRST + 1, identity, 1);
    }
    assert_eq!(site.rows("usage"), 2 * 4);
    assert_eq!(site.rows("usage_day"), 4);
    let (_, _, rows) = site.usage(None, None);
    assert_eq!(denied(&rows), 20);
    let other = rows.iter().find(|row| row.identity == OTHER_IDENTITY);
    let other = other.expect("the rest");
    assert_eq!(other.counts.connects_denied, 14);
    assert_eq!(other.reason, Reason::NoGrant);
    // A store that is opened again knows how many there are.
    site.store.room.take();
    site.count(FIRST + 1, 11, 1);
    assert_eq!(site.rows("usage"), 2 * 4);
}

#[test]
fn a_large_store_drops_the_oldest_minutes_first_and_never_the_newest() {
    let mut site = Site::new(Retention {
        max_bytes: 1,
        ..Retention::default()
    });
    for hour in 0..10 {
        site.count(FIRST + 60 * hour, 1, 1);
    }
    site.prune_all(FIRST + 9 * 60 + 59);
    assert_eq!((site.rows("usage"), site.rows("usage_hour")), (2, 10));
    assert_eq!(denied(&site.usage(None, None).2), 10);
    site.count(FIRST + 40 * DAY, 1, 1);
    site.prune_all(FIRST + 40 * DAY);
    assert_eq!((site.rows("usage_hour"), site.rows("usage_day")), (1, 1));
}

#[derive(Clone, Debug)]
enum Step {
    Count {
        minute: i64,
        identity: u32,
        more: u64,
    },
    Prune {
        minute: i64,
        steps: u8,
    },
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let minute = FIRST..FIRST + 6 * DAY;
    prop_oneof![
        6 => (minute.clone(), 1..8_u32, 1..100_u64).prop_map(|(minute, identity, more)| {
            Step::Count { minute, identity, more }
        }),
        2 => (minute, 1..5_u8).prop_map(|(minute, steps)| Step::Prune { minute, steps }),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is counted, however late, dropped in however many steps, and wherever it stops: the
    /// sum of a time is what was counted in it, and each answer says which time it is about.
    #[test]
    fn sums_are_what_was_counted(
        steps in proptest::collection::vec(step(), 1..40),
        first in proptest::option::of(FIRST..FIRST + 6 * DAY),
        end in proptest::option::of(FIRST..FIRST + 6 * DAY),
        max_rows in 1..6_u64,
    ) {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("weir.db");
        let retention = Retention { max_rows, ..retention() };
        let mut site = Site {
            store: Store::open_to_keep(&path, retention).expect("a store"),
            ..Site::new(retention)
        };
        let mut counted: Vec<(i64, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Count { minute, identity, more } => {
                    site.count(minute, identity, more);
                    counted.push((minute, more));
                }
                Step::Prune { minute, steps } => {
                    for _ in 0..steps {
                        site.store.prune(start_of(minute)).expect("pruned");
                    }
                }
                Step::Kill => {
                    let next = Store::open_to_keep(&path, retention).expect("a store");
                    // No orderly close: a killed process runs no destructor.
                    std::mem::forget(std::mem::replace(&mut site.store, next));
                }
            }
            let (_, _, rows) = site.usage(None, None);
            prop_assert_eq!(denied(&rows), counted.iter().map(|(_, more)| more).sum::<u64>());
        }
        let (from, until, rows) = site.usage(first, end);
        let within = counted.iter().filter(|(minute, _)| (from..until).contains(minute));
        let expected: u64 = within.map(|(_, more)| more).sum();
        prop_assert_eq!(denied(&rows), expected);
        let bytes: u64 = rows.iter().map(|row| row.counts.bytes_out).sum();
        prop_assert_eq!(bytes, 3 * expected);
    }
}
