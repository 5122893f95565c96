//! Reviews of grants, as wire types.

use std::collections::BTreeMap;

use super::{bad, grants, internal};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        types::{GrantReview, GrantReviewList, ReviewQuery, Suggestion, SuggestionQuery},
    },
    audit::{Action, Record},
    daemon::{self, Core, QuestionError, SuggestionError},
    policy::Stage,
    store::AuditFilter,
};

/// What the audit tells of one grant.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    activated: Option<Record>,
    requested: Option<Record>,
    approved: Option<Record>,
    ended: Option<Record>,
}

/// By name; of several lives of a name, the last one.
pub(super) fn histories(records: &[Record]) -> BTreeMap<String, History> {
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    for record in records {
        let Some(action) = Action::from_name(&record.action) else {
            continue;
        };
        let is_grant = record.target.kind == crate::policy::Kind::InvocationGrant.name();
        if !is_grant {
            continue;
        }
        let history = histories.entry(record.target.name.clone()).or_default();
        let told = Some(record.clone());
        match action {
            Action::GrantRequested => {
                *history = History {
                    requested: told,
                    ..History::default()
                }
            }
            Action::GrantApproved | Action::BreakGlass => history.approved = told,
            Action::GrantActivated => {
                history.activated = told;
                history.ended = None;
            }
            Action::GrantRevoked | Action::GrantExpired | Action::GrantRejected => {
                history.ended = told;
            }
            Action::DenyAdded
            | Action::DenyRemoved
            | Action::PolicyApplied
            | Action::PolicyDeleted
            | Action::ModeChanged
            | Action::AgentStarted
            | Action::AgentStopped
            | Action::CoverageChanged
            | Action::TaskBegun
            | Action::TaskEnded
            | Action::InvocationRefused
            | Action::InvocationHighRisk
            | Action::BudgetSpent
            | Action::ChangeRefused
            | Action::AnomalyFound
            | Action::AnomalyAcknowledged
            | Action::AnomalyMuted
            | Action::AnomalyUnmuted
            | Action::AuditTampered => {}
        }
    }
    histories
}

pub(super) fn list(core: &mut Core, query: &ReviewQuery) -> Result<GrantReviewList, ApiError> {
    let failed = |error| internal("review grants", &error);
    let reviews = core.review_grants(query.since).map_err(failed)?;
    let records = core.audit_records(&AuditFilter {
        decisions: true,
        limit: u32::MAX,
        ..AuditFilter::default()
    });
    let histories = histories(&records.map_err(failed)?);
    Ok(GrantReviewList {
        grants: reviews
            .iter()
            .map(|review| wire(review, histories.get(&review.view.name)))
            .collect(),
    })
}

pub(super) fn suggest(core: &mut Core, query: &SuggestionQuery) -> Result<Suggestion, ApiError> {
    let SuggestionQuery { identity, since } = query;
    match core.suggest(identity, *since) {
        Ok(yaml) => Ok(Suggestion { yaml }),
        Err(SuggestionError::Question(QuestionError::NoIdentity(_))) => {
            let message = format!("no identity `{identity}`; `weir identities` lists all");
            Err(ApiError::new(ErrorCode::NotFound, message))
        }
        Err(SuggestionError::Suggest(error)) => Err(bad(error.to_string())),
        Err(error @ (SuggestionError::Question(_) | SuggestionError::Store(_))) => {
            Err(internal("suggest a grant", &error))
        }
    }
}

pub(super) fn wire(review: &daemon::GrantReview, history: Option<&History>) -> GrantReview {
    let grant = grants::grant(review.view.clone());
    let breadth = &review.breadth;
    let by = |record: &Option<Record>| record.as_ref().map(|record| record.actor.name());
    let history = history.cloned().unwrap_or_default();
    let activated = history.activated.as_ref().map(|record| record.at);
    // One of the same name may have ended before this one began.
    let ended = history.ended.filter(|_| match review.view.stage {
        Stage::Expired | Stage::Revoked | Stage::Rejected => true,
        Stage::Requested | Stage::Approved | Stage::Active => false,
    });
    let mut findings = breadth.findings();
    if breadth.calls == 0
        && let Some(at) = activated
    {
        findings = vec![format!("never used since {}", at.strftime("%Y-%m-%d"))];
    }
    GrantReview {
        name: grant.name,
        state: grant.state,
        subjects: grant.subjects,
        endpoints: grant.endpoints,
        planes: grant.planes,
        purpose: grant.purpose,
        source: grant.source,
        issued_by: grant.issued_by.or_else(|| by(&history.activated)),
        requested_by: grant.requested_by.or_else(|| by(&history.requested)),
        approved_by: grant.approved_by.or_else(|| by(&history.approved)),
        active_since: activated,
        not_after: grant.not_after,
        ended_at: review
            .ended_at()
            .or_else(|| ended.as_ref().map(|record| record.at)),
        ended_by: grant.revoked_by.or_else(|| by(&ended)),
        ended_why: grant
            .revoked_why
            .or_else(|| ended.map(|record| record.reason)),
        endpoints_granted: breadth.granted.len() as u64,
        endpoints_used: breadth.used.iter().cloned().collect(),
        identities: breadth.selected.iter().cloned().collect(),
        users: breadth.users.iter().cloned().collect(),
        calls: breadth.calls,
        last_used: breadth.last_used,
        findings,
    }
}

/// A grant that stood in a file and is gone: only the audit still has it.
pub(super) fn gone(history: &History) -> Option<GrantReview> {
    history.ended.as_ref()?;
    let view = daemon::recorded_grant(history.activated.as_ref()?)?;
    let review = daemon::GrantReview {
        breadth: crate::policy::Breadth {
            grant: view.name.clone(),
            ..crate::policy::Breadth::default()
        },
        view,
    };
    let mut wire = wire(&review, Some(history));
    // What was used of it is not known any more under its name.
    wire.findings.clear();
    Some(wire)
}
