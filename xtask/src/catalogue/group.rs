//! The rows that make up one endpoint.

use std::collections::BTreeSet;

use super::row::{Plane, Row};

#[derive(Debug)]
pub(super) struct Group {
    pub provider: String,
    pub plane: Plane,
    pub is_shared: bool,
    pub is_reseller: bool,
    pub hosts: BTreeSet<String>,
    /// Those of the hosts that serve management as well.
    pub also_manage: BTreeSet<String>,
    pub cidrs: BTreeSet<String>,
    /// Empty for the default.
    pub ports: BTreeSet<u16>,
    pub evidence: BTreeSet<String>,
}

impl Group {
    pub(super) fn new(provider: &str, plane: Plane) -> Self {
        Self {
            provider: provider.to_owned(),
            plane,
            is_shared: false,
            is_reseller: false,
            hosts: BTreeSet::new(),
            also_manage: BTreeSet::new(),
            cidrs: BTreeSet::new(),
            ports: BTreeSet::new(),
            evidence: BTreeSet::new(),
        }
    }

    /// False if the row belongs to another provider or plane.
    pub(super) fn add(&mut self, row: Row) -> bool {
        let Row {
            provider,
            host,
            plane,
            also_manage,
            is_shared,
            is_reseller,
            evidence,
        } = row;
        self.is_shared |= is_shared;
        self.is_reseller |= is_reseller;
        if host == "model-runner.docker.internal" {
            // Containers reach Docker's model runner without TLS.
            self.ports.insert(80);
        }
        if also_manage {
            self.also_manage.insert(host.clone());
        }
        self.hosts.insert(host);
        self.evidence.extend(evidence);
        (&provider, plane) == (&self.provider, self.plane)
    }
}
