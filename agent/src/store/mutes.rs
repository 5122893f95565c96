//! What nobody is to be told of, and what somebody is still to be told of.

use jiff::Timestamp;
use rusqlite::params;

use super::{Store, StoreError, error::Attempt, micros, timestamp};
use crate::anomaly::Kind;

/// Nobody is told about what matches all that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mute {
    pub id: i64,
    pub kind: Option<Kind>,
    /// Patterns of names, as in policy.
    pub identity: Option<String>,
    pub endpoint: Option<String>,
    pub until: Timestamp,
    pub made: Timestamp,
    pub by: String,
    pub why: String,
}

impl Store {
    /// # Errors
    ///
    /// When the database fails.
    pub fn add_mute(&mut self, mute: &Mute) -> Result<i64, StoreError> {
        self.connection
            .query_row(
                "INSERT INTO anomaly_mute (kind, identity, endpoint, until, made, made_by, why)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
                params![
                    mute.kind.map(Kind::name),
                    mute.identity,
                    mute.endpoint,
                    micros(mute.until),
                    micros(mute.made),
                    mute.by,
                    mute.why
                ],
                |row| row.get(0),
            )
            .attempt("keep a mute")
    }

    /// Ends a mute; `false` if there is none.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn remove_mute(&mut self, id: i64) -> Result<bool, StoreError> {
        self.connection
            .execute("DELETE FROM anomaly_mute WHERE id = ?1", [id])
            .map(|removed| removed > 0)
            .attempt("end a mute")
    }

    /// Those whose time is not over.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn mutes(&self, now: Timestamp) -> Result<Vec<Mute>, StoreError> {
        let mutes = self.rows(
            "SELECT id, kind, identity, endpoint, until, made, made_by, why FROM anomaly_mute
             ORDER BY id",
            |row| {
                let kind: Option<String> = row.get(1)?;
                Ok(Mute {
                    id: row.get(0)?,
                    kind: kind.as_deref().and_then(Kind::from_name),
                    identity: row.get(2)?,
                    endpoint: row.get(3)?,
                    until: timestamp(row.get(4)?),
                    made: timestamp(row.get(5)?),
                    by: row.get(6)?,
                    why: row.get(7)?,
                })
            },
        )?;
        Ok(mutes.into_iter().filter(|mute| mute.until > now).collect())
    }

    /// Notes that `sink` is to be told of an anomaly.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn add_notice(
        &mut self,
        anomaly: i64,
        sink: &str,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO anomaly_notice (anomaly, sink, made) VALUES (?1, ?2, ?3) RETURNING id",
            )
            .and_then(|mut statement| {
                statement.query_row(params![anomaly, sink, micros(now)], |row| row.get(0))
            })
            .attempt("keep a notice")
    }

    /// Notices that nobody has got yet: their ids, of which anomaly, for which sink, since when.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn notices(&self) -> Result<Vec<(i64, i64, String, Timestamp)>, StoreError> {
        self.rows(
            "SELECT id, anomaly, sink, made FROM anomaly_notice ORDER BY id",
            |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    timestamp(row.get(3)?),
                ))
            },
        )
    }

    /// # Errors
    ///
    /// When the database fails.
    pub fn remove_notices(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        let what = "forget a notice";
        let transaction = self.connection.transaction().attempt(what)?;
        for id in ids {
            transaction
                .prepare_cached("DELETE FROM anomaly_notice WHERE id = ?1")
                .and_then(|mut statement| statement.execute([id]))
                .attempt(what)?;
        }
        transaction.commit().attempt(what)
    }
}
