//! The rows that make up one endpoint.

use std::collections::BTreeSet;

use super::row::Row;

#[derive(Debug)]
pub(super) struct Group {
    pub provider: String,
    pub is_manage: bool,
    pub is_shared: bool,
    pub hosts: BTreeSet<String>,
    pub evidence: BTreeSet<String>,
}

impl Group {
    pub(super) fn of(row: &Row) -> Self {
        Self {
            provider: row.provider.clone(),
            is_manage: row.is_manage,
            is_shared: row.is_shared,
            hosts: BTreeSet::new(),
            evidence: BTreeSet::new(),
        }
    }

    /// False if the row belongs to another provider or plane.
    pub(super) fn add(&mut self, row: Row) -> bool {
        let Row {
            provider,
            host,
            is_manage,
            is_shared,
            evidence,
        } = row;
        self.is_shared |= is_shared;
        self.hosts.insert(host);
        self.evidence.extend(evidence);
        (&provider, is_manage) == (&self.provider, self.is_manage)
    }

    /// Empty for the default.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        // Containers reach Docker's model runner without TLS.
        let is_docker = self.hosts.contains("model-runner.docker.internal");
        BTreeSet::from_iter(is_docker.then_some(80))
    }
}
