//! Writes objects back as the YAML that [`super::parse()`] reads.

mod subject;

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{policy::Posture, settings::Mode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::subject::SubjectWire;
use super::{
    ConnectionLimit, EgressDeny, End, InvocationGrant, Limits, Object, PostureRule, PostureScope,
    Response, Spec, object::API_VERSION,
};
use crate::{
    endpoint::{Endpoint, Plane},
    usage::period::Period,
};

#[derive(Debug, thiserror::Error)]
#[error("render {kind} `{name}` as YAML")]
pub struct RenderError {
    kind: &'static str,
    name: String,
    #[source]
    source: Box<serde_saphyr::SerializeError>,
}

impl Object {
    /// # Errors
    /// If the serializer cannot express a text.
    pub fn to_yaml(&self) -> Result<String, RenderError> {
        self.render(&self.metadata.annotations)
    }

    /// Changes exactly when what the object says changes; annotations say nothing.
    ///
    /// # Errors
    /// As [`Object::to_yaml`].
    pub fn digest(&self) -> Result<String, RenderError> {
        let text = self.render(&BTreeMap::new())?;
        let hash = Sha256::digest(text.as_bytes());
        Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn render(&self, annotations: &BTreeMap<String, String>) -> Result<String, RenderError> {
        let kind = self.kind().name();
        let document = DocumentWire {
            api_version: API_VERSION,
            kind,
            metadata: MetadataWire {
                name: self.name(),
                annotations,
            },
            spec: SpecWire::from(&self.spec),
        };
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(&document, options).map_err(|source| RenderError {
            kind,
            name: self.name().to_owned(),
            source: Box::new(source),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentWire<'o> {
    api_version: &'static str,
    kind: &'static str,
    metadata: MetadataWire<'o>,
    spec: SpecWire<'o>,
}

#[derive(Serialize)]
struct MetadataWire<'o> {
    name: &'o str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'o BTreeMap<String, String>,
}

/// One schema for all kinds: what a kind does not have stays away.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpecWire<'o> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plane: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subjects: Vec<SubjectWire<'o>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<&'o str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    planes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<&'o str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cidrs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_anomaly: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'o str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ungranted: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undecidable: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quic: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign_sockets: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_sockets: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unresolved: Option<&'static str>,
}

impl<'o> From<&'o Spec> for SpecWire<'o> {
    fn from(spec: &'o Spec) -> Self {
        match spec {
            Spec::ModelEndpoint(endpoint) => endpoint_wire(endpoint),
            Spec::InvocationGrant(grant) => grant_wire(grant),
            Spec::EgressDeny(deny) => deny_wire(deny),
            Spec::Posture(posture) => posture_wire(posture),
        }
    }
}

fn endpoint_wire(endpoint: &Endpoint) -> SpecWire<'_> {
    let Endpoint {
        name: _,
        provider,
        plane,
        hosts,
        cidrs,
        ports,
        risk,
        shared,
        exclusive,
        source: _,
    } = endpoint;
    SpecWire {
        provider: Some(provider),
        plane: Some(plane.name()),
        hosts: hosts.iter().map(|host| host.as_str()).collect(),
        cidrs: cidrs.iter().map(ToString::to_string).collect(),
        ports: ports.clone(),
        risk: Some(risk.name()),
        shared: (*shared || *exclusive).then_some(*shared),
        ..SpecWire::default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitsWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<ConnectionsWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_day: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<ConnectionsWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostWire>,
}

#[derive(Serialize)]
struct CostWire {
    usd: f64,
    per: &'static str,
}

/// As it is written in a document.
const fn per(period: Period) -> &'static str {
    match period {
        Period::Minute => "1m",
        Period::Hour => "1h",
        Period::Day => "1d",
    }
}

#[derive(Serialize)]
struct ConnectionsWire {
    count: u64,
    per: String,
}

impl From<&Limits> for LimitsWire {
    fn from(limits: &Limits) -> Self {
        let Limits {
            connections,
            bytes_per_day,
            calls,
            cost,
        } = limits;
        Self {
            connections: connections.map(|ConnectionLimit { count, per }| ConnectionsWire {
                count,
                per: format!("{per:#}"),
            }),
            bytes_per_day: *bytes_per_day,
            calls: calls.map(|calls| ConnectionsWire {
                count: calls.most,
                per: per(calls.per).to_owned(),
            }),
            cost: cost.map(|cost| CostWire {
                usd: cost.most.to_f64(),
                per: per(cost.per),
            }),
        }
    }
}

fn grant_wire(grant: &InvocationGrant) -> SpecWire<'_> {
    let InvocationGrant {
        subjects,
        endpoints,
        planes,
        purpose,
        ticket,
        validity,
        limits,
        requires_approval,
        gateway,
        on_anomaly,
    } = grant;
    let (not_after, ttl) = match validity.end {
        End::Never => (None, None),
        End::At(instant) => (Some(instant.to_string()), None),
        End::After(ttl) => (None, Some(format!("{ttl:#}"))),
    };
    SpecWire {
        subjects: subjects.iter().map(SubjectWire::from).collect(),
        endpoints: endpoints.iter().map(String::as_str).collect(),
        planes: plane_names(planes),
        purpose: Some(purpose),
        ticket: ticket.as_deref(),
        limits: (!limits.is_none()).then(|| limits.into()),
        approval: requires_approval.then_some("required"),
        gateway: gateway.then_some(true),
        on_anomaly: (*on_anomaly != Response::Notify).then_some(on_anomaly.name()),
        not_before: validity.not_before.map(|instant| instant.to_string()),
        not_after,
        ttl,
        ..SpecWire::default()
    }
}

fn deny_wire(deny: &EgressDeny) -> SpecWire<'_> {
    let EgressDeny {
        subjects,
        endpoints,
        planes,
        cidrs,
        ports,
        reason,
    } = deny;
    let ports = if cidrs.is_empty() {
        Vec::new()
    } else {
        ports.iter().copied().collect()
    };
    SpecWire {
        subjects: subjects.iter().map(SubjectWire::from).collect(),
        endpoints: endpoints.iter().map(String::as_str).collect(),
        planes: if endpoints.is_empty() {
            Vec::new()
        } else {
            plane_names(planes)
        },
        cidrs: cidrs.iter().map(ToString::to_string).collect(),
        ports,
        reason: Some(reason),
        ..SpecWire::default()
    }
}

fn posture_wire(posture: &PostureRule) -> SpecWire<'_> {
    let PostureRule {
        scope,
        mode,
        ungranted,
        undecidable,
        quic,
        foreign_sockets,
        raw_sockets,
        unresolved,
    } = posture;
    let (default, subjects) = match scope {
        PostureScope::Default => (Some(true), Vec::new()),
        PostureScope::Subjects(subjects) => {
            (None, subjects.iter().map(SubjectWire::from).collect())
        }
    };
    SpecWire {
        default,
        subjects,
        mode: (*mode != Mode::Enforce).then_some(mode.name()),
        ungranted: Some(ungranted.name()),
        undecidable: undecidable.map(Posture::name),
        quic: quic.map(Posture::name),
        foreign_sockets: foreign_sockets.map(Posture::name),
        raw_sockets: raw_sockets.map(Posture::name),
        unresolved: unresolved.map(Posture::name),
        ..SpecWire::default()
    }
}

fn plane_names(planes: &BTreeSet<Plane>) -> Vec<&'static str> {
    planes.iter().map(|plane| plane.name()).collect()
}
