//! What must survive: names and their numbers, objects made over the API, usage, events, pods, the
//! audit.
//!
//! An embedded SQLite database with a write-ahead log. A killed process loses nothing that was
//! committed; a power failure may lose what came since the last checkpoint, never the file. The
//! daemon is the only writer. Nothing here reads a clock.

mod anomalies;
mod audit;
mod checkpoint;
mod counters;
mod error;
mod events;
mod labels;
mod lives;
mod measured;
mod mutes;
mod names;
mod objects;
mod pods;
mod process_usage;
mod pruning;
mod reading;
mod schema;
mod series;
mod tallies;
mod tasks;
mod watched;

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;

pub use self::{
    anomalies::{Ack, AnomalyFilter, StoredAnomaly},
    audit::{AuditFilter, AuditReader, Tail, verify_audit},
    error::StoreError,
    events::{CalledPlace, CallerRecord, EventFilter, EventRecord},
    lives::{LifePlace, StoredLife},
    mutes::Mute,
    names::{KnownIdentity, Names, RuleKind},
    objects::{Removed, Snapshot, StoredObject},
    pods::StoredPod,
    reading::UsageReader,
    tasks::StoredTask,
};
use self::{checkpoint::Checkpoints, error::Attempt, series::Room};
use crate::{error_chain, usage::period::Retention};

pub struct Store {
    /// Dropped before the connection.
    _checkpoints: Option<Checkpoints>,
    connection: Connection,
    /// End of the audit as this agent left it; `None` before it has added anything.
    audit_tail: Option<Tail>,
    /// How long usage is kept, and how much of it.
    retention: Retention,
    room: Room,
}

impl Store {
    /// Opens the database at `path`; makes it, or brings it up to date, if need be.
    ///
    /// # Errors
    ///
    /// When the file is damaged, belongs to something else or to a newer weir: it is left as it
    /// is, and the message says what to do.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_to_keep(path, Retention::default())
    }

    /// As [`Store::open`], with another time for which usage is kept.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_to_keep(path: &Path, retention: Retention) -> Result<Self, StoreError> {
        let mut connection = schema::open(path)?;
        let checkpoints = Checkpoints::start(&mut connection, path)
            .inspect_err(|error| {
                let error = error_chain(error);
                tracing::warn!(error, "changes of the store wait for the disk");
            })
            .ok();
        Ok(Self {
            connection,
            audit_tail: None,
            _checkpoints: checkpoints,
            room: Room::new(retention.max_rows),
            retention,
        })
    }

    /// Does `work` in one transaction: all of it is kept, or nothing. Thousands of small writes
    /// then cost little more than one. It must not use what opens a transaction of its own.
    ///
    /// What was done is on the disk when this returns: a power failure does not take it back.
    ///
    /// # Errors
    ///
    /// When `work` fails, or the database does.
    pub fn at_once<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let what = "write several things at once";
        self.connection
            .execute_batch("PRAGMA synchronous = FULL")
            .attempt(what)?;
        let done = self.soon_at_once(work);
        let relaxed = self
            .connection
            .execute_batch("PRAGMA synchronous = NORMAL")
            .attempt(what);
        let done = done?;
        relaxed?;
        Ok(done)
    }

    /// As [`Store::at_once`], but does not wait for the disk.
    fn soon_at_once<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let what = "write several things at once";
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .attempt(what)?;
        let audit_tail = self.audit_tail;
        let result = work(self);
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.connection.execute_batch(end).attempt(what);
        if result.is_err() || ended.is_err() {
            self.audit_tail = audit_tail;
        }
        let done = result?;
        ended?;
        Ok(done)
    }
}

/// Microseconds since 1970, the form of every instant in the database.
fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

/// Counts are stored bit for bit: SQLite has no unsigned integers, and nothing compares them there.
fn to_sql(count: u64) -> i64 {
    count.cast_signed()
}

fn from_sql(count: i64) -> u64 {
    count.cast_unsigned()
}

#[cfg(test)]
mod tests;
