//! When counts were taken over: one row for each time without a break.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{from_sql, micros, timestamp, to_sql};
use crate::usage::measured::{Measured, Span, TOLERANCE};

/// How old the end of a row may become before it is written again: an idle agent need not write each
/// time.
const EVERY: SignedDuration = SignedDuration::from_secs(10);
/// Rows that are kept at most, the newest ones.
const MOST: i64 = 10_000;

/// Notes that the maps of this generation are being taken over `now`, and forgets what was before the
/// days that are kept.
pub(super) fn note(
    transaction: &Transaction<'_>,
    generation: u64,
    now: Timestamp,
    kept: SignedDuration,
) -> Result<(), rusqlite::Error> {
    let sql = "SELECT first, last, generation, rowid FROM measured ORDER BY rowid DESC LIMIT 1";
    let newest = transaction
        .prepare_cached(sql)?
        .query_row([], |row| Ok((span(row)?, row.get::<_, i64>(3)?)))
        .optional()?;
    if let Some((newest, number)) = newest {
        let passed = now.duration_since(newest.last);
        let goes_on = newest.generation == generation && !passed.is_negative();
        if goes_on && passed < EVERY {
            return Ok(());
        }
        if goes_on && passed <= TOLERANCE {
            transaction
                .prepare_cached("UPDATE measured SET last = ?1 WHERE rowid = ?2")?
                .execute((micros(now), number))?;
            return Ok(());
        }
    }
    let number = transaction
        .prepare_cached("INSERT INTO measured (first, last, generation) VALUES (?1, ?1, ?2)")?
        .insert((micros(now), to_sql(generation)))?;
    let oldest = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
    transaction
        .prepare_cached("DELETE FROM measured WHERE last < ?1 OR rowid <= ?2")?
        .execute((micros(oldest), number - MOST))?;
    Ok(())
}

pub(super) fn read(connection: &Connection, now: Timestamp) -> Result<Measured, rusqlite::Error> {
    let sql = "SELECT first, last, generation FROM measured ORDER BY rowid";
    let mut statement = connection.prepare_cached(sql)?;
    let spans = statement.query_map([], span)?;
    Ok(Measured::new(spans.collect::<Result<_, _>>()?, now))
}

fn span(row: &Row<'_>) -> Result<Span, rusqlite::Error> {
    Ok(Span {
        first: timestamp(row.get(0)?),
        last: timestamp(row.get(1)?),
        generation: from_sql(row.get(2)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::measured::Coverage;

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn at(second: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(second)
    }

    /// Notes these, and tells how many rows there are and what they say.
    fn noted(times: &[(u64, i64)]) -> (i64, Measured) {
        let mut connection = Connection::open_in_memory().expect("a database");
        let sql = include_str!("schema/10.sql");
        connection.execute_batch(sql).expect("a table");
        let transaction = connection.transaction().expect("a transaction");
        for (generation, second) in times {
            let kept = SignedDuration::from_hours(1);
            note(&transaction, *generation, at(*second), kept).expect("noted");
        }
        let newest = times.last().map_or(0, |(_, second)| *second);
        let measured = read(&transaction, at(newest)).expect("read");
        let rows = transaction.query_row("SELECT COUNT(*) FROM measured", [], |row| row.get(0));
        (rows.expect("rows"), measured)
    }

    #[test]
    fn what_goes_on_is_one_row_and_a_break_begins_another() {
        let (rows, measured) = noted(&[(7, 0), (7, 2), (7, 12), (7, 40), (7, 43)]);
        assert_eq!(rows, 1);
        assert_eq!(measured.coverage(at(0), at(43)), Coverage::Whole);
        let (rows, measured) = noted(&[(7, 0), (7, 20), (7, 300), (8, 310)]);
        assert_eq!(rows, 3);
        assert_eq!(measured.coverage(at(100), at(200)), Coverage::Late);
        assert_eq!(measured.counted(at(-9), at(999)).as_secs(), 300);
    }

    #[test]
    fn what_is_no_longer_kept_is_forgotten() {
        let (rows, measured) = noted(&[(7, 0), (7, 10_000)]);
        assert_eq!((rows, measured.beginning()), (1, Some(at(10_000))));
    }
}
