//! Grants between the daemon and the wire: issued, decided about, listed.

use serde_json::{Map, json};

use super::{
    author, internal,
    policy::{change_error, document},
    subject,
};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        server::Peer,
        types::{
            Grant, GrantDecision, GrantHistory, GrantLife, GrantList, GrantRequest, GrantStep,
            Removal,
        },
    },
    daemon::{Author, ChangeError, Core, Decision, GrantView},
    policy::{Basis, By, Entry, Kind},
    store::StoredLife,
};

pub(super) fn list(core: &Core, include_ended: bool) -> Result<GrantList, ApiError> {
    let grants = core
        .grants(include_ended)
        .map_err(|error| internal("list grants", &error))?;
    Ok(GrantList {
        grants: grants.into_iter().map(grant).collect(),
    })
}

pub(super) fn issue(
    core: &mut Core,
    request: &GrantRequest,
    author: &Author,
) -> Result<Grant, ApiError> {
    core.create(Kind::InvocationGrant, &grant_document(request), author)
        .map_err(change_error)?;
    running_grant(core, &request.name)
}

pub(super) fn revoke(
    core: &mut Core,
    name: &str,
    removal: Removal,
    author: &Author,
) -> Result<Grant, ApiError> {
    core.remove(Kind::InvocationGrant, name, author, removal.why)
        .map_err(change_error)?;
    revoked_grant(core, name)
}

pub(super) fn approve(
    core: &mut Core,
    name: String,
    decision: GrantDecision,
    peer: &Peer,
) -> Result<Grant, ApiError> {
    let what = "approve a grant";
    let is_urgent = decision.break_glass;
    let decision = checked(core, name, decision, peer, what)?;
    let approved = core.approve(&decision, is_urgent);
    approved.map_err(|error| told(core, &decision.author, what, error))?;
    running_grant(core, &decision.name)
}

pub(super) fn reject(
    core: &mut Core,
    name: String,
    decision: GrantDecision,
    peer: &Peer,
) -> Result<Grant, ApiError> {
    let what = "reject a grant";
    let decision = checked(core, name, decision, peer, what)?;
    let rejected = core.reject(&decision);
    rejected.map_err(|error| told(core, &decision.author, what, error))?;
    running_grant(core, &decision.name)
}

/// A decision of somebody who does not decide about itself.
fn checked(
    core: &mut Core,
    name: String,
    decision: GrantDecision,
    peer: &Peer,
    what: &str,
) -> Result<Decision, ApiError> {
    let author = author(core, peer);
    let allowed = core.check_changer(peer.process, Some(&name));
    allowed.map_err(|error| refused(core, &author, what, &error.to_string()))?;
    let GrantDecision {
        reason,
        digest,
        break_glass: _,
    } = decision;
    Ok(Decision {
        name,
        digest,
        author,
        reason,
    })
}

/// The audit is told of what somebody may not do, and not of what came too late.
fn told(core: &mut Core, author: &Author, what: &str, error: ChangeError) -> ApiError {
    let error = change_error(error);
    if error.code == ErrorCode::Forbidden {
        core.note_refusal(author, what, &error.message);
    }
    error
}

/// What a caller hears that may change nothing.
pub(super) fn refused(core: &mut Core, author: &Author, what: &str, why: &str) -> ApiError {
    core.note_refusal(author, what, why);
    ApiError::new(ErrorCode::Forbidden, why)
}

pub(super) fn history(core: &Core, name: &str) -> Result<GrantHistory, ApiError> {
    let lives = core
        .lives(name)
        .map_err(|error| internal("read the history of a grant", &error))?;
    let grant = running_grant(core, name).ok();
    if lives.is_empty() && grant.is_none() {
        return Err(not_found(name));
    }
    Ok(GrantHistory {
        grant,
        lives: lives.into_iter().map(life).collect(),
    })
}

fn life(life: StoredLife) -> GrantLife {
    let StoredLife {
        id: _,
        name: _,
        digest,
        needs,
        place: _,
        steps,
    } = life;
    let step = |Entry { step, by, at, why }| GrantStep {
        step: step.name().to_owned(),
        by: by.to_string(),
        at,
        why,
    };
    GrantLife {
        digest,
        needs_approval: needs,
        steps: steps.into_iter().map(step).collect(),
    }
}

/// JSON is YAML, so a request becomes a policy document and has the same checks as a file.
fn grant_document(request: &GrantRequest) -> String {
    let GrantRequest {
        name,
        subjects,
        endpoints,
        planes,
        purpose,
        ticket,
        requires_approval,
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
    if let Some(ticket) = ticket {
        spec.insert("ticket".to_owned(), json!(ticket));
    }
    if *requires_approval {
        spec.insert("approval".to_owned(), json!("required"));
    }
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

/// The grant of this name that is there.
fn running_grant(core: &Core, name: &str) -> Result<Grant, ApiError> {
    let grants = core
        .grants(true)
        .map_err(|error| internal("list grants", &error))?;
    let mut running = grants.into_iter().filter(|view| view.removed.is_none());
    found(running.find(|view| view.name == name), name)
}

/// The grant of this name that was revoked last.
fn revoked_grant(core: &Core, name: &str) -> Result<Grant, ApiError> {
    let grants = core
        .grants(true)
        .map_err(|error| internal("list grants", &error))?;
    let mut removed = grants.into_iter().filter(|view| view.removed.is_some());
    found(removed.rfind(|view| view.name == name), name)
}

fn found(view: Option<GrantView>, name: &str) -> Result<Grant, ApiError> {
    view.map(grant).ok_or_else(|| not_found(name))
}

pub(super) fn grant(view: GrantView) -> Grant {
    let GrantView {
        name,
        stage,
        grant,
        span,
        source,
        issued_by,
        removed,
        digest,
        needs,
        requested_by,
        approval,
    } = view;
    let by_person = approval.filter(|approval| approval.by != By::Agent);
    Grant {
        name,
        state: stage.name().to_owned(),
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
        ticket: grant.ticket,
        digest,
        needs_approval: needs,
        requested_by: requested_by.map(|by| by.to_string()),
        approved_by: by_person.map(|approval| approval.by.to_string()),
        broke_glass: approval.is_some_and(|approval| approval.basis == Basis::BreakGlass),
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("no grant `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{backend::policy::without_place, types::SubjectSpec},
        policy::parse,
    };

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
            ticket: Some("OPS-1".to_owned()),
            requires_approval: true,
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
