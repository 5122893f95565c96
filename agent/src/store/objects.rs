//! Policy objects made over the API, and the policy files that ran last.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError, error::Attempt, micros, timestamp};

/// A policy object as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub kind: String,
    pub name: String,
    pub yaml: String,
    /// User who made it.
    pub created_by: String,
    pub created_at: Timestamp,
}

/// Who removed an object, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    pub by: String,
    pub at: Timestamp,
    pub why: Option<String>,
}

/// The policy files of the last revision without mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Name and text.
    pub files: Vec<(String, String)>,
    pub revision: u64,
    pub installed_at: Timestamp,
}

const COLUMNS: &str = "kind, name, yaml, created_by, created_at";

impl Store {
    /// Adds an object or replaces the one of the same kind and name.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn put_object(&mut self, object: &StoredObject) -> Result<(), StoreError> {
        let StoredObject {
            kind,
            name,
            yaml,
            created_by,
            created_at,
        } = object;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO object (kind, name, yaml, created_by, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .and_then(|mut statement| {
                statement.execute(params![kind, name, yaml, created_by, micros(*created_at)])
            })
            .map(drop)
            .attempt("keep an object")
    }

    /// All objects, by kind and name.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn objects(&self) -> Result<Vec<StoredObject>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM object ORDER BY kind, name");
        self.rows(&sql, object)
    }

    /// Moves an object to the history; `None` if there is none. Only within [`Store::at_once`].
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn remove_object(
        &mut self,
        kind: &str,
        name: &str,
        removal: &Removed,
    ) -> Result<Option<StoredObject>, StoreError> {
        let what = "remove an object";
        let sql = format!("DELETE FROM object WHERE kind = ?1 AND name = ?2 RETURNING {COLUMNS}");
        let removed = self
            .connection
            .query_row(&sql, params![kind, name], object)
            .optional()
            .attempt(what)?;
        if let Some(removed) = &removed {
            let StoredObject {
                kind,
                name,
                yaml,
                created_by,
                created_at,
            } = removed;
            let Removed { by, at, why } = removal;
            let (created_at, at) = (micros(*created_at), micros(*at));
            self.connection
                .execute(
                    "INSERT INTO removed_object (kind, name, yaml, created_by, created_at,
                         removed_by, removed_at, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![kind, name, yaml, created_by, created_at, by, at, why],
                )
                .attempt(what)?;
        }
        // A `ttl` of the next object of this name counts from its own first sight.
        self.connection
            .execute(
                "DELETE FROM first_seen WHERE kind = ?1 AND name = ?2",
                params![kind, name],
            )
            .attempt(what)?;
        Ok(removed)
    }

    /// The objects of `kind` that were removed, oldest first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn removed_objects(&self, kind: &str) -> Result<Vec<(StoredObject, Removed)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, removed_by, removed_at, why FROM removed_object
             WHERE kind = ?1 ORDER BY id"
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                let rows = statement.query_map([kind], |row| {
                    let removed = Removed {
                        by: row.get(5)?,
                        at: timestamp(row.get(6)?),
                        why: row.get(7)?,
                    };
                    Ok((object(row)?, removed))
                })?;
                rows.collect()
            })
            .attempt("read removed objects")
    }

    /// The next number for a policy set.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn next_revision(&mut self) -> Result<u64, StoreError> {
        self.connection
            .query_row(
                "UPDATE revision SET newest = newest + 1 RETURNING newest",
                [],
                |row| row.get::<_, i64>(0),
            )
            .map(super::from_sql)
            .attempt("number a revision")
    }

    /// Keeps the files of a revision without mistakes in place of the former ones. Only within
    /// [`Store::at_once`].
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn save_snapshot(
        &mut self,
        files: &[(String, String)],
        revision: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let what = "keep the policy files";
        self.connection
            .execute("DELETE FROM snapshot_file", [])
            .attempt(what)?;
        for (position, (name, text)) in files.iter().enumerate() {
            self.connection
                .execute(
                    "INSERT INTO snapshot_file (position, name, text) VALUES (?1, ?2, ?3)",
                    params![position as i64, name, text],
                )
                .attempt(what)?;
        }
        self.connection
            .execute(
                "UPDATE revision SET snapshot = ?1, installed_at = ?2",
                params![super::to_sql(revision), micros(now)],
            )
            .map(drop)
            .attempt(what)
    }

    /// The files kept last; `None` if no revision ever ran.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let what = "read the kept policy files";
        let kept: Option<(i64, i64)> = self
            .connection
            .query_row(
                "SELECT snapshot, installed_at FROM revision WHERE snapshot IS NOT NULL",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .attempt(what)?;
        let Some((revision, installed_at)) = kept else {
            return Ok(None);
        };
        let sql = "SELECT name, text FROM snapshot_file ORDER BY position";
        Ok(Some(Snapshot {
            files: self.rows(sql, |row| Ok((row.get(0)?, row.get(1)?)))?,
            revision: super::from_sql(revision),
            installed_at: timestamp(installed_at),
        }))
    }
}

/// The columns of [`COLUMNS`].
fn object(row: &Row<'_>) -> Result<StoredObject, rusqlite::Error> {
    Ok(StoredObject {
        kind: row.get(0)?,
        name: row.get(1)?,
        yaml: row.get(2)?,
        created_by: row.get(3)?,
        created_at: timestamp(row.get(4)?),
    })
}
