//! The tables, and how an older file becomes a current one.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{StoreError, error::Attempt};

/// "weir" in ASCII: marks the file as ours.
const APPLICATION_ID: i64 = 0x7765_6972;

/// Each step leads from its index to the next version. Only ever append.
pub(super) const STEPS: [&str; 12] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
    include_str!("schema/7.sql"),
    include_str!("schema/8.sql"),
    include_str!("schema/9.sql"),
    include_str!("schema/10.sql"),
    include_str!("schema/11.sql"),
    include_str!("schema/12.sql"),
];

pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let shown = path.display().to_string();
    if path.exists() {
        // Read-only first: what is not ours, or newer, is not touched.
        inspect(path, &shown)?;
    }
    let failed = |source| StoreError::Open {
        path: shown.clone(),
        source,
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    // A log that begins anew is cut off: what is written over may have to be read from the disk
    // first, and whoever writes would wait for that.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA journal_size_limit = 0;
             PRAGMA synchronous = NORMAL;
             PRAGMA foreign_keys = ON;
             PRAGMA cache_size = -2000;",
        )
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens a file that another process may be writing, and changes nothing in it.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let shown = path.display().to_string();
    Connection::open_with_flags(path, flags).map_err(|error| damaged(&shown, error))
}

/// Refuses a file that this program must not write.
fn inspect(path: &Path, shown: &str) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || -> Result<(i64, i64, i64, String), rusqlite::Error> {
        let connection = Connection::open_with_flags(path, flags)?;
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
        let check = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        let tables =
            connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |row| row.get(0))?;
        Ok((
            pragma("application_id")?,
            pragma("user_version")?,
            tables,
            check,
        ))
    };
    let (application, version, tables, check) = read().map_err(|error| damaged(shown, error))?;
    // What a first start leaves that was killed at once.
    let is_empty = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION_ID && !is_empty {
        return Err(StoreError::Foreign {
            path: shown.to_owned(),
        });
    }
    let known = STEPS.len() as i64;
    if version > known {
        return Err(StoreError::Newer {
            path: shown.to_owned(),
            found: version,
            known,
        });
    }
    if check != "ok" {
        return Err(StoreError::Damaged {
            path: shown.to_owned(),
            why: check.lines().collect::<Vec<_>>().join(" "),
        });
    }
    Ok(())
}

fn damaged(path: &str, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Damaged {
            path,
            why: error.to_string(),
        },
        Some(_) | None => StoreError::Open {
            path,
            source: error,
        },
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let what = "bring the tables up to date";
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .attempt(what)?;
    let done = usize::try_from(version).unwrap_or(0);
    for (index, step) in STEPS.iter().enumerate().skip(done) {
        let transaction = connection.transaction().attempt(what)?;
        transaction.execute_batch(step).attempt(what)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .attempt(what)?;
        transaction
            .pragma_update(None, "user_version", index as i64 + 1)
            .attempt(what)?;
        transaction.commit().attempt(what)?;
    }
    Ok(())
}
