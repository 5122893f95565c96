//! What is wrong with a policy file, and where.

/// A place in a file; both count from 1, and 0 means that it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

/// One finding about one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}:{line}:{column}: {field}: {message}")]
pub struct PolicyError {
    pub file: String,
    pub line: u64,
    pub column: u64,
    /// Path of the field, as in `spec.subjects[0].systemd.unit`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl PolicyError {
    #[must_use]
    pub fn new(file: &str, at: Position, field: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            field: field.to_owned(),
            message: message.into(),
        }
    }
}
