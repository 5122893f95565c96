//! The `spec` of each kind.

use std::collections::BTreeSet;

use agent_common::{destination::ANY_PORT, policy::Posture, settings::Mode};

use super::{
    Place, limits,
    reader::{Allowed, Field, Fields, Reader},
    subject, value,
};
use crate::{
    endpoint::{Endpoint, HostPattern, Plane, Risk, Source},
    policy::{
        EgressDeny, End, InvocationGrant, Kind, PostureRule, PostureScope, Response, Spec, Subject,
        Validity,
    },
};

const ENDPOINT: Allowed = Allowed {
    fields: &[
        "provider", "plane", "hosts", "cidrs", "ports", "risk", "shared",
    ],
};

const GRANT: Allowed = Allowed {
    fields: &[
        "subjects",
        "endpoints",
        "planes",
        "purpose",
        "ticket",
        "approval",
        "notBefore",
        "notAfter",
        "ttl",
        "limits",
        "gateway",
        "onAnomaly",
    ],
};

const DENY: Allowed = Allowed {
    fields: &[
        "subjects",
        "endpoints",
        "planes",
        "cidrs",
        "ports",
        "reason",
    ],
};

const POSTURE: Allowed = Allowed {
    fields: &[
        "subjects",
        "default",
        "mode",
        "ungranted",
        "undecidable",
        "quic",
        "foreignSockets",
        "rawSockets",
        "unresolved",
    ],
};

/// `None` if anything in `field` is wrong.
pub(super) fn read(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    kind: Kind,
    name: &str,
    place: &Place,
) -> Option<Spec> {
    let n_errors = reader.errors.len();
    let spec = match kind {
        Kind::ModelEndpoint => endpoint(reader, field, name, place).map(Spec::ModelEndpoint),
        Kind::InvocationGrant => grant(reader, field).map(Spec::InvocationGrant),
        Kind::EgressDeny => deny(reader, field).map(Spec::EgressDeny),
        Kind::Posture => posture(reader, field).map(Spec::Posture),
    };
    spec.filter(|_| reader.errors.len() == n_errors)
}

fn endpoint(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    name: &str,
    place: &Place,
) -> Option<Endpoint> {
    let fields = reader.fields(field, &ENDPOINT)?;
    let provider = reader
        .required(
            &fields,
            "provider",
            "say who runs the service, as in `vllm`",
        )
        .and_then(|field| value::name(reader, field, false));
    let plane = fields
        .get("plane")
        .and_then(|field| value::plane(reader, field));
    let hosts = fields
        .get("hosts")
        .map_or_else(Vec::new, |field| hosts(reader, field));
    let cidrs = fields
        .get("cidrs")
        .map_or_else(Vec::new, |field| value::cidrs(reader, field));
    if !fields.has("hosts") && !fields.has("cidrs") {
        reader.refuse(field, "reaches nothing: give hosts or cidrs");
    }
    let ports = fields.get("ports").map_or_else(
        || BTreeSet::from([Endpoint::DEFAULT_PORT]),
        |field| value::ports(reader, field),
    );
    let risk = fields
        .get("risk")
        .and_then(|field| reader.word(field, &Risk::ALL, Risk::name));
    let shared = fields.get("shared").and_then(|field| reader.flag(field));
    let source = Source::File {
        path: place.file.clone(),
        line: place.line,
    };
    Some(Endpoint {
        name: name.to_owned(),
        provider: provider?,
        plane: plane.unwrap_or_default(),
        hosts,
        cidrs,
        ports: ports.into_iter().collect(),
        risk: risk.unwrap_or_default(),
        shared: shared == Some(true),
        exclusive: shared == Some(false),
        source,
    })
}

fn hosts(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<HostPattern> {
    let mut hosts = Vec::new();
    for item in reader.list(field) {
        let Some(text) = reader.text(&item) else {
            continue;
        };
        match HostPattern::parse(text) {
            Ok(host) if host.is_exact_in_kernel() => hosts.push(host),
            Ok(_) => reader.refuse(
                &item,
                "has a `*` inside a label that is not beside the label's only `-`: write `x-*`, `*-x` \
                 or `*`",
            ),
            Err(error) => reader.refuse(&item, error.to_string()),
        }
    }
    hosts
}

fn grant(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<InvocationGrant> {
    let fields = reader.fields(field, &GRANT)?;
    let subjects = subjects(reader, &fields);
    let endpoints = reader
        .required(
            &fields,
            "endpoints",
            "say what the grant is for; `*` is every endpoint",
        )
        .map_or_else(Vec::new, |field| selectors(reader, field));
    let planes = fields.get("planes").map_or_else(
        || default_planes(&endpoints),
        |field| value::planes(reader, field),
    );
    let purpose = reader
        .required(&fields, "purpose", "say why the subjects may do this")
        .and_then(|field| value::words(reader, field));
    let ticket = fields
        .get("ticket")
        .and_then(|field| value::words(reader, field));
    let requires_approval = fields
        .get("approval")
        .and_then(|field| reader.word(field, &[()], |()| "required"))
        .is_some();
    let gateway = fields.get("gateway").and_then(|field| reader.flag(field));
    let on_anomaly = fields
        .get("onAnomaly")
        .and_then(|field| reader.word(field, &Response::ALL, Response::name));
    let validity = validity(reader, &fields);
    let limits = fields
        .get("limits")
        .and_then(|field| limits::read(reader, field));
    Some(InvocationGrant {
        subjects,
        endpoints,
        planes,
        purpose: purpose?,
        ticket,
        validity,
        limits: limits.unwrap_or_default(),
        requires_approval,
        gateway: gateway.unwrap_or_default(),
        on_anomaly: on_anomaly.unwrap_or_default(),
    })
}

/// Calls, and resolvers if they are named: `*` never means them by itself.
fn default_planes(endpoints: &[String]) -> BTreeSet<Plane> {
    let names_resolvers = endpoints.iter().any(|selector| {
        let below = selector.strip_prefix(Endpoint::ENCRYPTED_DNS);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let resolve = names_resolvers.then_some(Plane::Resolve);
    BTreeSet::from_iter(std::iter::once(Plane::Invoke).chain(resolve))
}

fn validity(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Validity {
    let not_before = fields
        .get("notBefore")
        .and_then(|field| value::time(reader, field));
    let not_after = fields
        .get("notAfter")
        .and_then(|field| value::time(reader, field));
    let ttl = fields
        .get("ttl")
        .and_then(|field| value::duration(reader, field));
    for name in ["notAfter", "ttl"] {
        if let Some(field) = fields.get(name) {
            reader.remember(field);
        }
    }
    if let (Some(_), Some(field)) = (fields.get("notAfter"), fields.get("ttl")) {
        reader.refuse(field, "cannot be combined with notAfter: write one of them");
    }
    if let (Some(start), Some(end), Some(field)) = (not_before, not_after, fields.get("notAfter"))
        && end <= start
    {
        reader.refuse(field, "must be later than notBefore");
    }
    let end = match (not_after, ttl) {
        (Some(instant), _) => End::At(instant),
        (None, Some(ttl)) => End::After(ttl),
        (None, None) => End::Never,
    };
    Validity { not_before, end }
}

fn deny(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<EgressDeny> {
    let fields = reader.fields(field, &DENY)?;
    let subjects = subjects(reader, &fields);
    let endpoints = fields
        .get("endpoints")
        .map_or_else(Vec::new, |field| selectors(reader, field));
    let cidrs = fields
        .get("cidrs")
        .map_or_else(Vec::new, |field| value::cidrs(reader, field));
    if !fields.has("endpoints") && !fields.has("cidrs") {
        reader.refuse(field, "refuses nothing: give endpoints or cidrs");
    }
    if let (false, Some(planes)) = (fields.has("endpoints"), fields.get("planes")) {
        reader.refuse(
            planes,
            "belongs to endpoints: give endpoints, or leave it out",
        );
    }
    if let (false, Some(ports)) = (fields.has("cidrs"), fields.get("ports")) {
        reader.refuse(ports, "belongs to cidrs: give cidrs, or leave it out");
    }
    let planes = fields.get("planes").map_or_else(
        || BTreeSet::from(Plane::ALL),
        |field| value::planes(reader, field),
    );
    let ports = fields.get("ports").map_or_else(
        || BTreeSet::from([ANY_PORT]),
        |field| value::ports(reader, field),
    );
    let reason = reader
        .required(&fields, "reason", "say why this is refused")
        .and_then(|field| value::words(reader, field));
    Some(EgressDeny {
        subjects,
        endpoints,
        planes,
        cidrs,
        ports,
        reason: reason?,
    })
}

fn posture(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<PostureRule> {
    let fields = reader.fields(field, &POSTURE)?;
    let scope = posture_scope(reader, field, &fields);
    let ungranted = reader
        .required(&fields, "ungranted", "write allow or deny")
        .and_then(|field| allow_or_deny(reader, field));
    let mode = fields.get("mode");
    let mode = mode.and_then(|field| reader.word(field, &Mode::ALL, Mode::name));
    let mode = mode.unwrap_or(Mode::Enforce);
    let mut optional = |name| {
        let field = fields.get(name);
        field.and_then(|field| allow_or_deny(reader, field))
    };
    Some(PostureRule {
        mode,
        undecidable: optional("undecidable"),
        quic: optional("quic"),
        foreign_sockets: optional("foreignSockets"),
        raw_sockets: optional("rawSockets"),
        unresolved: optional("unresolved"),
        scope: scope?,
        ungranted: ungranted?,
    })
}

fn allow_or_deny(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Posture> {
    reader.word(field, &[Posture::Allow, Posture::Deny], Posture::name)
}

fn posture_scope(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    fields: &Fields<'_>,
) -> Option<PostureScope> {
    match (fields.get("subjects"), fields.get("default")) {
        (Some(subjects), None) => Some(PostureScope::Subjects(subject::list(reader, subjects))),
        (None, Some(default)) => {
            reader.remember(default);
            if !reader.flag(default)? {
                reader.refuse(default, "can only be true: leave it out otherwise");
            }
            Some(PostureScope::Default)
        }
        (Some(_), Some(default)) => {
            reader.refuse(
                default,
                "cannot be combined with subjects: write one of them",
            );
            None
        }
        (None, None) => {
            reader.refuse(field, "concerns nobody: give subjects, or `default: true`");
            None
        }
    }
}

fn subjects(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Subject> {
    reader
        .required(
            fields,
            "subjects",
            "say who is meant; `- any: true` is every identity",
        )
        .map_or_else(Vec::new, |field| subject::list(reader, field))
}

/// Names that may select endpoints; whether they do, only the catalogue knows.
fn selectors(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<String> {
    let mut selectors = Vec::new();
    for item in reader.list(field) {
        reader.remember(&item);
        if let Some(text) = reader.text(&item) {
            selectors.push(text.to_owned());
        }
    }
    selectors
}
