//! Takes over what the kernel has counted, exactly once, and adds it up again.

use agent_common::{
    counter::{CounterKey, Counters, Counts},
    destination::EndpointId,
    identity::IdentityId,
    policy::RuleId,
    verdict::Reason,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, types::Value};

use super::{
    Store, StoreError,
    error::Attempt,
    from_sql, measured, micros,
    series::{Added, COUNTS, Room, USAGE},
    tallies, timestamp, to_sql,
};
use crate::{
    audit::tally,
    usage::{
        OTHER_ENDPOINT, OTHER_IDENTITY, UsageRow,
        adding::{ByInterval, Sums, Total},
        period::{Plan, minute_of, start_of},
    },
};

impl Store {
    /// Adds what has been counted since the last reading of the same maps to the usage of this
    /// minute. Returns what has been added.
    ///
    /// One transaction moves both the usage and the mark up to which it was taken over, so a kill
    /// at any instant neither loses nor doubles a count. `generation` is the random number of a
    /// set of maps; the marks of other sets are dropped, because their maps are gone. `clock` turns
    /// instants of the boot clock into wall time. What the audit has to tell of is added to its
    /// tallies; `is_risky` says of which endpoints every invocation is told.
    ///
    /// # Errors
    ///
    /// When the database fails: nothing has been taken over then.
    pub fn drain(
        &mut self,
        generation: u64,
        rows: &[(CounterKey, Counters)],
        clock: &dyn Fn(u64) -> Timestamp,
        is_risky: &dyn Fn(EndpointId) -> bool,
        now: Timestamp,
    ) -> Result<Vec<(CounterKey, Counts)>, StoreError> {
        let what = "take over counters";
        // Until what is added is kept, nobody knows how many rows there are.
        let mut room = self.room.take();
        let transaction = self.connection.transaction().attempt(what)?;
        transaction
            .prepare_cached("DELETE FROM watermark WHERE generation <> ?1")
            .and_then(|mut statement| statement.execute([to_sql(generation)]))
            .attempt(what)?;
        measured::note(&transaction, generation, now, self.retention.days).attempt(what)?;
        let minute = minute_of(now);
        let mut added = Vec::new();
        for (key, counters) in rows {
            let before = watermark(&transaction, generation, key).attempt(what)?;
            // A row that was removed and made again counts from zero.
            let is_new = counters.counts.is_behind(&before);
            let delta = counters.since(if is_new { &Counts::ZERO } else { &before });
            if delta.counts.is_zero() {
                continue;
            }
            add_usage(&transaction, &mut room, minute, key, &delta, clock).attempt(what)?;
            let tally = tally(&delta.counts, is_risky(key.endpoint));
            tallies::add(&transaction, key, &tally, now).attempt(what)?;
            set_watermark(&transaction, generation, key, &counters.counts).attempt(what)?;
            added.push((*key, delta.counts));
        }
        transaction.commit().attempt(what)?;
        self.room = room;
        Ok(added)
    }
}

/// Usage in these periods, one row for each combination and interval.
pub(super) fn read(
    connection: &Connection,
    plan: &Plan,
    identity: Option<IdentityId>,
    endpoint: Option<EndpointId>,
) -> Result<ByInterval<UsageRow>, StoreError> {
    let only = (
        identity.map(IdentityId::to_raw),
        endpoint.map(EndpointId::to_raw),
    );
    let mut sums = Sums::new();
    USAGE
        .read(connection, &plan.pieces, only, &mut |row| {
            let interval = plan.interval_of(row.get(0)?);
            sums.add((interval, usage_key(row)?), usage_total(row)?);
            Ok(())
        })
        .attempt("add up usage")?;
    let mut rows = ByInterval::new();
    for ((interval, (identity, endpoint, rule, reason)), total) in sums {
        let Total {
            counts,
            first_seen,
            last_seen,
        } = total;
        let row = UsageRow {
            identity,
            endpoint,
            rule,
            reason,
            counts,
            first_seen,
            last_seen,
        };
        rows.entry(interval).or_insert_with(Vec::new).push(row);
    }
    Ok(rows)
}

fn watermark(
    transaction: &Transaction<'_>,
    generation: u64,
    key: &CounterKey,
) -> Result<Counts, rusqlite::Error> {
    let sql = format!(
        "SELECT {COUNTS} FROM watermark
         WHERE generation = ?1 AND identity = ?2 AND endpoint = ?3 AND rule = ?4 AND reason = ?5"
    );
    let CounterKey {
        identity,
        endpoint,
        rule,
        reason,
    } = key;
    let found = transaction
        .prepare_cached(&sql)?
        .query_row(
            params![
                to_sql(generation),
                identity.to_raw(),
                endpoint.to_raw(),
                rule.to_raw(),
                reason
            ],
            |row| counts(row, 0),
        )
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn set_watermark(
    transaction: &Transaction<'_>,
    generation: u64,
    key: &CounterKey,
    counts: &Counts,
) -> Result<(), rusqlite::Error> {
    let mut values = vec![to_sql(generation)];
    values.extend(key_values(key));
    values.extend(counts.to_array().map(to_sql));
    let places = vec!["?"; values.len()].join(", ");
    let sql = format!(
        "INSERT OR REPLACE INTO watermark (generation, identity, endpoint, rule, reason, {COUNTS})
         VALUES ({places})"
    );
    transaction
        .prepare_cached(&sql)?
        .execute(rusqlite::params_from_iter(values))
        .map(drop)
}

fn add_usage(
    transaction: &Transaction<'_>,
    room: &mut Room,
    minute: i64,
    key: &CounterKey,
    delta: &Counters,
    clock: &dyn Fn(u64) -> Timestamp,
) -> Result<(), rusqlite::Error> {
    let last_seen = micros(clock(delta.last_ns));
    // The kernel's first instant is that of the row's whole life; within a minute that began
    // later, the last reading is the earliest that is known.
    let first_seen = micros(clock(delta.first_ns))
        .max(micros(start_of(minute)))
        .min(last_seen);
    // How often each reason was given stays exact.
    let other = CounterKey {
        identity: OTHER_IDENTITY,
        endpoint: OTHER_ENDPOINT,
        rule: RuleId::NONE,
        reason: key.reason,
    };
    let added = Added {
        minute,
        keys: &key_values(key).map(Value::Integer),
        other: &key_values(&other).map(Value::Integer),
        sums: &delta.counts.to_array().map(to_sql),
        first_seen,
        last_seen,
    };
    USAGE.add(transaction, room, &added)
}

fn key_values(key: &CounterKey) -> [i64; 4] {
    [
        key.identity.to_raw().into(),
        key.endpoint.to_raw().into(),
        key.rule.to_raw().into(),
        key.reason.into(),
    ]
}

fn counts(row: &Row<'_>, start: usize) -> Result<Counts, rusqlite::Error> {
    let mut counts = [0; Counts::LEN];
    for (index, count) in counts.iter_mut().enumerate() {
        *count = from_sql(row.get(start + index)?);
    }
    Ok(Counts::from_array(counts))
}

type UsageKey = (IdentityId, EndpointId, RuleId, Reason);

fn usage_key(row: &Row<'_>) -> Result<UsageKey, rusqlite::Error> {
    let reason: u8 = row.get(4)?;
    Ok((
        IdentityId::from_raw(row.get(1)?),
        EndpointId::from_raw(row.get(2)?),
        RuleId::from_raw(row.get(3)?),
        Reason::from_raw(reason).unwrap_or(Reason::Ungoverned),
    ))
}

fn usage_total(row: &Row<'_>) -> Result<Total, rusqlite::Error> {
    const FIRST_COUNT: usize = 5;
    Ok(Total {
        counts: counts(row, FIRST_COUNT)?,
        first_seen: timestamp(row.get(FIRST_COUNT + Counts::LEN)?),
        last_seen: timestamp(row.get(FIRST_COUNT + Counts::LEN + 1)?),
    })
}
