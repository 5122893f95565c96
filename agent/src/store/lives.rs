//! Lives of grants: each step a row that is never rewritten.

use rusqlite::{Row, params};

use super::{Store, StoreError, error::Attempt, micros, timestamp};
use crate::policy::{By, Entry, Person, Step};

/// Where the object of a life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifePlace {
    /// Asked for, and not yet in the running policy.
    Pending,
    Current,
    Gone,
}

/// A life with all its steps, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLife {
    pub id: i64,
    pub name: String,
    pub digest: String,
    /// Why it needs approval, a clause each.
    pub needs: Vec<String>,
    pub place: LifePlace,
    pub steps: Vec<Entry>,
}

impl LifePlace {
    const fn number(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Current => 1,
            Self::Gone => 2,
        }
    }

    const fn of(number: i64) -> Self {
        match number {
            0 => Self::Pending,
            1 => Self::Current,
            _ => Self::Gone,
        }
    }
}

impl Store {
    /// Begins a life; its first step is added like all others.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn begin_life(
        &mut self,
        name: &str,
        digest: &str,
        needs: &[String],
    ) -> Result<i64, StoreError> {
        let pending = LifePlace::Pending.number();
        self.connection
            .prepare_cached(
                "INSERT INTO grant_life (name, digest, needs, place) VALUES (?1, ?2, ?3, ?4)
                 RETURNING id",
            )
            .and_then(|mut statement| {
                let values = params![name, digest, needs.join("\n"), pending];
                statement.query_row(values, |row| row.get(0))
            })
            .attempt("begin the life of a grant")
    }

    /// # Errors
    ///
    /// When the database fails.
    pub fn add_step(&mut self, life: i64, entry: &Entry) -> Result<(), StoreError> {
        let Entry { step, by, at, why } = entry;
        let (uid, login) = match by {
            By::Agent => (None, None),
            By::Person(Person { uid, login }) => (Some(*uid), *login),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO grant_step (life, position, step, uid, login, at, why)
                 SELECT ?1, COUNT(*), ?2, ?3, ?4, ?5, ?6 FROM grant_step WHERE life = ?1",
            )
            .and_then(|mut statement| {
                statement.execute(params![life, step.name(), uid, login, micros(*at), why])
            })
            .map(drop)
            .attempt("keep a step of a grant's life")
    }

    /// # Errors
    ///
    /// When the database fails.
    pub fn place_life(&mut self, life: i64, place: LifePlace) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE grant_life SET place = ?2 WHERE id = ?1")
            .and_then(|mut statement| statement.execute(params![life, place.number()]))
            .map(drop)
            .attempt("place a grant's life")
    }

    /// Every life whose object is not gone, in the order in which they began.
    ///
    /// # Errors
    ///
    /// When the database fails, or a step is of a newer weir.
    pub fn open_lives(&self) -> Result<Vec<StoredLife>, StoreError> {
        self.lives("place < ?1", LifePlace::Gone.number())
    }

    /// Every life of `name`, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`Store::open_lives`].
    pub fn lives_of(&self, name: &str) -> Result<Vec<StoredLife>, StoreError> {
        self.lives("name = ?1", name)
    }

    fn lives(
        &self,
        condition: &str,
        value: impl rusqlite::ToSql,
    ) -> Result<Vec<StoredLife>, StoreError> {
        let sql = format!(
            "SELECT id, name, digest, needs, place, step, uid, login, at, why
             FROM grant_life JOIN grant_step ON life = id WHERE {condition}
             ORDER BY id, position"
        );
        let read = || -> Result<Vec<StoredLife>, rusqlite::Error> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([value])?;
            let mut lives: Vec<StoredLife> = Vec::new();
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                if lives.last().is_none_or(|life| life.id != id) {
                    lives.push(life(row)?);
                }
                if let Some(life) = lives.last_mut() {
                    life.steps.push(step(row)?);
                }
            }
            Ok(lives)
        };
        read().attempt("read the lives of grants")
    }
}

fn life(row: &Row<'_>) -> Result<StoredLife, rusqlite::Error> {
    let needs: String = row.get(3)?;
    Ok(StoredLife {
        id: row.get(0)?,
        name: row.get(1)?,
        digest: row.get(2)?,
        needs: needs.lines().map(ToOwned::to_owned).collect(),
        place: LifePlace::of(row.get(4)?),
        steps: Vec::new(),
    })
}

fn step(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let name: String = row.get(5)?;
    let unknown = || {
        let message = format!("unknown step `{name}`: run the newer weir that wrote it");
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(5, kind, message.into())
    };
    let uid: Option<u32> = row.get(6)?;
    let login = row.get(7)?;
    Ok(Entry {
        step: Step::from_name(&name).ok_or_else(unknown)?,
        by: uid.map_or(By::Agent, |uid| By::Person(Person { uid, login })),
        at: timestamp(row.get(8)?),
        why: row.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::policy::Basis;

    fn entry(step: Step, by: By) -> Entry {
        Entry {
            step,
            by,
            at: Timestamp::constant(1_750_000_000, 0),
            why: "because".to_owned(),
        }
    }

    #[test]
    fn a_life_reads_back_with_all_its_steps_and_they_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut store = Store::open(&directory.path().join("weir.db")).expect("a store");
        let needs = ["plane manage".to_owned(), "risk critical".to_owned()];
        let id = store.begin_life("g", "d1", &needs).expect("begun");
        let bob = By::Person(Person {
            uid: 0,
            login: Some(1001),
        });
        let steps = [
            entry(
                Step::Request,
                By::Person(Person {
                    uid: 1000,
                    login: None,
                }),
            ),
            entry(Step::Approve(Basis::Person), bob),
            entry(Step::Activate, By::Agent),
        ];
        for step in &steps {
            store.add_step(id, step).expect("a step");
        }
        store.place_life(id, LifePlace::Current).expect("placed");
        let other = store.begin_life("h", "d2", &[]).expect("begun");
        store.add_step(other, &steps[0]).expect("a step");
        store.place_life(other, LifePlace::Gone).expect("placed");

        let expected = StoredLife {
            id,
            name: "g".to_owned(),
            digest: "d1".to_owned(),
            needs: needs.to_vec(),
            place: LifePlace::Current,
            steps: steps.to_vec(),
        };
        assert_eq!(store.open_lives().expect("lives"), [expected]);
        let gone = store.lives_of("h").expect("lives");
        assert_eq!(gone.len(), 1);
        for sql in ["UPDATE grant_step SET why = ''", "DELETE FROM grant_step"] {
            let error = store.connection.execute(sql, []).expect_err("refused");
            assert!(error.to_string().contains("never"), "{error}");
        }
    }
}
