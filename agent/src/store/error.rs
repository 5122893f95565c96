//! What can be wrong with the store, and the way out.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum StoreError {
    #[error(
        "the store `{path}` is damaged ({why}): move it away to start with an empty one, or repair \
         a copy with `sqlite3 {path} .recover`"
    )]
    Damaged { path: String, why: String },
    #[error("`{path}` is a database of another program: choose another state directory")]
    Foreign { path: String },
    #[error(
        "the store `{path}` has version {found}, this weir knows {known}: run the newer weir that \
         wrote it, or move it away to start with an empty one"
    )]
    Newer {
        path: String,
        found: i64,
        known: i64,
    },
    #[error("open the store `{path}`")]
    Open {
        path: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error("{what} in the store")]
    Query {
        what: &'static str,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the store has no number left for another {what}")]
    Exhausted { what: &'static str },
}

/// Says what was attempted when a statement fails.
pub(super) trait Attempt<T> {
    fn attempt(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> Attempt<T> for Result<T, rusqlite::Error> {
    fn attempt(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Query { what, source })
    }
}
