//! An explanation, as wire types.

use std::net::SocketAddr;

use agent_common::{
    settings::Mode,
    verdict::{Reason, Verdict},
};

use super::{bad, internal, rights, subject, usage};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        types::{
            ConsideredObject, ExplainQuery, Explanation, LimitUse, MatchedEndpoint, Quality,
            Target, Who,
        },
    },
    daemon::{Core, Explained, LimitView, Place, Question, QuestionError, Subject, sentence},
    policy::{Considered, Stage, State},
};

const IN_SHADOW: &str =
    "the posture is in shadow mode: this goes through, and is counted as would-deny";

pub(super) fn explain(core: &Core, question: Question) -> Result<Explanation, ApiError> {
    let explained = core.explain(question).map_err(question_error)?;
    let suggestion = suggestion(&explained);
    let is_in_shadow = explained.verdict == Verdict::WouldDeny && core.mode() == Mode::Enforce;
    let is_refused = !explained.decision.is_entitled_when_enforced();
    let is_waiting = is_refused && waiting(&explained).is_some();
    let Explained {
        identity,
        labels,
        found_by,
        cgroup,
        pid,
        lineage,
        asked,
        targets,
        decision,
        verdict,
        rule,
        posture,
        considered,
        limits,
        note,
    } = explained;
    let reason = decision.reason();
    Ok(Explanation {
        who: Who {
            identity,
            found_by,
            cgroup,
            pid,
            labels: rights::labels(&labels),
            processes: lineage.into_iter().map(rights::process).collect(),
        },
        target: Target {
            asked,
            endpoints: targets
                .into_iter()
                .map(|found| MatchedEndpoint {
                    endpoint: found.endpoint,
                    recognised_by: found.how,
                    certainty: found.certainty.name().to_owned(),
                })
                .collect(),
        },
        verdict: verdict.name().to_owned(),
        reason: reason.name().to_owned(),
        summary: sentence(reason).to_owned(),
        mode: core.mode().name().to_owned(),
        revision: core.policy().0,
        rule,
        posture: posture
            .as_ref()
            .map_or("allow", |posture| posture.ungranted.name())
            .to_owned(),
        posture_mode: posture
            .as_ref()
            .map_or(Mode::Enforce, |posture| posture.mode)
            .name()
            .to_owned(),
        posture_name: posture.and_then(|posture| posture.name),
        considered: considered
            .into_iter()
            .map(|one| ConsideredObject {
                kind: one.kind.name().to_owned(),
                applies: applies(&one),
                name: one.name,
                text: one.text,
            })
            .collect(),
        limits: limits.into_iter().map(limit).collect(),
        note: is_waiting
            .then(|| "a grant that waits for approval would allow this".to_owned())
            .or_else(|| is_in_shadow.then(|| IN_SHADOW.to_owned()))
            .or(note),
        suggestion,
    })
}

fn limit(view: LimitView) -> LimitUse {
    let LimitView {
        limit,
        used,
        most,
        quality,
        anew_at,
        account,
    } = view;
    LimitUse {
        limit: limit.to_owned(),
        used,
        most,
        quality: quality.map_or(Quality::Estimate, usage::quality),
        anew_at,
        account,
    }
}

const fn applies(one: &Considered) -> bool {
    let is_held = matches!(one.state, State::Held(_));
    one.matches_subject && one.matches_endpoint && !is_held
}

pub(super) fn question_error(error: QuestionError) -> ApiError {
    match error {
        QuestionError::NoProcess(_)
        | QuestionError::NoIdentity(_)
        | QuestionError::NoCgroup(_)
        | QuestionError::NoEvent(_)
        | QuestionError::Explain(_) => ApiError::new(ErrorCode::NotFound, error.to_string()),
        QuestionError::Store(_) => internal("explain", &error),
    }
}

/// A grant that would let the caller through, if somebody approved it.
fn waiting(explained: &Explained) -> Option<&Considered> {
    let mut considered = explained.considered.iter();
    considered.find(|one| one.state == State::Held(Stage::Requested))
}

/// A command that would let a refused caller through.
fn suggestion(explained: &Explained) -> Option<String> {
    let lacks_grant = match explained.decision.reason() {
        Reason::NoGrant | Reason::Expired => true,
        Reason::Ungoverned
        | Reason::Granted
        | Reason::DefaultAllow
        | Reason::DeniedByRule
        | Reason::NotYetValid
        | Reason::NoPolicy
        | Reason::SharedAddress
        | Reason::NoSni
        | Reason::Ech
        | Reason::Quic
        | Reason::Undecidable
        | Reason::ForeignSocket
        | Reason::RawSocket
        | Reason::LimitReached
        | Reason::BudgetSpent => false,
    };
    if !lacks_grant || explained.verdict == Verdict::Allow {
        return None;
    }
    if let Some(waiting) = waiting(explained) {
        return Some(format!(
            "weir grant approve {} --reason \"WHY\"",
            waiting.name
        ));
    }
    let subject = subject::options(&explained.labels);
    let endpoint = &explained.targets.first()?.endpoint;
    Some(format!(
        "weir grant issue NAME {subject} --endpoint {endpoint} --purpose \"WHY\" --ttl 8h"
    ))
}

/// What is asked, once it makes sense.
pub(super) fn question(query: ExplainQuery) -> Result<Question, ApiError> {
    let ExplainQuery {
        pid,
        cgroup,
        identity,
        event,
        endpoint,
        host,
        address,
    } = query;
    let subject = match (pid, cgroup, identity, event) {
        (None, None, None, Some(id)) => return Ok(Question::Event(id)),
        (Some(pid), None, None, None) => Subject::Pid(pid),
        (None, Some(cgroup), None, None) => Subject::Cgroup(cgroup),
        (None, None, Some(identity), None) => Subject::Identity(identity),
        _ => return Err(bad("give exactly one of pid, cgroup, identity and event")),
    };
    let place = match (endpoint, host, address) {
        (Some(endpoint), None, None) => Place::Endpoint(endpoint),
        (None, Some(host), None) if host.contains([':', '/']) => {
            return Err(bad(format!(
                "`{host}` is no host name: leave scheme, port and path away, or use an address"
            )));
        }
        (None, Some(host), None) => Place::Host(host),
        (None, None, Some(address)) => {
            let parsed: Result<SocketAddr, _> = address.parse();
            Place::Address(parsed.map_err(|_| {
                bad(format!(
                    "`{address}` is no address: write IP:PORT or [IP]:PORT"
                ))
            })?)
        }
        _ => return Err(bad("give exactly one of endpoint, host and address")),
    };
    Ok(Question::About { subject, place })
}
