//! What the agent says about itself.

use std::{collections::BTreeMap, net::IpAddr};

use agent_common::{
    abi,
    destination::EndpointId,
    identity::IdentityId,
    loss::Loss,
    settings::{CloseSource, Mode},
};
use jiff::Timestamp;

use super::{Core, LatencyView, pods::KubernetesView};
use crate::{
    bpf::{Coverage, KernelError},
    endpoint::{Catalogue, Endpoint},
    host::{accounts, name_servers::Trust},
    identity::Labels,
    policy::{Basis, By},
    store::{EventFilter, EventRecord, KnownIdentity, Names, StoreError},
    usage::{OTHER_ENDPOINT, OTHER_IDENTITY},
};

/// `weir status`.
#[derive(Clone, Debug)]
pub struct StatusView {
    pub mode: Mode,
    pub revision: u64,
    pub revision_installed_at: Timestamp,
    pub policy_errors: Vec<String>,
    pub policy_warnings: Vec<String>,
    pub cgroup: String,
    pub started_at: Timestamp,
    pub kernel: String,
    pub coverage: Vec<Coverage>,
    pub close_source: CloseSource,
    pub close_fallback: Option<String>,
    /// Resolvers whose answers are believed.
    pub resolvers: Vec<String>,
    /// Refused connections: ended, gone already, not ended.
    pub ended: [u64; 3],
    /// How long new cgroups waited for their names; `None` before the first.
    pub naming: Option<LatencyView>,
    pub capacity: Vec<CapacityUse>,
    pub losses: Vec<(Loss, u64)>,
    pub identities: usize,
    pub endpoints: usize,
    pub grants: usize,
    /// Grants that wait for approval.
    pub waiting: Vec<String>,
    /// Grants that hold without a second person, until when, and who broke the glass.
    pub broken_glass: Vec<(String, Option<Timestamp>, By)>,
    /// What policy allows and is still worth a look.
    pub findings: Vec<String>,
    pub hosts: usize,
    pub hosts_resolved: usize,
    /// `None`: nobody is asked about pods.
    pub kubernetes: Option<KubernetesView>,
}

/// How full one kernel map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityUse {
    pub what: &'static str,
    pub used: usize,
    pub limit: u32,
}

fn resolver((address, trust): (&IpAddr, &Trust)) -> String {
    match trust {
        Trust::Full => address.to_string(),
        Trust::Hint => format!("{address} (hints)"),
    }
}

impl Core {
    /// # Errors
    ///
    /// When the kernel's maps cannot be read.
    pub fn status(&self) -> Result<StatusView, KernelError> {
        let revision = &self.running.revision;
        let hosts = revision.hosts();
        let has_address = |host: &&String| !self.book.addresses_of(host).is_empty();
        Ok(StatusView {
            mode: self.config.mode,
            revision: self.running.number,
            revision_installed_at: self.running.installed_at,
            policy_errors: self.policy_errors.clone(),
            policy_warnings: self.policy_warnings(),
            cgroup: self.cgroup_directory().display().to_string(),
            started_at: self.started_at,
            kernel: self.host.kernel.clone(),
            coverage: self.attached.coverage.clone(),
            close_source: self.close_source,
            close_fallback: self.close_fallback.clone(),
            resolvers: self.name_servers.iter().map(resolver).collect(),
            ended: self.ended.read(),
            naming: self.naming.view(),
            capacity: self.capacity()?,
            losses: self.maps.counters.losses()?,
            identities: self.workloads.n_live(),
            endpoints: revision.set.endpoint_names().count(),
            grants: revision.set.grant_names().count(),
            waiting: revision.set.waiting().map(ToOwned::to_owned).collect(),
            broken_glass: self.broken_glass(),
            findings: [
                self.findings(&revision.set),
                self.idle_cost_rules(),
                self.crowded(),
                self.unmetered(revision),
                Vec::from_iter(self.absent_policy()),
            ]
            .concat(),
            hosts_resolved: hosts.keys().filter(has_address).count(),
            hosts: hosts.len(),
            kubernetes: self.kubernetes(),
        })
    }

    fn broken_glass(&self) -> Vec<(String, Option<Timestamp>, By)> {
        let standings = self.running.revision.set.standings();
        let broken = standings.filter_map(|standing| {
            let life = self.lives.get(standing.name, standing.digest)?;
            let approval = life.approval()?;
            let is_broken = approval.basis == Basis::BreakGlass && !life.stage().is_over();
            let until = standing.span.not_after;
            is_broken.then(|| (standing.name.to_owned(), until, approval.by))
        });
        broken.collect()
    }

    fn policy_warnings(&self) -> Vec<String> {
        let revision = &self.running.revision;
        let mut warnings = super::policy::lines(&revision.warnings);
        let missing = self.narrowing.missing(&revision.set).into_iter();
        warnings.extend(
            missing.map(|path| {
                format!("the executable `{path}` that policy names is not on this host")
            }),
        );
        warnings
    }

    fn capacity(&self) -> Result<Vec<CapacityUse>, KernelError> {
        let installed = self.maps.policy.installed();
        let rows = [
            (
                "addresses",
                self.installed_addresses.len(),
                abi::MAX_ADDRESSES,
            ),
            ("prefixes", installed.prefixes, abi::MAX_PREFIXES),
            ("rules", installed.rules, abi::MAX_RULES),
            ("cgroups", self.workloads.n_cgroups(), abi::MAX_CGROUPS),
            (
                "counters",
                self.maps.counters.read()?.len(),
                abi::MAX_COUNTERS,
            ),
        ];
        Ok(rows
            .map(|(what, used, limit)| CapacityUse { what, used, limit })
            .to_vec())
    }

    /// Every endpoint with the addresses that are known now.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(Endpoint, Vec<String>)> {
        let catalogue = self.running.revision.set.catalogue();
        catalogue
            .iter()
            .map(|endpoint| (endpoint.clone(), self.addresses_of(endpoint)))
            .collect()
    }

    fn addresses_of(&self, endpoint: &Endpoint) -> Vec<String> {
        let mut addresses: Vec<_> = endpoint
            .hosts
            .iter()
            .flat_map(|host| self.book.addresses_of(host.as_str()))
            .collect();
        addresses.sort();
        addresses.dedup();
        addresses.iter().map(ToString::to_string).collect()
    }

    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        self.running.revision.set.catalogue()
    }

    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.config.mode
    }

    /// The name behind every number.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn names(&self) -> Result<Names, StoreError> {
        let mut names = self.store.names()?;
        let users = accounts::users().into_iter();
        names.users = users.map(|(name, uid)| (uid, name)).collect();
        names
            .identities
            .insert(IdentityId::UNKNOWN, "unknown".to_owned());
        names
            .endpoints
            .insert(EndpointId::OVERFLOW, "overflow".to_owned());
        names.identities.insert(OTHER_IDENTITY, "other".to_owned());
        names.endpoints.insert(OTHER_ENDPOINT, "other".to_owned());
        Ok(names)
    }

    /// Events that have been taken over, oldest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<(u64, EventRecord)>, StoreError> {
        self.store.events(filter)
    }

    /// Events that the kernel could not deliver.
    ///
    /// # Errors
    ///
    /// When the kernel's maps cannot be read.
    pub fn lost_events(&self) -> Result<u64, KernelError> {
        let losses = self.maps.counters.losses()?;
        let full = losses.iter().find(|(loss, _)| *loss == Loss::EventRingFull);
        Ok(full.map_or(0, |(_, count)| *count))
    }

    /// What is known about every identity that has been seen.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn known_labels(&self) -> Result<BTreeMap<IdentityId, Labels>, StoreError> {
        let known = self.store.identities()?;
        Ok(known
            .into_iter()
            .map(|known| (known.id, known.labels))
            .collect())
    }

    /// Every identity that has been seen, with the cgroups that have it now.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn known_identities(&self) -> Result<Vec<(KnownIdentity, Vec<String>)>, StoreError> {
        let known = self.store.identities()?;
        Ok(known
            .into_iter()
            .map(|known| {
                // One of certain processes is where the identity of its cgroup is.
                let base = self.narrowing.base(known.id);
                let cgroups = self
                    .workloads
                    .paths_of(base.map_or(known.id, |base| base.id));
                (known, cgroups)
            })
            .collect())
    }
}
