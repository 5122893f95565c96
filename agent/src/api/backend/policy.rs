//! Policy objects between the daemon and the wire.

use serde_json::{Map, Value, json};

use super::{internal, subject};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        types::{
            ApplyResult, CheckReport, DenyRequest, Grant, GrantRequest, PolicyChange, PolicyDiff,
            PolicyDocuments, PolicyObject, PolicyView, Rule,
        },
    },
    daemon::{ChangeError, Changed, Core, GrantView},
    error_chain,
    policy::{Change, EgressDeny, Kind, Object, What},
};

/// JSON is YAML, so a request becomes a policy document and has the same checks as a file.
pub(super) fn grant_document(request: &GrantRequest) -> String {
    let GrantRequest {
        name,
        subjects,
        endpoints,
        planes,
        purpose,
        not_before,
        not_after,
        ttl,
    } = request;
    let mut spec = Map::new();
    spec.insert(
        "subjects".to_owned(),
        subjects.iter().map(subject::document).collect(),
    );
    spec.insert("endpoints".to_owned(), json!(endpoints));
    if !planes.is_empty() {
        spec.insert("planes".to_owned(), json!(planes));
    }
    spec.insert("purpose".to_owned(), json!(purpose));
    for (field, instant) in [("notBefore", not_before), ("notAfter", not_after)] {
        if let Some(instant) = instant {
            spec.insert(field.to_owned(), json!(instant.to_string()));
        }
    }
    if let Some(ttl) = ttl {
        spec.insert("ttl".to_owned(), json!(ttl));
    }
    document(Kind::InvocationGrant, name, spec)
}

pub(super) fn deny_document(request: &DenyRequest) -> String {
    let DenyRequest {
        name,
        subjects,
        endpoints,
        cidrs,
        reason,
    } = request;
    let mut spec = Map::new();
    spec.insert(
        "subjects".to_owned(),
        subjects.iter().map(subject::document).collect(),
    );
    for (field, list) in [("endpoints", endpoints), ("cidrs", cidrs)] {
        if !list.is_empty() {
            spec.insert(field.to_owned(), json!(list));
        }
    }
    spec.insert("reason".to_owned(), json!(reason));
    document(Kind::EgressDeny, name, spec)
}

pub(super) fn document(kind: Kind, name: &str, spec: Map<String, Value>) -> String {
    json!({
        "apiVersion": "weir.dev/v1alpha1",
        "kind": kind.name(),
        "metadata": {"name": name},
        "spec": spec,
    })
    .to_string()
}

pub(super) fn change_error(error: ChangeError) -> ApiError {
    let message = error.to_string();
    match error {
        ChangeError::Invalid(details) => {
            // A request has no lines that anybody has seen.
            let details = details.into_iter().map(without_place).collect();
            ApiError::new(ErrorCode::InvalidPolicy, message).with_details(details)
        }
        ChangeError::NotInstalled(details) => {
            ApiError::new(ErrorCode::Unavailable, message).with_details(details)
        }
        ChangeError::Exists { .. } | ChangeError::InFile { .. } => {
            ApiError::new(ErrorCode::Conflict, message)
        }
        ChangeError::NotFound { .. } => ApiError::new(ErrorCode::NotFound, message),
        ChangeError::Unexpected(_) => ApiError::new(ErrorCode::BadRequest, message),
        ChangeError::Render(_) | ChangeError::Store(_) => internal("change the policy", &error),
    }
}

fn without_place(line: String) -> String {
    let rest = line
        .strip_prefix("request:")
        .and_then(|rest| rest.split_once(": "));
    match rest {
        Some((_, message)) => message.to_owned(),
        None => line,
    }
}

pub(super) fn kind(name: &str) -> Result<Kind, ApiError> {
    let found = Kind::ALL
        .into_iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let all = Kind::ALL.map(Kind::name).join(", ");
        super::bad(format!("unknown kind `{name}`: one of {all}"))
    })
}

pub(super) fn texts(documents: PolicyDocuments) -> Vec<(String, String)> {
    documents
        .files
        .into_iter()
        .map(|file| (file.file, file.text))
        .collect()
}

pub(super) fn check_report(result: Result<(usize, Vec<String>), ChangeError>) -> CheckReport {
    match result {
        Ok((objects, warnings)) => CheckReport {
            objects: objects as u64,
            errors: Vec::new(),
            warnings,
        },
        Err(error) => CheckReport {
            errors: mistakes(error),
            ..CheckReport::default()
        },
    }
}

pub(super) fn diff(result: Result<Vec<Change>, ChangeError>) -> Result<PolicyDiff, ApiError> {
    Ok(match result {
        Ok(changes) => PolicyDiff {
            changes: changes.into_iter().map(change).collect(),
            errors: Vec::new(),
        },
        Err(error) => PolicyDiff {
            changes: Vec::new(),
            errors: mistakes(error),
        },
    })
}

fn mistakes(error: ChangeError) -> Vec<String> {
    match error {
        ChangeError::Invalid(errors) | ChangeError::NotInstalled(errors) => errors,
        ChangeError::Exists { .. }
        | ChangeError::NotFound { .. }
        | ChangeError::InFile { .. }
        | ChangeError::Unexpected(_)
        | ChangeError::Render(_)
        | ChangeError::Store(_) => vec![error_chain(&error)],
    }
}

pub(super) fn applied(changed: Changed) -> ApplyResult {
    let Changed {
        revision,
        changes,
        warnings,
    } = changed;
    ApplyResult {
        revision,
        changes: changes.into_iter().map(change).collect(),
        warnings,
    }
}

fn change(change: Change) -> PolicyChange {
    let (what, fields) = match change.what {
        What::Added => ("added", Vec::new()),
        What::Removed => ("removed", Vec::new()),
        What::Changed { fields } => ("changed", fields),
    };
    PolicyChange {
        kind: change.kind.name().to_owned(),
        name: change.name,
        what: what.to_owned(),
        fields: fields.into_iter().map(ToOwned::to_owned).collect(),
    }
}

pub(super) fn view(
    (revision, objects): (u64, Vec<(Object, String)>),
) -> Result<PolicyView, ApiError> {
    let objects = objects.into_iter().map(|(object, source)| {
        Ok(PolicyObject {
            kind: object.kind().name().to_owned(),
            name: object.name().to_owned(),
            source,
            yaml: object
                .to_yaml()
                .map_err(|error| internal("render the policy", &error))?,
        })
    });
    Ok(PolicyView {
        revision,
        objects: objects.collect::<Result<_, ApiError>>()?,
    })
}

/// The grant of this name that is in force.
pub(super) fn running_grant(core: &Core, name: &str) -> Result<Grant, ApiError> {
    let grants = core
        .grants(true)
        .map_err(|error| internal("list grants", &error))?;
    let mut running = grants.into_iter().filter(|view| view.removed.is_none());
    found(running.find(|view| view.name == name), name)
}

/// The grant of this name that was revoked last.
pub(super) fn revoked_grant(core: &Core, name: &str) -> Result<Grant, ApiError> {
    let grants = core
        .grants(true)
        .map_err(|error| internal("list grants", &error))?;
    let mut removed = grants.into_iter().filter(|view| view.removed.is_some());
    found(removed.rfind(|view| view.name == name), name)
}

fn found(view: Option<GrantView>, name: &str) -> Result<Grant, ApiError> {
    view.map(grant)
        .ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("no grant `{name}`")))
}

pub(super) fn grant(view: GrantView) -> Grant {
    let GrantView {
        name,
        state,
        grant,
        span,
        source,
        issued_by,
        removed,
    } = view;
    Grant {
        name,
        state: state.name().to_owned(),
        subjects: grant.subjects.iter().map(subject::words).collect(),
        endpoints: grant.endpoints,
        planes: grant
            .planes
            .iter()
            .map(|plane| plane.name().to_owned())
            .collect(),
        purpose: grant.purpose,
        not_before: span.not_before,
        not_after: span.not_after,
        source,
        issued_by,
        revoked_by: removed.as_ref().map(|removed| removed.by.clone()),
        revoked_why: removed.and_then(|removed| removed.why),
    }
}

pub(super) fn rule((name, deny, source): (String, EgressDeny, String)) -> Rule {
    let EgressDeny {
        subjects,
        endpoints,
        planes: _,
        cidrs,
        ports: _,
        reason,
    } = deny;
    Rule {
        name,
        subjects: subjects.iter().map(subject::words).collect(),
        endpoints,
        cidrs: cidrs.iter().map(ToString::to_string).collect(),
        reason,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::SubjectSpec, policy::parse};

    fn request() -> GrantRequest {
        GrantRequest {
            name: "nightly".to_owned(),
            subjects: vec![SubjectSpec {
                unit: Some("batch.service".to_owned()),
                slice: Some("batch.slice".to_owned()),
                ..SubjectSpec::default()
            }],
            endpoints: vec!["openai".to_owned()],
            planes: Vec::new(),
            purpose: "nightly summaries: \"all\"".to_owned(),
            not_before: None,
            not_after: None,
            ttl: Some("8h".to_owned()),
        }
    }

    #[test]
    fn a_request_is_a_policy_document() {
        let parsed = parse("request", &grant_document(&request())).expect("valid");
        let object = &parsed.first().expect("one object").value;
        assert_eq!(
            (object.kind(), object.name()),
            (Kind::InvocationGrant, "nightly")
        );
        let deny = DenyRequest {
            name: "no-internet".to_owned(),
            subjects: vec![SubjectSpec {
                any: true,
                ..SubjectSpec::default()
            }],
            endpoints: Vec::new(),
            cidrs: vec!["10.0.0.0/8".to_owned()],
            reason: "incident 4711".to_owned(),
        };
        let parsed = parse("request", &deny_document(&deny)).expect("valid");
        assert_eq!(
            parsed.first().map(|object| object.value.kind()),
            Some(Kind::EgressDeny)
        );
    }

    #[test]
    fn a_mistake_in_a_request_names_the_field_and_no_line() {
        let mut request = request();
        request.purpose = " ".to_owned();
        let errors = parse("request", &grant_document(&request)).expect_err("blank purpose");
        let lines = errors.iter().map(ToString::to_string).map(without_place);
        let text = lines.collect::<Vec<_>>().join("\n");
        assert!(text.starts_with("spec.purpose: "), "{text}");
    }
}
