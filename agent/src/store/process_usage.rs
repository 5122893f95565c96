//! Usage by executable and user, added up from events.
//!
//! Events are telemetry: what was lost is missing here and not in the counters, which know neither
//! executable nor user. Whoever reads both can tell how much is missing.

use std::collections::BTreeMap;

use agent_common::{
    counter::Counts, destination::EndpointId, event::EventKind, identity::IdentityId,
    verdict::Verdict,
};
use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

use super::{
    EventRecord, Store, StoreError, counters::MINUTE, error::Attempt, from_sql, micros, timestamp,
    to_sql,
};
use crate::usage::ProcessRow;

type Key<'e> = (
    i64,
    IdentityId,
    EndpointId,
    Option<&'e str>,
    Option<&'e str>,
    Option<u32>,
);

pub(super) fn add(
    transaction: &Transaction<'_>,
    events: &[EventRecord],
) -> Result<(), rusqlite::Error> {
    let mut sums: BTreeMap<Key<'_>, [u64; 6]> = BTreeMap::new();
    for event in events {
        let minute = micros(event.at).div_euclid(MINUTE);
        let key = (
            minute,
            event.identity,
            event.endpoint,
            event.exe.as_deref(),
            event.script.as_deref(),
            event.user,
        );
        let counts: [u64; 6] = match (event.kind, event.verdict) {
            (EventKind::Connect | EventKind::Send, Verdict::Allow) => [1, 0, 0, 0, 0, 0],
            (EventKind::Connect | EventKind::Send, Verdict::Deny) => [0, 1, 0, 0, 0, 0],
            (EventKind::Connect | EventKind::Send, Verdict::WouldDeny) => [0, 0, 1, 0, 0, 0],
            (EventKind::Close, _) => [
                0,
                0,
                0,
                1,
                event.bytes_out.unwrap_or(0),
                event.bytes_in.unwrap_or(0),
            ],
            (EventKind::Datagram | EventKind::Foreign | EventKind::Cut, _) => continue,
        };
        let sum = sums.entry(key).or_default();
        for (total, count) in sum.iter_mut().zip(counts) {
            *total = total.saturating_add(count);
        }
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO process_usage (minute, identity, endpoint, exe, script, user,
             allowed, denied, would_deny, closed, bytes_out, bytes_in)
         VALUES (?1, ?2, ?3, COALESCE(?4, ''), COALESCE(?5, ''), COALESCE(?6, -1),
             ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT DO UPDATE SET allowed = allowed + excluded.allowed,
             denied = denied + excluded.denied, would_deny = would_deny + excluded.would_deny,
             closed = closed + excluded.closed, bytes_out = bytes_out + excluded.bytes_out,
             bytes_in = bytes_in + excluded.bytes_in",
    )?;
    for ((minute, identity, endpoint, exe, script, user), sum) in sums {
        let [allowed, denied, would_deny, closed, out, back] = sum.map(to_sql);
        insert.execute(params![
            minute,
            identity.to_raw(),
            endpoint.to_raw(),
            exe,
            script,
            user,
            allowed,
            denied,
            would_deny,
            closed,
            out,
            back
        ])?;
    }
    Ok(())
}

impl Store {
    /// Usage between two instants, whole minutes, one row for each identity, endpoint, executable,
    /// script and user.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn process_usage(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<Vec<ProcessRow>, StoreError> {
        let first = since.map_or(i64::MIN, |since| micros(since).div_euclid(MINUTE));
        let last = until.map_or(i64::MAX, |until| (micros(until) - 1).div_euclid(MINUTE));
        let values = params![
            first,
            last,
            identity.map(IdentityId::to_raw),
            endpoint.map(EndpointId::to_raw)
        ];
        self.connection
            .prepare_cached(
                "SELECT identity, endpoint, NULLIF(exe, ''), NULLIF(script, ''),
                     NULLIF(user, -1), SUM(allowed), SUM(denied), SUM(would_deny), SUM(closed),
                     SUM(bytes_out), SUM(bytes_in), MIN(minute), MAX(minute)
                 FROM process_usage
                 WHERE minute >= ?1 AND minute <= ?2
                   AND (?3 IS NULL OR identity = ?3) AND (?4 IS NULL OR endpoint = ?4)
                 GROUP BY identity, endpoint, exe, script, user",
            )
            .and_then(|mut statement| statement.query_map(values, process_row)?.collect())
            .attempt("add up usage of processes")
    }
}

fn process_row(row: &Row<'_>) -> Result<ProcessRow, rusqlite::Error> {
    let count = |index| row.get(index).map(from_sql);
    let minute = |index| row.get(index).map(|minute: i64| timestamp(minute * MINUTE));
    Ok(ProcessRow {
        identity: IdentityId::from_raw(row.get(0)?),
        endpoint: EndpointId::from_raw(row.get(1)?),
        exe: row.get(2)?,
        script: row.get(3)?,
        user: row.get(4)?,
        counts: Counts {
            connects_allowed: count(5)?,
            connects_denied: count(6)?,
            connects_would_deny: count(7)?,
            closed: count(8)?,
            bytes_out: count(9)?,
            bytes_in: count(10)?,
            ..Counts::default()
        },
        first_seen: minute(11)?,
        last_seen: minute(12)?,
    })
}
