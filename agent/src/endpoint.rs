//! Model endpoints: which hosts and prefixes belong to which provider, on which plane. Resolvers of
//! encrypted DNS are among them: through one, a workload asks for addresses that nobody else sees.
//!
//! Knows names and patterns only: it neither resolves names nor decides about connections.

mod builtin;
mod catalogue;
mod host_pattern;
mod name_tree;

use ipnet::IpNet;

pub use catalogue::{Catalogue, Match};
pub use host_pattern::{HostPattern, HostPatternError};
pub use name_tree::{NameTable, NameUse, build as build_name_tree};

/// A remote API service that serves models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Unique; a part after `/` narrows it: `bedrock-runtime/us-east-1`.
    pub name: String,
    pub provider: String,
    pub plane: Plane,
    pub hosts: Vec<HostPattern>,
    pub cidrs: Vec<IpNet>,
    /// Never empty; [`agent_common::destination::ANY_PORT`] stands for every port.
    pub ports: Vec<u16>,
    pub risk: Risk,
    /// The hosts also serve other things than models.
    pub shared: bool,
    /// Nobody else answers at the addresses of the hosts, whatever other names lead there.
    pub exclusive: bool,
    pub source: Source,
}

impl Endpoint {
    pub const DEFAULT_PORT: u16 = 443;
    /// Name above all resolvers of the built-in catalogue.
    pub const ENCRYPTED_DNS: &str = "encrypted-dns";

    /// Whether this is what the catalogue or a policy means by `selector`: the endpoint's own
    /// name, a name above it, or its provider.
    #[must_use]
    pub fn is_selected_by(&self, selector: &str) -> bool {
        let below = self.name.strip_prefix(selector);
        self.provider == selector
            || below.is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'/', ..]))
    }
}

/// What an endpoint is for: calling models, administering them, or resolving names in secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plane {
    #[default]
    Invoke,
    Manage,
    Resolve,
}

impl Plane {
    pub const ALL: [Self; 3] = [Self::Invoke, Self::Manage, Self::Resolve];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Manage => "manage",
            Self::Resolve => "resolve",
        }
    }
}

/// How much harm a call can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    Low,
    #[default]
    High,
    Critical,
}

impl Risk {
    pub const ALL: [Self; 3] = [Self::Low, Self::High, Self::Critical];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Who says that this endpoint exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The built-in catalogue, and what it relies on.
    Catalogue {
        evidence: String,
        /// Whoever runs it passes calls on to models of other makers.
        is_reseller: bool,
        /// Those of the hosts that serve management too, which their addresses do not tell apart.
        also_manage: Vec<HostPattern>,
    },
    File {
        path: String,
        line: u64,
    },
    Api,
}
