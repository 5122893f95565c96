//! Reading and verifying the audit.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::Core;
use crate::{
    audit::{Hash, Known, PublicKey, Record, Verified, Verifier},
    host::checkpoints::{CheckpointError, read_proof},
    store::{self, AuditFilter, StoreError},
};

/// Name of the database in the state directory.
pub(in crate::daemon) const DATABASE: &str = "weir.db";

#[derive(Debug, Error)]
pub enum VerifyError {
    #[error("there is no state directory `{0}`")]
    NoDirectory(String),
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compares all records in a state directory with each other and with what proves them. An agent
/// may be writing there.
///
/// # Errors
///
/// When something cannot be read; what is merely wrong is in the answer.
pub fn verify_audit(directory: &Path, known: Known) -> Result<(Verified, PublicKey), VerifyError> {
    if !directory.is_dir() {
        return Err(VerifyError::NoDirectory(directory.display().to_string()));
    }
    let (proof, key) = read_proof(directory)?;
    let verifier = Verifier::new(key, &proof, known);
    let verified = store::verify_audit(&directory.join(DATABASE), verifier)?;
    Ok((verified, key))
}

impl Core {
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn audit_records(&self, filter: &AuditFilter) -> Result<Vec<Record>, StoreError> {
        self.store.audit_records(filter)
    }

    /// Number and hash of the last record that this agent has written.
    #[must_use]
    pub fn audit_end(&self) -> Option<(u64, Hash)> {
        self.store.audit_end().map(|tail| (tail.seq, tail.hash))
    }

    /// File of the store.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.config.state_dir.join(DATABASE)
    }

    #[must_use]
    pub fn state_directory(&self) -> &Path {
        &self.config.state_dir
    }
}
