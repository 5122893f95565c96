//! The objects that policy files consist of.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{policy::Posture, settings::Mode};
use ipnet::IpNet;

use super::{Limits, PolicyError, Position, Subject, Validity};
use crate::endpoint::{Endpoint, Plane};

/// A document whose fields are each valid; whether it fits the others, [`super::PolicySet`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub metadata: Metadata,
    pub spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub name: String,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    ModelEndpoint(Endpoint),
    InvocationGrant(InvocationGrant),
    EgressDeny(EgressDeny),
    Posture(PostureRule),
}

/// The right of the subjects to reach the endpoints, for a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationGrant {
    pub subjects: Vec<Subject>,
    /// Endpoints, names above them, providers, or [`ALL_ENDPOINTS`].
    pub endpoints: Vec<String>,
    pub planes: BTreeSet<Plane>,
    pub purpose: String,
    /// What it refers to in a tracker of changes.
    pub ticket: Option<String>,
    pub validity: Validity,
    pub limits: Limits,
    /// Another person must approve it, whatever rules say.
    pub requires_approval: bool,
    /// The subjects call models through these endpoints; that they call another one directly is an
    /// anomaly.
    pub gateway: bool,
    /// What happens by itself when a subject calls unusually often.
    pub on_anomaly: Response,
}

/// What is done about an anomaly, besides telling it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    #[default]
    Notify,
    /// The identity is refused the endpoint for some minutes, again and again while it goes on.
    Throttle,
    /// The identity is refused the endpoint until somebody lets it through again.
    Suspend,
}

impl Response {
    pub const ALL: [Self; 3] = [Self::Notify, Self::Throttle, Self::Suspend];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Throttle => "throttle",
            Self::Suspend => "suspend",
        }
    }
}

/// Refuses the subjects whatever grants say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressDeny {
    pub subjects: Vec<Subject>,
    /// As in [`InvocationGrant::endpoints`].
    pub endpoints: Vec<String>,
    pub planes: BTreeSet<Plane>,
    pub cidrs: Vec<IpNet>,
    /// Ports of `cidrs`; [`agent_common::destination::ANY_PORT`] stands for every port.
    pub ports: BTreeSet<u16>,
    pub reason: String,
}

/// What happens to the subjects at endpoints for which they have no grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostureRule {
    pub scope: PostureScope,
    /// How far this posture goes; the mode of the host goes before it.
    pub mode: Mode,
    pub ungranted: Posture,
    /// What happens to a connection whose name cannot be found out, where the name would matter.
    /// `None`: as `ungranted`.
    pub undecidable: Option<Posture>,
    /// What happens to QUIC, whose names cannot be read. `None`: as `ungranted`.
    pub quic: Option<Posture>,
    /// What happens on a socket that another workload has made. `None`: as `ungranted`.
    pub foreign_sockets: Option<Posture>,
    /// What happens to sockets that are neither TCP nor UDP. `None`: as `ungranted`.
    pub raw_sockets: Option<Posture>,
    /// What happens without a grant to pods whose metadata is not known, where it is stricter than
    /// `ungranted`. `None`: as `ungranted`.
    pub unresolved: Option<Posture>,
}

impl PostureRule {
    /// What happens without a grant to an identity, of which the metadata may be missing.
    #[must_use]
    pub fn without_grant(&self, is_unresolved: bool) -> Posture {
        match self.unresolved {
            Some(Posture::Deny) if is_unresolved => Posture::Deny,
            Some(Posture::Allow | Posture::Deny) | None => self.ungranted,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostureScope {
    /// Every identity that no other posture selects.
    Default,
    Subjects(Vec<Subject>),
}

/// Stands for every endpoint in a list of endpoints.
pub(super) const ALL_ENDPOINTS: &str = "*";

pub(super) const API_VERSION: &str = "weir.dev/v1alpha1";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    ModelEndpoint,
    InvocationGrant,
    EgressDeny,
    Posture,
}

impl Kind {
    pub const ALL: [Self; 4] = [
        Self::ModelEndpoint,
        Self::InvocationGrant,
        Self::EgressDeny,
        Self::Posture,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ModelEndpoint => "ModelEndpoint",
            Self::InvocationGrant => "InvocationGrant",
            Self::EgressDeny => "EgressDeny",
            Self::Posture => "Posture",
        }
    }
}

impl Object {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.spec {
            Spec::ModelEndpoint(_) => Kind::ModelEndpoint,
            Spec::InvocationGrant(_) => Kind::InvocationGrant,
            Spec::EgressDeny(_) => Kind::EgressDeny,
            Spec::Posture(_) => Kind::Posture,
        }
    }

    /// A grant without annotations.
    #[must_use]
    pub fn of_grant(name: &str, grant: &InvocationGrant) -> Self {
        Self {
            metadata: Metadata {
                name: name.to_owned(),
                annotations: BTreeMap::new(),
            },
            spec: Spec::InvocationGrant(grant.clone()),
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }
}

/// A value read from a file, and where its fields stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    pub file: String,
    pub at: Position,
    pub value: T,
    /// Places of the fields that checks across objects may complain about.
    pub(super) places: BTreeMap<String, Position>,
}

impl<T> Located<T> {
    /// For a value that no file holds; errors then name `origin` and line 0.
    #[must_use]
    pub fn nowhere(origin: &str, value: T) -> Self {
        Self {
            file: origin.to_owned(),
            at: Position::default(),
            value,
            places: BTreeMap::new(),
        }
    }

    pub(super) fn error(&self, field: &str, message: impl Into<String>) -> PolicyError {
        let at = self.places.get(field).copied().unwrap_or(self.at);
        PolicyError::new(&self.file, at, field, message)
    }
}
