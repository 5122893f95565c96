//! Suggests a grant that fits what an identity was seen to do.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::destination::EndpointId;
use jiff::Timestamp;

use super::{Core, QuestionError};
use crate::{
    identity::Identity,
    policy::{Evidence, Seen, SuggestError, suggest},
    store::{KnownIdentity, StoreError},
    usage::{ProcessRow, UsageRow},
};

#[derive(Debug, thiserror::Error)]
pub enum SuggestionError {
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    Suggest(#[from] SuggestError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Core {
    /// A policy file for the identity called `name`.
    ///
    /// # Errors
    ///
    /// When there is none, or there is nothing to suggest.
    pub fn suggest(&mut self, name: &str, since: Timestamp) -> Result<String, SuggestionError> {
        let known: Vec<Identity> = self
            .store
            .identities()?
            .into_iter()
            .map(KnownIdentity::into)
            .collect();
        let identity = known.iter().find(|identity| identity.key() == name);
        let identity = identity.ok_or_else(|| QuestionError::NoIdentity(name.to_owned()))?;
        let rows = self.usage(Some(since), None, Some(identity.id), None)?;
        let processes = self.process_usage(Some(since), None, Some(identity.id), None)?;
        Ok(suggest(&Evidence {
            identity,
            others: &known,
            seen: &self.seen(&rows)?,
            executables: &executables(&rows, &processes),
            since,
        })?)
    }

    /// By endpoint; those that policy does not know any more are left out.
    fn seen(&self, rows: &[UsageRow]) -> Result<Vec<Seen>, StoreError> {
        let names = self.store.names()?.endpoints;
        let mut by_endpoint: BTreeMap<EndpointId, Vec<&UsageRow>> = BTreeMap::new();
        for row in rows {
            by_endpoint.entry(row.endpoint).or_default().push(row);
        }
        let seen = by_endpoint.iter().filter_map(|(id, rows)| {
            let endpoint = self.catalogue().get(names.get(id)?)?;
            let sum = |of: &dyn Fn(&UsageRow) -> u64| rows.iter().map(|row| of(row)).sum();
            Some(Seen {
                endpoint: endpoint.name.clone(),
                plane: endpoint.plane,
                allowed: sum(&|row| row.counts.passed()),
                refused: sum(&|row| row.counts.connects_denied + row.counts.datagrams_denied),
                bytes_out: sum(&|row| row.counts.bytes_out),
                bytes_in: sum(&|row| row.counts.bytes_in),
                last: rows.iter().map(|row| row.last_seen).max()?,
            })
        });
        Ok(seen.collect())
    }
}

/// All that called, if events have told of every call.
fn executables(rows: &[UsageRow], processes: &[ProcessRow]) -> BTreeSet<String> {
    let told: u64 = processes
        .iter()
        .filter(|row| row.exe.is_some())
        .map(|row| row.counts.connects_allowed + row.counts.connects_would_deny)
        .sum();
    if told < rows.iter().map(|row| row.counts.passed()).sum() {
        return BTreeSet::new();
    }
    let called = processes
        .iter()
        .filter(|row| row.counts.connects_allowed + row.counts.connects_would_deny > 0);
    called.filter_map(|row| row.exe.clone()).collect()
}
