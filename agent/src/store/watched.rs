//! What the watch for anomalies has learnt.

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};

use super::{Store, StoreError, error::Attempt, from_sql, micros, to_sql};
use crate::anomaly::{Common, Pair, Watched};

impl Store {
    /// What the watch had learnt when it was kept last. What another version has kept in another
    /// form is left out: it is learnt again.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn watch(&self) -> Result<(Common, Vec<(Pair, Watched)>), StoreError> {
        let common: Option<(u32, Vec<u8>)> = self
            .connection
            .query_row("SELECT layout, state FROM anomaly_watch", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .attempt("read what was learnt")?;
        let Some(common) = common
            .filter(|(layout, _)| *layout == Watched::LAYOUT)
            .and_then(|(_, state)| decode(&state))
        else {
            return Ok((Common::default(), Vec::new()));
        };
        let series = self.rows(
            "SELECT identity, endpoint, state FROM anomaly_series",
            |row| {
                let pair = Pair {
                    identity: IdentityId::from_raw(row.get(0)?),
                    endpoint: EndpointId::from_raw(row.get(1)?),
                };
                let state: Vec<u8> = row.get(2)?;
                Ok(decode(&state).map(|watched| (pair, watched)))
            },
        )?;
        Ok((common, series.into_iter().flatten().collect()))
    }

    /// Keeps what belongs to no pair. What was kept in another form is dropped.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn keep_common(&mut self, common: &Common) -> Result<(), StoreError> {
        let what = "keep what was learnt";
        let transaction = self.connection.transaction().attempt(what)?;
        let layout = Watched::LAYOUT;
        transaction
            .execute(
                "DELETE FROM anomaly_series
                 WHERE EXISTS (SELECT 1 FROM anomaly_watch WHERE layout <> ?1)",
                [layout],
            )
            .attempt(what)?;
        transaction
            .execute(
                "INSERT OR REPLACE INTO anomaly_watch (id, layout, state) VALUES (1, ?1, ?2)",
                params![layout, encode(common)],
            )
            .attempt(what)?;
        transaction.commit().attempt(what)
    }

    /// Keeps what was learnt of some pairs.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn keep_watched(&mut self, series: &[(Pair, &Watched)]) -> Result<(), StoreError> {
        let what = "keep what was learnt";
        let transaction = self.connection.transaction().attempt(what)?;
        for (pair, watched) in series {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO anomaly_series (identity, endpoint, state)
                     VALUES (?1, ?2, ?3)",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        pair.identity.to_raw(),
                        pair.endpoint.to_raw(),
                        encode(watched)
                    ])
                })
                .attempt(what)?;
        }
        transaction.commit().attempt(what)
    }

    /// Drops the pairs that are not watched any more.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn drop_unwatched(&mut self, has: &dyn Fn(&Pair) -> bool) -> Result<(), StoreError> {
        let what = "drop what was learnt";
        let kept = self.rows("SELECT identity, endpoint FROM anomaly_series", |row| {
            Ok(Pair {
                identity: IdentityId::from_raw(row.get(0)?),
                endpoint: EndpointId::from_raw(row.get(1)?),
            })
        })?;
        for pair in kept.iter().filter(|pair| !has(pair)) {
            self.connection
                .execute(
                    "DELETE FROM anomaly_series WHERE identity = ?1 AND endpoint = ?2",
                    params![pair.identity.to_raw(), pair.endpoint.to_raw()],
                )
                .attempt(what)?;
        }
        Ok(())
    }

    /// What identities were seen to run.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn versions(&self) -> Result<Vec<(IdentityId, u64)>, StoreError> {
        self.rows("SELECT identity, version FROM anomaly_version", |row| {
            Ok((IdentityId::from_raw(row.get(0)?), from_sql(row.get(1)?)))
        })
    }

    /// # Errors
    ///
    /// When the database fails.
    pub fn add_version(
        &mut self,
        identity: IdentityId,
        version: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO anomaly_version (identity, version, seen) VALUES (?1, ?2, ?3)",
            )
            .and_then(|mut statement| {
                statement.execute(params![identity.to_raw(), to_sql(version), micros(now)])
            })
            .map(drop)
            .attempt("keep what an identity runs")
    }

    /// Whether calls of this identity at this endpoint were stored before `minute`, counted since
    /// 1970, as far back as days are kept.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn has_called_before(&self, pair: &Pair, minute: i64) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM usage_day
                 WHERE identity = ?1 AND endpoint = ?2 AND first_seen < ?3
                   AND connects_allowed + connects_would_deny + datagrams_allowed
                     + datagrams_would_deny > 0)",
                params![
                    pair.identity.to_raw(),
                    pair.endpoint.to_raw(),
                    minute * 60_000_000
                ],
                |row| row.get(0),
            )
            .attempt("look for earlier calls")
    }
}

/// Plain numbers always have a form in bytes.
fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}
