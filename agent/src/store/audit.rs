//! The audit: records are added in the transaction of what they tell, and never touched again.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::{Store, StoreError, error::Attempt, from_sql, micros, to_sql};
use crate::audit::{
    Action, Actor, Entry, GENESIS, Hash, Record, Row, Target, Verified, Verifier, hex,
};

/// The end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub seq: u64,
    pub hash: Hash,
}

/// Which records to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub since: Option<Timestamp>,
    /// Only greater numbers.
    pub after: Option<u64>,
    pub action: Option<String>,
    /// Name of the target.
    pub name: Option<String>,
    /// None that adds up invocations.
    pub decisions: bool,
    pub limit: u32,
}

/// Reads the records of a database that another thread or process is writing.
pub struct AuditReader {
    connection: Connection,
}

impl AuditReader {
    /// # Errors
    ///
    /// When the database at `path` cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = super::schema::open_to_read(path)?;
        Ok(Self { connection })
    }

    /// As [`Store::audit_records`].
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn records(&self, filter: &AuditFilter) -> Result<Vec<Record>, StoreError> {
        records(&self.connection, filter)
    }

    /// How many records there are of each action.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn counts(&self, since: Option<Timestamp>) -> Result<BTreeMap<String, u64>, StoreError> {
        let sql = "SELECT action, COUNT(*) FROM audit WHERE ?1 IS NULL OR at >= ?1 GROUP BY action";
        self.connection
            .prepare(sql)
            .and_then(|mut statement| {
                let rows = statement.query_map([since.map(micros)], |row| {
                    Ok((row.get(0)?, from_sql(row.get(1)?)))
                })?;
                rows.collect()
            })
            .attempt("count the audit")
    }
}

const COLUMNS: &str = "seq, at, action, outcome, via, uid, user, pid, cgroup, identity, kind, name, \
                       reason, details, hash";

impl Store {
    /// Adds a record to the chain and returns its number.
    ///
    /// Only within [`Store::at_once`], together with what it tells: then there never is one without
    /// the other.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn audit(&mut self, at: Timestamp, entry: &Entry) -> Result<u64, StoreError> {
        let found = self.audit_tail()?;
        if let Some(known) = self.audit_tail
            && found != Some(known)
        {
            // Told in the chain itself, so that it cannot be overlooked later.
            tracing::error!(
                seq = known.seq,
                "the end of the audit is not as it was left"
            );
            let tampered = Entry::new(
                Action::AuditTampered,
                Actor::agent(),
                Target::new("agent", "audit"),
            )
            .because("the last record is not the one that this agent has written")
            .with("expected", known.seq)
            .with("expected_hash", hex(&known.hash));
            self.append(found, at, &tampered)?;
            return self.append(self.audit_tail, at, entry).map(|tail| tail.seq);
        }
        self.append(found, at, entry).map(|tail| tail.seq)
    }

    fn append(
        &mut self,
        last: Option<Tail>,
        at: Timestamp,
        entry: &Entry,
    ) -> Result<Tail, StoreError> {
        let (seq, previous) = last.map_or((1, GENESIS), |tail| (tail.seq + 1, tail.hash));
        let details = serde_json::Value::Object(entry.details.clone()).to_string();
        let row = Row::of(seq, at, entry, &details);
        let hash = row.hash(&previous);
        self.connection
            .prepare_cached(
                "INSERT INTO audit (seq, at, action, outcome, via, uid, user, pid, cgroup, identity,
                     kind, name, reason, details, hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    to_sql(seq),
                    row.at,
                    row.action,
                    row.outcome,
                    row.via,
                    row.uid,
                    row.user,
                    row.pid,
                    row.cgroup,
                    row.identity,
                    row.kind,
                    row.name,
                    row.reason,
                    row.details,
                    hash
                ])
            })
            .attempt("add to the audit")?;
        let tail = Tail { seq, hash };
        self.audit_tail = Some(tail);
        Ok(tail)
    }

    /// The last record as it is in the database.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn audit_tail(&self) -> Result<Option<Tail>, StoreError> {
        self.connection
            .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            .and_then(|mut statement| {
                let found = statement.query_row([], |row| {
                    Ok(Tail {
                        seq: from_sql(row.get(0)?),
                        hash: hash(row.get_ref(1)?.as_blob()?),
                    })
                });
                found.optional()
            })
            .attempt("read the end of the audit")
    }

    /// The last record as this agent knows it; `None` before it has added any.
    #[must_use]
    pub const fn audit_end(&self) -> Option<Tail> {
        self.audit_tail
    }

    /// The hash of one record.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn audit_hash(&self, seq: u64) -> Result<Option<Hash>, StoreError> {
        let sql = "SELECT hash FROM audit WHERE seq = ?1";
        let found = self.connection.query_row(sql, [to_sql(seq)], |row| {
            Ok(hash(row.get_ref(0)?.as_blob()?))
        });
        found.optional().attempt("read the audit")
    }

    /// The newest records that pass `filter`, oldest first; with `after`, the oldest ones behind it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn audit_records(&self, filter: &AuditFilter) -> Result<Vec<Record>, StoreError> {
        records(&self.connection, filter)
    }

    /// The newest record.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn last_record(&self) -> Result<Option<Record>, StoreError> {
        let found = self.audit_records(&AuditFilter {
            limit: 1,
            ..AuditFilter::default()
        });
        found.map(|mut records| records.pop())
    }

    /// The newest record of `action`.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn last_audited(&self, action: Action) -> Result<Option<Record>, StoreError> {
        let found = self.audit_records(&AuditFilter {
            action: Some(action.name().to_owned()),
            limit: 1,
            ..AuditFilter::default()
        });
        found.map(|mut records| records.pop())
    }
}

fn records(connection: &Connection, filter: &AuditFilter) -> Result<Vec<Record>, StoreError> {
    let AuditFilter {
        since,
        after,
        action,
        name,
        decisions,
        limit,
    } = filter;
    let order = if after.is_some() { "ASC" } else { "DESC" };
    let tallies = Action::ALL.into_iter().filter(|action| action.is_tally());
    let tallies: Vec<_> = tallies
        .map(|action| format!("'{}'", action.name()))
        .collect();
    let sql = format!(
        "SELECT * FROM (
             SELECT {COLUMNS} FROM audit
             WHERE (?1 IS NULL OR at >= ?1) AND seq > ?2 AND (?3 IS NULL OR action = ?3)
               AND (?4 IS NULL OR name = ?4) AND NOT (?5 AND action IN ({}))
             ORDER BY seq {order} LIMIT ?6
         ) ORDER BY seq",
        tallies.join(", ")
    );
    let after = to_sql(after.unwrap_or(0));
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            let values = params![since.map(micros), after, action, name, decisions, limit];
            let rows = statement.query_map(values, |row| {
                let (row, hash) = raw(row)?;
                Ok(Record::new(&row, hash))
            })?;
            rows.collect()
        })
        .attempt("read the audit")
}

/// Verifies the database at `path`, which another process may be writing.
///
/// # Errors
///
/// When it cannot be read.
pub fn verify_audit(path: &Path, mut verifier: Verifier) -> Result<Verified, StoreError> {
    let what = "read the audit";
    if !path.exists() {
        return Ok(verifier.finish());
    }
    let connection = super::schema::open_to_read(path)?;
    let sql = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'audit'";
    let n_tables: i64 = connection
        .query_row(sql, [], |row| row.get(0))
        .attempt(what)?;
    if n_tables == 0 {
        return Ok(verifier.finish());
    }
    let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY seq");
    let mut statement = connection.prepare(&sql).attempt(what)?;
    let mut rows = statement.query([]).attempt(what)?;
    while let Some(row) = rows.next().attempt(what)? {
        match raw(row) {
            Ok((row, hash)) => verifier.take(&row, &hash),
            // What no agent writes: text that is none, say.
            Err(_) => verifier.take_unreadable(from_sql(row.get(0).attempt(what)?)),
        }
    }
    Ok(verifier.finish())
}

/// The columns of [`COLUMNS`]. A hash of another length is none.
fn raw<'a>(row: &'a SqlRow<'_>) -> Result<(Row<'a>, Hash), rusqlite::Error> {
    let text =
        |index: usize| -> Result<&'a str, rusqlite::Error> { Ok(row.get_ref(index)?.as_str()?) };
    let option = |index: usize| -> Result<Option<&'a str>, rusqlite::Error> {
        Ok(row.get_ref(index)?.as_str_or_null()?)
    };
    let found = Row {
        seq: from_sql(row.get(0)?),
        at: row.get(1)?,
        action: text(2)?,
        outcome: text(3)?,
        via: text(4)?,
        uid: row.get(5)?,
        user: option(6)?,
        pid: row.get(7)?,
        cgroup: option(8)?,
        identity: option(9)?,
        kind: text(10)?,
        name: text(11)?,
        reason: text(12)?,
        details: text(13)?,
    };
    Ok((found, hash(row.get_ref(14)?.as_blob()?)))
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap_or(GENESIS)
}

#[cfg(test)]
mod tests;
