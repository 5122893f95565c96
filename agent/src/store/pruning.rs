//! Drops usage that is older than it has to be kept, a little at a time. What a minute said is in its
//! hour and its day as well, so no sum changes before its day is dropped.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction};

use super::{
    Store, StoreError,
    error::Attempt,
    series::{PROCESS_USAGE, USAGE},
};
use crate::usage::period::{Kept, Period, Retention, minute_of};

/// Rows that are dropped in one step.
const STEP: i64 = 256;

/// From when on which periods are kept.
pub(super) fn kept(connection: &Connection) -> Result<Kept, StoreError> {
    let mut kept = Kept::default();
    connection
        .prepare_cached("SELECT period, minute FROM usage_kept")
        .and_then(|mut statement| {
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let minutes: i64 = row.get(0)?;
                let period = Period::ALL.into_iter().find(|one| one.minutes() == minutes);
                if let Some(period) = period {
                    kept.set(period, row.get(1)?);
                }
            }
            Ok(kept)
        })
        .attempt("read from when on usage is kept")
}

impl Store {
    /// Drops some of what need not be kept. False once nothing is left to drop.
    ///
    /// One transaction moves the mark and drops rows before it, so whoever reads never takes a period
    /// for whole of which a part is gone.
    ///
    /// # Errors
    ///
    /// When the database fails: nothing is dropped then.
    pub fn prune(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let now = minute_of(now);
        let kept = self.kept()?;
        for period in Period::ALL {
            let cutoff = self.retention.cutoff(period, now);
            let cutoff = kept.of(period).map_or(cutoff, |kept| kept.max(cutoff));
            if self.drop_before(period, cutoff)? {
                return Ok(true);
            }
        }
        if self.bytes_in_use()? <= self.retention.max_bytes {
            return Ok(false);
        }
        for period in Period::ALL {
            if let Some(cutoff) = self.next_cutoff(period, now)?
                && self.drop_before(period, cutoff)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// False if there is nothing before it.
    fn drop_before(&mut self, period: Period, cutoff: i64) -> Result<bool, StoreError> {
        let what = "drop old usage";
        let transaction = self.connection.transaction().attempt(what)?;
        let n_dropped = drop_some(&transaction, period, cutoff).attempt(what)?;
        if n_dropped == 0 {
            return Ok(false);
        }
        transaction
            .execute(
                "INSERT INTO usage_kept (period, minute) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET minute = MAX(minute, excluded.minute)",
                (period.minutes(), cutoff),
            )
            .attempt(what)?;
        transaction.commit().attempt(what)?;
        Ok(true)
    }

    /// Up to where the oldest hour of minutes, or the oldest day of a longer period, would have to be
    /// dropped; `None` if that has to stay.
    fn next_cutoff(&self, period: Period, now: i64) -> Result<Option<i64>, StoreError> {
        let mut oldest: Option<i64> = None;
        for series in [&USAGE, &PROCESS_USAGE] {
            let Some(statements) = series.of(period) else {
                continue;
            };
            let sql = format!("SELECT MIN(minute) FROM {}", statements.table);
            let found: Option<i64> = self
                .connection
                .prepare_cached(&sql)
                .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
                .attempt("look for the oldest usage")?;
            oldest = oldest.into_iter().chain(found).min();
        }
        let unit = match period {
            Period::Minute => Period::Hour,
            Period::Hour | Period::Day => Period::Day,
        };
        let next = oldest.map(|oldest| unit.floor(oldest) + unit.minutes());
        Ok(next.filter(|next| *next <= Retention::floor(period, now)))
    }

    /// Size of what is in the database, in bytes. Its file is larger: what was dropped is used again.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn bytes_in_use(&self) -> Result<u64, StoreError> {
        let pragma = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .attempt("look at the size of the store")
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        Ok(pages
            .saturating_mul(pragma("page_size")?)
            .max(0)
            .cast_unsigned())
    }
}

fn drop_some(
    transaction: &Transaction<'_>,
    period: Period,
    cutoff: i64,
) -> Result<usize, rusqlite::Error> {
    for series in [&USAGE, &PROCESS_USAGE] {
        let Some(statements) = series.of(period) else {
            continue;
        };
        let n_dropped = transaction
            .prepare_cached(&statements.delete_before)?
            .execute((cutoff, STEP))?;
        if n_dropped > 0 {
            return Ok(n_dropped);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
