//! Takes over what the kernel has counted, exactly once, and adds it up again.

use agent_common::{
    counter::{CounterKey, Counters, Counts},
    destination::EndpointId,
    identity::IdentityId,
    policy::RuleId,
    verdict::Reason,
};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Store, StoreError, error::Attempt, from_sql, micros, tallies, timestamp, to_sql};
use crate::{audit::tally, usage::UsageRow};

/// The columns of the counts, in the order of [`Counts::to_array`].
const COUNTS: &str = "connects_allowed, connects_denied, connects_would_deny, datagrams_allowed, \
                      datagrams_denied, datagrams_would_deny, udp_connects, closed, bytes_out, \
                      bytes_in, metered, calls, calls_read, overlaps";
/// `?1, ?2, ...` for what identifies a row and for its counts.
const VALUES: &str = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
                      ?18, ?19";

pub(super) const MINUTE: i64 = 60_000_000;

impl Store {
    /// Adds what has been counted since the last reading of the same maps to the usage of this
    /// minute. Returns how many rows had changed.
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
    ) -> Result<u64, StoreError> {
        let what = "take over counters";
        let transaction = self.connection.transaction().attempt(what)?;
        transaction
            .prepare_cached("DELETE FROM watermark WHERE generation <> ?1")
            .and_then(|mut statement| statement.execute([to_sql(generation)]))
            .attempt(what)?;
        let minute = micros(now).div_euclid(MINUTE);
        let mut changed = 0;
        for (key, counters) in rows {
            let before = watermark(&transaction, generation, key).attempt(what)?;
            // A row that was removed and made again counts from zero.
            let is_new = counters.counts.is_behind(&before);
            let delta = counters.since(if is_new { &Counts::ZERO } else { &before });
            if delta.counts.is_zero() {
                continue;
            }
            add_usage(&transaction, minute, key, &delta, clock).attempt(what)?;
            let tally = tally(&delta.counts, is_risky(key.endpoint));
            tallies::add(&transaction, key, &tally, now).attempt(what)?;
            set_watermark(&transaction, generation, key, &counters.counts).attempt(what)?;
            changed += 1;
        }
        transaction.commit().attempt(what)?;
        Ok(changed)
    }

    /// Usage between two instants, whole minutes, one row for each combination.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn usage(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let sums = COUNTS.replace(", ", "), SUM(");
        let sql = format!(
            "SELECT identity, endpoint, rule, reason, SUM({sums}), MIN(first_seen), MAX(last_seen)
             FROM usage
             WHERE minute >= ?1 AND minute <= ?2
               AND (?3 IS NULL OR identity = ?3) AND (?4 IS NULL OR endpoint = ?4)
             GROUP BY identity, endpoint, rule, reason"
        );
        let first = since.map_or(i64::MIN, |since| micros(since).div_euclid(MINUTE));
        let last = until.map_or(i64::MAX, |until| (micros(until) - 1).div_euclid(MINUTE));
        let identity = identity.map(IdentityId::to_raw);
        let endpoint = endpoint.map(EndpointId::to_raw);
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                let rows =
                    statement.query_map(params![first, last, identity, endpoint], usage_row)?;
                rows.collect()
            })
            .attempt("add up usage")
    }
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
    let sql = format!(
        "INSERT OR REPLACE INTO watermark (generation, identity, endpoint, rule, reason, {COUNTS})
         VALUES ({VALUES})"
    );
    let mut values = vec![to_sql(generation)];
    values.extend(key_values(key));
    values.extend(counts.to_array().map(to_sql));
    transaction
        .prepare_cached(&sql)?
        .execute(rusqlite::params_from_iter(values))
        .map(drop)
}

fn add_usage(
    transaction: &Transaction<'_>,
    minute: i64,
    key: &CounterKey,
    delta: &Counters,
    clock: &dyn Fn(u64) -> Timestamp,
) -> Result<(), rusqlite::Error> {
    let sums: Vec<_> = COUNTS
        .split(", ")
        .map(|column| format!("{column} = {column} + excluded.{column}"))
        .collect();
    let sql = format!(
        "INSERT INTO usage (minute, identity, endpoint, rule, reason, {COUNTS}, first_seen, last_seen)
         VALUES ({VALUES}, ?20, ?21)
         ON CONFLICT DO UPDATE SET {}, last_seen = MAX(last_seen, excluded.last_seen)",
        sums.join(", ")
    );
    let last = micros(clock(delta.last_ns));
    // The kernel's first instant is that of the row's whole life; within a minute that began
    // later, the last reading is the earliest that is known.
    let first = micros(clock(delta.first_ns)).max(minute * MINUTE).min(last);
    let mut values = vec![minute];
    values.extend(key_values(key));
    values.extend(delta.counts.to_array().map(to_sql));
    values.extend([first, last]);
    transaction
        .prepare_cached(&sql)?
        .execute(rusqlite::params_from_iter(values))
        .map(drop)
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

fn usage_row(row: &Row<'_>) -> Result<UsageRow, rusqlite::Error> {
    let reason: u8 = row.get(3)?;
    Ok(UsageRow {
        identity: IdentityId::from_raw(row.get(0)?),
        endpoint: EndpointId::from_raw(row.get(1)?),
        rule: RuleId::from_raw(row.get(2)?),
        reason: Reason::from_raw(reason).unwrap_or(Reason::Ungoverned),
        counts: counts(row, 4)?,
        first_seen: timestamp(row.get(4 + Counts::LEN)?),
        last_seen: timestamp(row.get(5 + Counts::LEN)?),
    })
}
