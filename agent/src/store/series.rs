//! Tables of counts by minute, hour and day: how a count gets into all three, and how it is read.

use std::{collections::BTreeMap, sync::LazyLock};

use rusqlite::{Connection, Row, Transaction, params_from_iter, types::Value};

use crate::usage::period::{Period, Piece};

/// What is counted by one kind of key.
pub(super) struct Series {
    /// By minute; the others have the period's name at the end.
    table: &'static str,
    keys: &'static str,
    /// The columns that are added up.
    sums: &'static str,
    tables: LazyLock<Tables>,
}

type Tables = BTreeMap<Period, Statements>;

/// SQL for one table. A row is the minute, the keys, the sums, and when it was first and last seen.
pub(super) struct Statements {
    pub(super) table: String,
    add: String,
    insert: String,
    rows_at: String,
    pub(super) read: String,
    pub(super) delete_before: String,
}

/// The columns of `Counts`, in the order of its array. A new count is added here, and to the tables.
pub(super) const COUNTS: &str = "connects_allowed, connects_denied, connects_would_deny, \
                                 datagrams_allowed, datagrams_denied, datagrams_would_deny, \
                                 udp_connects, closed, bytes_out, bytes_in, metered, calls, \
                                 overlaps";

/// What the kernel has counted.
pub(super) static USAGE: Series = Series {
    table: "usage",
    keys: "identity, endpoint, rule, reason",
    sums: COUNTS,
    tables: LazyLock::new(|| USAGE.statements()),
};

/// What events told of processes.
pub(super) static PROCESS_USAGE: Series = Series {
    table: "process_usage",
    keys: "identity, endpoint, exe, script, user",
    sums: "allowed, denied, would_deny, closed, bytes_out, bytes_in",
    tables: LazyLock::new(|| PROCESS_USAGE.statements()),
};

/// One row to add.
pub(super) struct Added<'v> {
    pub(super) minute: i64,
    pub(super) keys: &'v [Value],
    /// What takes the place of `keys` where a period has no room for another row.
    pub(super) other: &'v [Value],
    pub(super) sums: &'v [i64],
    /// Microseconds since 1970.
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
}

impl Series {
    pub(super) fn of(&self, period: Period) -> Option<&Statements> {
        self.tables.get(&period)
    }

    fn statements(&self) -> Tables {
        let statements = Period::ALL.map(|period| (period, self.statements_of(period)));
        statements.into_iter().collect()
    }

    fn statements_of(&self, period: Period) -> Statements {
        let Self {
            table, keys, sums, ..
        } = self;
        let table = match period {
            Period::Minute => (*table).to_owned(),
            Period::Hour | Period::Day => format!("{table}_{}", period.name()),
        };
        let key = format!("minute, {keys}");
        let columns = format!("{key}, {sums}, first_seen, last_seen");
        let count = |list: &str| list.split(", ").count();
        let (n_keys, n_sums) = (count(&key), count(sums));
        let places: Vec<_> = (1..=count(&columns)).map(|n| format!("?{n}")).collect();
        let set = sums.split(", ").zip(n_keys + 1..);
        let set: Vec<_> = set
            .map(|(sum, n)| format!("{sum} = {sum} + ?{n}"))
            .collect();
        let is_row = key.split(", ").zip(1..);
        let is_row: Vec<_> = is_row.map(|(key, n)| format!("{key} = ?{n}")).collect();
        let (first, last) = (n_keys + n_sums + 1, n_keys + n_sums + 2);
        Statements {
            add: format!(
                "UPDATE {table} SET {}, first_seen = MIN(first_seen, ?{first}),
                     last_seen = MAX(last_seen, ?{last}) WHERE {}",
                set.join(", "),
                is_row.join(" AND ")
            ),
            insert: format!(
                "INSERT INTO {table} ({columns}) VALUES ({})",
                places.join(", ")
            ),
            rows_at: format!("SELECT COUNT(*) FROM {table} WHERE minute = ?1"),
            read: format!(
                "SELECT {columns} FROM {table} WHERE minute >= ?1 AND minute < ?2
                   AND (?3 IS NULL OR identity = ?3) AND (?4 IS NULL OR endpoint = ?4)"
            ),
            delete_before: format!(
                "DELETE FROM {table} WHERE ({key}) IN (
                     SELECT {key} FROM {table} WHERE minute < ?1 ORDER BY {key} LIMIT ?2)"
            ),
            table,
        }
    }

    /// Adds a row to the minute, hour and day that it is in.
    pub(super) fn add(
        &self,
        transaction: &Transaction<'_>,
        room: &mut Room,
        added: &Added<'_>,
    ) -> Result<(), rusqlite::Error> {
        for (period, statements) in self.tables.iter() {
            let minute = period.floor(added.minute);
            let keys = if add(transaction, statements, minute, added.keys, added)? {
                continue;
            } else if room.take_one(transaction, statements, minute)? {
                added.keys
            } else if add(transaction, statements, minute, added.other, added)? {
                continue;
            } else {
                added.other
            };
            transaction
                .prepare_cached(&statements.insert)?
                .execute(params_from_iter(row(minute, keys, added)))?;
        }
        Ok(())
    }

    /// Tells `each` of the rows of these periods, in no certain order.
    pub(super) fn read(
        &self,
        connection: &Connection,
        pieces: &[Piece],
        only: (Option<u32>, Option<u32>),
        each: &mut dyn FnMut(&Row<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), rusqlite::Error> {
        for Piece { period, first, end } in pieces {
            let Some(statements) = self.of(*period) else {
                continue;
            };
            let mut statement = connection.prepare_cached(&statements.read)?;
            let mut rows = statement.query((first, end, only.0, only.1))?;
            while let Some(row) = rows.next()? {
                each(row)?;
            }
        }
        Ok(())
    }
}

/// False if there is no such row.
fn add(
    transaction: &Transaction<'_>,
    statements: &Statements,
    minute: i64,
    keys: &[Value],
    added: &Added<'_>,
) -> Result<bool, rusqlite::Error> {
    let mut statement = transaction.prepare_cached(&statements.add)?;
    let n_changed = statement.execute(params_from_iter(row(minute, keys, added)))?;
    Ok(n_changed > 0)
}

fn row(minute: i64, keys: &[Value], added: &Added<'_>) -> Vec<Value> {
    let sums = added.sums.iter().copied();
    let counts = sums.chain([added.first_seen, added.last_seen]);
    let mut row = vec![Value::Integer(minute)];
    row.extend(keys.iter().cloned());
    row.extend(counts.map(Value::Integer));
    row
}

/// How many rows the newest periods have: each may have so many, and some that stand for the rest.
#[derive(Debug)]
pub(super) struct Room {
    limit: u64,
    /// By table, of the period that was added to last.
    rows: BTreeMap<String, (i64, u64)>,
}

impl Room {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            rows: BTreeMap::new(),
        }
    }

    /// What is known, for the time of a transaction: should it fail, nothing is.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self::new(self.limit);
        std::mem::replace(self, empty)
    }

    /// True if there is room for one more, which is then taken.
    fn take_one(
        &mut self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        minute: i64,
    ) -> Result<bool, rusqlite::Error> {
        let known = self.rows.get(&statements.table);
        let n_rows = match known {
            Some((of, n_rows)) if *of == minute => *n_rows,
            Some(_) | None => transaction
                .prepare_cached(&statements.rows_at)?
                .query_row([minute], |row| row.get::<_, i64>(0))?
                .cast_unsigned(),
        };
        let has_room = n_rows < self.limit;
        let n_rows = n_rows + u64::from(has_room);
        self.rows.insert(statements.table.clone(), (minute, n_rows));
        Ok(has_room)
    }
}
