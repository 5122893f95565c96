//! What was unusual.

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError, error::Attempt, micros, timestamp};
use crate::anomaly::Kind;

/// How many anomalies are kept; those that ended first go first.
const MOST: u32 = 10_000;

/// One anomaly, from its begin on.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAnomaly {
    pub kind: Kind,
    pub identity: Option<IdentityId>,
    pub endpoint: Option<EndpointId>,
    pub grant: Option<String>,
    pub began: Timestamp,
    pub last: Timestamp,
    /// `None` while it goes on.
    pub ended: Option<Timestamp>,
    /// About `-log10` of how often so much happens by chance, where that was found out.
    pub score: Option<f32>,
    /// Calls beyond what was expected, and those of them that were told.
    pub excess: f32,
    pub told: f32,
    pub summary: String,
    /// A JSON object.
    pub facts: String,
    pub is_muted: bool,
    /// What was done about it by itself; empty for nothing.
    pub response: String,
    pub ack: Option<Ack>,
}

/// Somebody has taken note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub at: Timestamp,
    pub by: String,
    pub why: String,
}

/// Which anomalies to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnomalyFilter {
    /// Only those that were seen since.
    pub since: Option<Timestamp>,
    /// Also those of which somebody has taken note, and muted ones.
    pub all: bool,
    /// Only those that go on.
    pub open: bool,
    pub kind: Option<Kind>,
    pub identity: Option<IdentityId>,
    pub endpoint: Option<EndpointId>,
    /// How many of the newest.
    pub limit: u32,
}

impl AnomalyFilter {
    /// All that go on, whoever has taken note of them.
    pub const OPEN: Self = Self {
        since: None,
        all: true,
        open: true,
        kind: None,
        identity: None,
        endpoint: None,
        limit: u32::MAX,
    };
}

const COLUMNS: &str = "id, kind, identity, endpoint, grant_name, began, last, ended, score, excess, \
                       told, summary, facts, is_muted, response, acked, acked_by, ack_why";

impl Store {
    /// Begins an anomaly, and drops the oldest ended ones beyond what is kept.
    ///
    /// # Errors
    ///
    /// When the database fails. So for all below.
    pub fn add_anomaly(&mut self, anomaly: &StoredAnomaly) -> Result<i64, StoreError> {
        let what = "keep an anomaly";
        let StoredAnomaly {
            kind,
            identity,
            endpoint,
            grant,
            began,
            last,
            ended,
            score,
            excess,
            told,
            summary,
            facts,
            is_muted,
            response,
            ack: _,
        } = anomaly;
        let id = self
            .connection
            .prepare_cached(
                "INSERT INTO anomaly (kind, identity, endpoint, grant_name, began, last, ended, score,
                     excess, told, summary, facts, is_muted, response)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING id",
            )
            .and_then(|mut statement| {
                statement.query_row(
                    params![
                        kind.name(),
                        identity.map(IdentityId::to_raw),
                        endpoint.map(EndpointId::to_raw),
                        grant,
                        micros(*began),
                        micros(*last),
                        ended.map(micros),
                        score,
                        excess,
                        told,
                        summary,
                        facts,
                        is_muted,
                        response,
                    ],
                    |row| row.get(0),
                )
            })
            .attempt(what)?;
        let old = "SELECT id FROM anomaly WHERE ended IS NOT NULL AND id <= ?1 - ?2";
        for sql in [
            format!("DELETE FROM anomaly_notice WHERE anomaly IN ({old})"),
            format!("DELETE FROM anomaly WHERE id IN ({old})"),
        ] {
            self.connection
                .prepare_cached(&sql)
                .and_then(|mut statement| statement.execute(params![id, MOST]))
                .attempt(what)?;
        }
        Ok(id)
    }

    /// Replaces what changes while it goes on.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn update_anomaly(&mut self, id: i64, anomaly: &StoredAnomaly) -> Result<(), StoreError> {
        let StoredAnomaly {
            last,
            ended,
            score,
            excess,
            told,
            summary,
            facts,
            response,
            ..
        } = anomaly;
        self.connection
            .prepare_cached(
                "UPDATE anomaly SET last = ?2, ended = ?3, score = ?4, excess = ?5, told = ?6,
                     summary = ?7, facts = ?8, response = ?9 WHERE id = ?1",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    id,
                    micros(*last),
                    ended.map(micros),
                    score,
                    excess,
                    told,
                    summary,
                    facts,
                    response,
                ])
            })
            .map(drop)
            .attempt("keep an anomaly")
    }

    /// Notes that somebody has taken note; the last one counts.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn ack_anomaly(&mut self, id: i64, ack: &Ack) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE anomaly SET acked = ?2, acked_by = ?3, ack_why = ?4 WHERE id = ?1",
                params![id, micros(ack.at), ack.by, ack.why],
            )
            .map(drop)
            .attempt("acknowledge an anomaly")
    }

    /// # Errors
    ///
    /// As above.
    pub fn anomaly(&self, id: i64) -> Result<Option<StoredAnomaly>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM anomaly WHERE id = ?1");
        self.connection
            .query_row(&sql, [id], anomaly)
            .optional()
            .map(|found| found.map(|(_, anomaly)| anomaly))
            .attempt("read an anomaly")
    }

    /// The newest first.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn anomalies(
        &self,
        filter: &AnomalyFilter,
    ) -> Result<Vec<(i64, StoredAnomaly)>, StoreError> {
        let AnomalyFilter {
            since,
            all,
            open,
            kind,
            identity,
            endpoint,
            limit,
        } = filter;
        let sql = format!(
            "SELECT {COLUMNS} FROM anomaly
             WHERE last >= ?1 AND (?2 OR (acked IS NULL AND NOT is_muted))
               AND (NOT ?3 OR ended IS NULL) AND (?4 IS NULL OR kind = ?4)
               AND (?5 IS NULL OR identity = ?5) AND (?6 IS NULL OR endpoint = ?6)
             ORDER BY id DESC LIMIT ?7"
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                let values = params![
                    since.map_or(i64::MIN, micros),
                    all,
                    open,
                    kind.map(Kind::name),
                    identity.map(IdentityId::to_raw),
                    endpoint.map(EndpointId::to_raw),
                    limit,
                ];
                statement.query_map(values, anomaly)?.collect()
            })
            .attempt("read anomalies")
    }

    /// How many there were of each kind, in all time, among those that are kept.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn anomaly_counts(&self) -> Result<Vec<(String, u64, u64)>, StoreError> {
        self.rows(
            "SELECT kind, COUNT(*), COUNT(*) FILTER (WHERE ended IS NULL) FROM anomaly GROUP BY kind",
            |row| {
                let count = |index| row.get(index).map(super::from_sql);
                Ok((row.get(0)?, count(1)?, count(2)?))
            },
        )
    }
}

fn anomaly(row: &Row<'_>) -> Result<(i64, StoredAnomaly), rusqlite::Error> {
    let name: String = row.get(1)?;
    let unknown = || {
        let message = format!("unknown anomaly `{name}`: run the newer weir that wrote it");
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(1, kind, message.into())
    };
    let acked: Option<i64> = row.get(15)?;
    let ack = match acked {
        Some(at) => Some(Ack {
            at: timestamp(at),
            by: row.get(16)?,
            why: row.get(17)?,
        }),
        None => None,
    };
    let stored = StoredAnomaly {
        kind: Kind::from_name(&name).ok_or_else(unknown)?,
        identity: row.get::<_, Option<u32>>(2)?.map(IdentityId::from_raw),
        endpoint: row.get::<_, Option<u32>>(3)?.map(EndpointId::from_raw),
        grant: row.get(4)?,
        began: timestamp(row.get(5)?),
        last: timestamp(row.get(6)?),
        ended: row.get::<_, Option<i64>>(7)?.map(timestamp),
        score: row.get(8)?,
        excess: row.get(9)?,
        told: row.get(10)?,
        summary: row.get(11)?,
        facts: row.get(12)?,
        is_muted: row.get(13)?,
        response: row.get(14)?,
        ack,
    };
    Ok((row.get(0)?, stored))
}

#[cfg(test)]
mod tests;
