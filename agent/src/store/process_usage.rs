//! Usage by executable and user, added up from events.
//!
//! Events are telemetry: what was lost is missing here and not in the counters, which know neither
//! executable nor user. Whoever reads both can tell how much is missing.

use std::collections::BTreeMap;

use agent_common::{
    destination::EndpointId, event::EventKind, identity::IdentityId, verdict::Verdict,
};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::{
    EventRecord, Store, StoreError, counters::MINUTE, error::Attempt, from_sql, micros, to_sql,
};

/// What processes of one executable and user did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    pub exe: Option<String>,
    pub script: Option<String>,
    pub user: Option<u32>,
    pub allowed: u64,
    pub denied: u64,
    pub would_deny: u64,
    /// Connections that have ended, and their bytes.
    pub closed: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
}

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
            (EventKind::Datagram | EventKind::Foreign, _) => continue,
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
    /// Usage between two instants, whole minutes, one row for each executable, script and user.
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
    ) -> Result<Vec<ProcessUsage>, StoreError> {
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
                "SELECT NULLIF(exe, ''), NULLIF(script, ''), NULLIF(user, -1), SUM(allowed),
                     SUM(denied), SUM(would_deny), SUM(closed), SUM(bytes_out), SUM(bytes_in)
                 FROM process_usage
                 WHERE minute >= ?1 AND minute <= ?2
                   AND (?3 IS NULL OR identity = ?3) AND (?4 IS NULL OR endpoint = ?4)
                 GROUP BY exe, script, user",
            )
            .and_then(|mut statement| {
                let rows = statement.query_map(values, |row| {
                    let count = |index| row.get(index).map(from_sql);
                    Ok(ProcessUsage {
                        exe: row.get(0)?,
                        script: row.get(1)?,
                        user: row.get(2)?,
                        allowed: count(3)?,
                        denied: count(4)?,
                        would_deny: count(5)?,
                        closed: count(6)?,
                        bytes_out: count(7)?,
                        bytes_in: count(8)?,
                    })
                })?;
                rows.collect()
            })
            .attempt("add up usage of processes")
    }
}
