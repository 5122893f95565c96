//! Invocations that no record of the audit stands for yet. They are added in the transaction that
//! takes the counters over, so a kill loses none.

use agent_common::{
    counter::CounterKey, destination::EndpointId, identity::IdentityId, policy::RuleId,
    verdict::Reason,
};
use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

use super::{Store, StoreError, error::Attempt, from_sql, micros, timestamp, to_sql};
use crate::audit::{Action, Entry, Outcome, Tally, interval};

pub(super) fn add(
    transaction: &Transaction<'_>,
    key: &CounterKey,
    tallies: &[(Action, Outcome, u64)],
    now: Timestamp,
) -> Result<(), rusqlite::Error> {
    let CounterKey {
        identity,
        endpoint,
        rule,
        reason,
    } = key;
    for (action, outcome, count) in tallies {
        transaction
            .prepare_cached(
                "INSERT INTO audit_tally
                     (action, outcome, identity, endpoint, reason, rule, count, since, due)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
                 ON CONFLICT DO UPDATE SET count = count + excluded.count, rule = excluded.rule,
                     since = CASE count WHEN 0 THEN excluded.since ELSE since END",
            )?
            .execute(params![
                action.name(),
                outcome.name(),
                identity.to_raw(),
                endpoint.to_raw(),
                reason,
                rule.to_raw(),
                to_sql(*count),
                micros(now)
            ])?;
    }
    Ok(())
}

impl Store {
    /// Makes a record of each of [`Store::due_tallies`] that counts something. A power failure may
    /// take all of it back.
    ///
    /// # Errors
    ///
    /// When the database fails: then the tallies stay.
    pub fn record_tallies(
        &mut self,
        tallies: &[Tally],
        now: Timestamp,
        tell: &dyn Fn(&Tally) -> Entry,
    ) -> Result<(), StoreError> {
        self.soon_at_once(|store| {
            for tally in tallies {
                if tally.count > 0 {
                    store.audit(now, &tell(tally))?;
                }
                store.begin_anew(tally, now)?;
            }
            Ok(())
        })
    }

    /// The tallies whose time has come; with `all`, every one that counts something, too.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn due_tallies(&self, now: Timestamp, all: bool) -> Result<Vec<Tally>, StoreError> {
        // A due time that lies too far ahead was written before the clock was set back.
        let furthest = Action::ALL
            .into_iter()
            .map(interval)
            .max()
            .unwrap_or_default();
        let furthest = now.saturating_add(furthest).unwrap_or(now);
        self.connection
            .prepare_cached(
                "SELECT action, outcome, identity, endpoint, reason, rule, count, since
                 FROM audit_tally
                 WHERE due <= ?1 OR due > ?2 OR (?3 AND count > 0)
                 ORDER BY since, action, outcome, identity, endpoint, reason",
            )
            .and_then(|mut statement| {
                let values = params![micros(now), micros(furthest), all];
                let rows = statement.query_map(values, tally)?;
                rows.collect()
            })
            .attempt("read what the audit has to tell of")
    }

    /// After a record the next one has to wait; a time without any needs no place.
    fn begin_anew(&mut self, tally: &Tally, now: Timestamp) -> Result<(), StoreError> {
        let Tally {
            action,
            outcome,
            identity,
            endpoint,
            reason,
            rule: _,
            count,
            since: _,
        } = tally;
        let due = now.saturating_add(interval(*action)).unwrap_or(now);
        let sql = if *count > 0 {
            "INSERT OR REPLACE INTO audit_tally
                 (action, outcome, identity, endpoint, reason, rule, count, since, due)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?6)"
        } else {
            "DELETE FROM audit_tally
             WHERE action = ?1 AND outcome = ?2 AND identity = ?3 AND endpoint = ?4 AND reason = ?5"
        };
        let key = params![
            action.name(),
            outcome.name(),
            identity.to_raw(),
            endpoint.to_raw(),
            *reason as u8,
            micros(due)
        ];
        let key = if *count > 0 { key } else { &key[..5] };
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(key))
            .map(drop)
            .attempt("begin a tally anew")
    }
}

fn tally(row: &Row<'_>) -> Result<Tally, rusqlite::Error> {
    let action: String = row.get(0)?;
    let outcome: String = row.get(1)?;
    let reason: u8 = row.get(4)?;
    Ok(Tally {
        action: Action::from_name(&action).unwrap_or(Action::InvocationRefused),
        outcome: Outcome::from_name(&outcome).unwrap_or(Outcome::Refused),
        identity: IdentityId::from_raw(row.get(2)?),
        endpoint: EndpointId::from_raw(row.get(3)?),
        reason: Reason::from_raw(reason).unwrap_or(Reason::Ungoverned),
        rule: RuleId::from_raw(row.get(5)?),
        count: from_sql(row.get(6)?),
        since: timestamp(row.get(7)?),
    })
}

#[cfg(test)]
mod tests {
    use agent_common::counter::{Counters, Counts};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        audit::{Actor, Target},
        store::AuditFilter,
    };

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn later(seconds: i64) -> Timestamp {
        NOW + jiff::SignedDuration::from_secs(seconds)
    }

    fn store() -> (TempDir, Store) {
        let directory = TempDir::new().expect("a directory");
        let store = Store::open(&directory.path().join("weir.db")).expect("a store");
        (directory, store)
    }

    /// The kernel has counted so many refusals by now.
    fn drain(store: &mut Store, denied: u64, now: Timestamp) {
        let key = CounterKey {
            identity: IdentityId::from_raw(7),
            endpoint: EndpointId::from_raw(2),
            rule: RuleId::NONE,
            reason: Reason::NoGrant as u32,
        };
        let counts = Counts {
            connects_denied: denied,
            ..Counts::ZERO
        };
        let counters = Counters {
            counts,
            first_ns: 1,
            last_ns: 2,
        };
        let rows = [(key, counters)];
        store
            .drain(1, &rows, &|_| now, &|_| false, now)
            .expect("drained");
    }

    fn record(store: &mut Store, now: Timestamp, all: bool) -> usize {
        let tell = |tally: &Tally| {
            Entry::new(tally.action, Actor::agent(), Target::new("endpoint", "x"))
                .ended(tally.outcome)
                .with("count", tally.count)
        };
        let due = store.due_tallies(now, all).expect("read");
        store.record_tallies(&due, now, &tell).expect("recorded");
        due.iter().filter(|tally| tally.count > 0).count()
    }

    fn counts(store: &Store) -> Vec<u64> {
        let records = store.audit_records(&AuditFilter {
            limit: 100,
            ..AuditFilter::default()
        });
        let records = records.expect("read").into_iter();
        records
            .filter_map(|record| record.detail("count")?.as_u64())
            .collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_add_up_to_a_record_a_minute() {
        let (_directory, mut store) = store();
        drain(&mut store, 1, NOW);
        assert_eq!(record(&mut store, NOW, false), 1);
        for second in 1..60_u32 {
            drain(&mut store, 1 + u64::from(second) * 10, later(second.into()));
            assert_eq!(record(&mut store, later(second.into()), false), 0);
        }
        assert_eq!(record(&mut store, later(60), false), 1);
        assert_eq!(counts(&store), [1, 590]);
        // A quiet minute needs no record, and then the next one is told at once.
        assert_eq!(record(&mut store, later(120), false), 0);
        drain(&mut store, 600, later(121));
        assert_eq!(record(&mut store, later(121), false), 1);
        assert_eq!(counts(&store), [1, 590, 9]);
    }

    #[test]
    fn a_stop_tells_what_is_left_and_a_kill_keeps_it() {
        let (directory, mut store) = store();
        drain(&mut store, 1, NOW);
        record(&mut store, NOW, false);
        drain(&mut store, 5, later(1));
        drop(store);

        let mut store = Store::open(&directory.path().join("weir.db")).expect("a store");
        assert_eq!(record(&mut store, later(2), true), 1);
        assert_eq!(record(&mut store, later(2), true), 0);
        assert_eq!(counts(&store), [1, 4]);
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let (_directory, mut store) = store();
        drain(&mut store, 1, later(1_000_000));
        record(&mut store, later(1_000_000), false);
        drain(&mut store, 3, NOW);
        assert_eq!(record(&mut store, NOW, false), 1);
        assert_eq!(counts(&store), [1, 2]);
    }
}
