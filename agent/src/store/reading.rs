//! Reads usage, on the daemon's thread or beside it.

use std::path::Path;

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    Store, StoreError, counters, error::Attempt, measured, process_usage, pruning, schema,
};
use crate::usage::{
    ProcessRow, UsageRow,
    adding::ByInterval,
    measured::Measured,
    period::{Kept, Plan},
};

impl Store {
    /// From when on which periods are kept.
    ///
    /// # Errors
    ///
    /// When the database fails. So for the others below.
    pub fn kept(&self) -> Result<Kept, StoreError> {
        pruning::kept(&self.connection)
    }

    /// Usage in these periods, one row for each combination and interval.
    pub fn usage(
        &self,
        plan: &Plan,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<ByInterval<UsageRow>, StoreError> {
        counters::read(&self.connection, plan, identity, endpoint)
    }

    /// As [`Store::usage`], of what events told of processes.
    pub fn process_usage(
        &self,
        plan: &Plan,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<ByInterval<ProcessRow>, StoreError> {
        process_usage::read(&self.connection, plan, identity, endpoint)
    }
}

/// Usage as it is at one moment, read beside whoever goes on writing. It stays, whatever is added or
/// dropped meanwhile.
pub struct UsageReader {
    connection: Connection,
    kept: Kept,
}

impl UsageReader {
    /// What is in the database at `path` now.
    ///
    /// # Errors
    ///
    /// When the database cannot be read. So for the others below.
    pub fn begin(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_to_read(path)?;
        // Ends with the connection. The first thing that is read fixes the moment.
        connection.execute_batch("BEGIN").attempt("read usage")?;
        let kept = pruning::kept(&connection)?;
        Ok(Self { connection, kept })
    }

    /// As [`Store::kept`].
    #[must_use]
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// When was counted, up to `now`.
    pub fn measured(&self, now: Timestamp) -> Result<Measured, StoreError> {
        measured::read(&self.connection, now).attempt("read when was counted")
    }

    /// As [`Store::usage`].
    pub fn usage(
        &self,
        plan: &Plan,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<ByInterval<UsageRow>, StoreError> {
        counters::read(&self.connection, plan, identity, endpoint)
    }

    /// As [`Store::process_usage`].
    pub fn process_usage(
        &self,
        plan: &Plan,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<ByInterval<ProcessRow>, StoreError> {
        process_usage::read(&self.connection, plan, identity, endpoint)
    }
}
