//! The newest events.

use std::net::IpAddr;

use agent_common::{
    destination::EndpointId,
    event::EventKind,
    identity::IdentityId,
    policy::RuleId,
    verdict::{Reason, Verdict},
};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError, error::Attempt, from_sql, micros, timestamp, to_sql};

/// One event, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    pub at: Timestamp,
    pub kind: EventKind,
    pub verdict: Verdict,
    pub reason: Reason,
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub rule: RuleId,
    pub address: String,
    pub port: u16,
    pub is_udp: bool,
    pub is_shared: bool,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
    /// Of an interpreter: the file that it was started for.
    pub script: Option<String>,
    pub user: Option<u32>,
    pub cgroup: Option<String>,
    pub bytes_out: Option<u64>,
    pub bytes_in: Option<u64>,
    pub duration_ms: Option<u64>,
}

/// Which events to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub since: Option<Timestamp>,
    /// Only greater ids.
    pub after: Option<u64>,
    pub verdict: Option<Verdict>,
    pub identity: Option<IdentityId>,
    pub endpoint: Option<EndpointId>,
    /// How many of the newest.
    pub limit: u32,
}

/// Where something was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalledPlace {
    /// At every port, if none is given.
    Address(IpAddr, Option<u16>),
    Endpoint(EndpointId),
}

/// What one identity attempted, with one verdict, as far as the kept events tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerRecord {
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub verdict: Verdict,
    pub attempts: u64,
    /// Of the newest attempt, like all that follows.
    pub last_at: Timestamp,
    pub address: String,
    pub port: u16,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
}

const COLUMNS: &str = "at, kind, verdict, reason, identity, endpoint, rule, address, port, is_udp, \
                       is_shared, pid, comm, exe, cgroup, bytes_out, bytes_in, duration_ms, script, user";

impl Store {
    /// Adds events and drops the oldest beyond `keep`.
    ///
    /// # Errors
    ///
    /// When the database fails: none has been added then.
    pub fn add_events(&mut self, events: &[EventRecord], keep: u64) -> Result<(), StoreError> {
        let what = "keep events";
        // Until what is added is kept, nobody knows how many rows there are.
        let mut room = self.room.take();
        let transaction = self.connection.transaction().attempt(what)?;
        let sql = format!(
            "INSERT INTO event ({COLUMNS}) VALUES
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
              ?19, ?20)"
        );
        super::process_usage::add(&transaction, &mut room, events).attempt(what)?;
        {
            let mut insert = transaction.prepare_cached(&sql).attempt(what)?;
            for event in events {
                insert
                    .execute(params![
                        micros(event.at),
                        event.kind as u8,
                        event.verdict as u8,
                        event.reason as u8,
                        event.identity.to_raw(),
                        event.endpoint.to_raw(),
                        event.rule.to_raw(),
                        event.address,
                        event.port,
                        event.is_udp,
                        event.is_shared,
                        event.pid,
                        event.comm,
                        event.exe,
                        event.cgroup,
                        event.bytes_out.map(to_sql),
                        event.bytes_in.map(to_sql),
                        event.duration_ms.map(to_sql),
                        event.script,
                        event.user,
                    ])
                    .attempt(what)?;
            }
        }
        transaction
            .execute(
                "DELETE FROM event WHERE id <= (SELECT MAX(id) FROM event) - ?1",
                [to_sql(keep)],
            )
            .attempt(what)?;
        transaction.commit().attempt(what)?;
        self.room = room;
        Ok(())
    }

    /// The newest events that pass `filter`, oldest first, with their ids.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<(u64, EventRecord)>, StoreError> {
        let EventFilter {
            since,
            after,
            verdict,
            identity,
            endpoint,
            limit,
        } = filter;
        let sql = format!(
            "SELECT * FROM (
                 SELECT id, {COLUMNS} FROM event
                 WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR id > ?2)
                   AND (?3 IS NULL OR verdict = ?3) AND (?4 IS NULL OR identity = ?4)
                   AND (?5 IS NULL OR endpoint = ?5)
                 ORDER BY id DESC LIMIT ?6
             ) ORDER BY id"
        );
        let values = params![
            since.map(micros),
            after.map(to_sql),
            verdict.map(|verdict| verdict as u8),
            identity.map(IdentityId::to_raw),
            endpoint.map(EndpointId::to_raw),
            limit
        ];
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                let rows = statement
                    .query_map(values, |row| Ok((from_sql(row.get(0)?), record(row, 1)?)))?;
                rows.collect()
            })
            .attempt("read events")
    }

    /// Who attempted what at an address, and how often; those who did last come first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn callers(&self, place: &CalledPlace) -> Result<Vec<CallerRecord>, StoreError> {
        let (address, port, endpoint) = match place {
            CalledPlace::Address(address, port) => (Some(address.to_string()), *port, None),
            CalledPlace::Endpoint(endpoint) => (None, None, Some(endpoint.to_raw())),
        };
        // Beside `MAX`, the other columns are those of the newest row.
        self.connection
            .prepare_cached(
                "SELECT identity, endpoint, verdict, address, port, COUNT(*), MAX(at), pid, comm, exe
                 FROM event
                 WHERE kind <> ?1 AND (?2 IS NULL OR address = ?2) AND (?3 IS NULL OR port = ?3)
                   AND (?4 IS NULL OR endpoint = ?4)
                 GROUP BY identity, endpoint, verdict
                 ORDER BY MAX(at) DESC",
            )
            .and_then(|mut statement| {
                let values = params![EventKind::Close as u8, address, port, endpoint];
                let rows = statement.query_map(values, |row| {
                    Ok(CallerRecord {
                        identity: IdentityId::from_raw(row.get(0)?),
                        endpoint: EndpointId::from_raw(row.get(1)?),
                        verdict: Verdict::from_raw(row.get(2)?).unwrap_or(Verdict::Allow),
                        address: row.get(3)?,
                        port: row.get(4)?,
                        attempts: from_sql(row.get(5)?),
                        last_at: timestamp(row.get(6)?),
                        pid: row.get(7)?,
                        comm: row.get(8)?,
                        exe: row.get(9)?,
                    })
                })?;
                rows.collect()
            })
            .attempt("read who has called")
    }

    /// One event by its id.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn event(&self, id: u64) -> Result<Option<EventRecord>, StoreError> {
        self.connection
            .query_row(
                &format!("SELECT {COLUMNS} FROM event WHERE id = ?1"),
                [to_sql(id)],
                |row| record(row, 0),
            )
            .optional()
            .attempt("read an event")
    }
}

fn record(row: &Row<'_>, start: usize) -> Result<EventRecord, rusqlite::Error> {
    let at = |index: usize| start + index;
    Ok(EventRecord {
        at: timestamp(row.get(at(0))?),
        kind: EventKind::from_raw(row.get(at(1))?).unwrap_or(EventKind::Connect),
        verdict: Verdict::from_raw(row.get(at(2))?).unwrap_or(Verdict::Allow),
        reason: Reason::from_raw(row.get(at(3))?).unwrap_or(Reason::Ungoverned),
        identity: IdentityId::from_raw(row.get(at(4))?),
        endpoint: EndpointId::from_raw(row.get(at(5))?),
        rule: RuleId::from_raw(row.get(at(6))?),
        address: row.get(at(7))?,
        port: row.get(at(8))?,
        is_udp: row.get(at(9))?,
        is_shared: row.get(at(10))?,
        pid: row.get(at(11))?,
        comm: row.get(at(12))?,
        exe: row.get(at(13))?,
        cgroup: row.get(at(14))?,
        bytes_out: row.get::<_, Option<i64>>(at(15))?.map(from_sql),
        bytes_in: row.get::<_, Option<i64>>(at(16))?.map(from_sql),
        duration_ms: row.get::<_, Option<i64>>(at(17))?.map(from_sql),
        script: row.get(at(18))?,
        user: row.get(at(19))?,
    })
}
