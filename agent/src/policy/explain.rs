//! Why an identity may, or may not, reach an endpoint.
//!
//! The verdict comes from the entries that the kernel gets; the list of objects is read straight
//! from the policy.

mod rights;

use std::cmp::Reverse;

use agent_common::{
    destination::Destination,
    identity::IdentityId,
    policy::Posture,
    settings::Mode,
    verdict::{Decision, decide},
};
use jiff::Timestamp;

use super::{
    ClockAnchor, CompileError, EgressDeny, Kind, Numbers, PolicySet, PostureRule, PostureScope,
    Span, Stage,
    set::{Grant, selects},
    subject::select,
};
use crate::{
    endpoint::Endpoint,
    identity::{Identity, Labels},
};

pub use self::rights::{Rights, rights};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Objects that select the identity or the endpoint: deny rules, then grants, then postures.
    pub considered: Vec<Considered>,
    pub posture: PostureSource,
    /// What the kernel decides.
    pub decision: Decision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    pub kind: Kind,
    pub name: String,
    pub matches_subject: bool,
    pub matches_endpoint: bool,
    pub state: State,
    /// One clause for people: `applies`, or why not.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Live,
    Expired,
    NotYet,
    /// It would apply, but it waits for approval, or was rejected or revoked.
    Held(Stage),
}

/// Where the posture of the identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostureSource {
    pub ungranted: Posture,
    pub mode: Mode,
    /// `None` for the built-in default.
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    #[error("unknown endpoint `{0}`; `weir endpoints list` shows all")]
    UnknownEndpoint(String),
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// # Errors
/// If there is no such endpoint, or a name of the set has no number.
pub fn explain(
    set: &PolicySet,
    numbers: &Numbers,
    identity: &Identity,
    endpoint: &str,
    now: Timestamp,
) -> Result<Explanation, ExplainError> {
    let Some(target) = set.catalogue.get(endpoint) else {
        return Err(ExplainError::UnknownEndpoint(endpoint.to_owned()));
    };
    let is_known = identity.id != IdentityId::UNKNOWN;
    let labels = is_known.then_some(&*identity.labels);
    let denies = set
        .denies
        .iter()
        .map(|(name, rule)| deny(name, rule, labels, target));
    let grants = set
        .grants
        .iter()
        .map(|(name, rule)| grant(name, rule, labels, target, now));
    let held = set.held.iter().map(|(name, (stage, rule))| {
        let mut one = grant(name, rule, labels, target, now);
        if one.matches_subject && one.matches_endpoint {
            one.state = State::Held(*stage);
            one.text = if *stage == Stage::Requested {
                "would allow this, but waits for approval".to_owned()
            } else {
                format!("was {}", stage.name())
            };
        }
        one
    });
    let postures = set
        .postures
        .iter()
        .filter_map(|(name, rule)| match &rule.scope {
            PostureScope::Default => None,
            PostureScope::Subjects(subjects) => {
                let is_selected = select(subjects, labels);
                let mut one = considered(Kind::Posture, name, is_selected, true, State::Live);
                if is_selected && rule.mode != Mode::Enforce {
                    one.text = format!("{}, in {} mode", one.text, rule.mode.name());
                }
                Some(one)
            }
        });
    let all = denies.chain(grants).chain(held).chain(postures);
    Ok(Explanation {
        considered: all
            .filter(|one| one.matches_subject || is_about(one))
            .collect(),
        posture: posture(set, labels),
        decision: decision(set, numbers, identity, endpoint, now)?,
    })
}

/// A posture is about every endpoint, so only its subjects make it worth a line.
fn is_about(one: &Considered) -> bool {
    one.matches_endpoint && one.kind != Kind::Posture
}

fn decision(
    set: &PolicySet,
    numbers: &Numbers,
    identity: &Identity,
    endpoint: &str,
    now: Timestamp,
) -> Result<Decision, ExplainError> {
    let Some(id) = numbers.endpoints.get(endpoint) else {
        let name = endpoint.to_owned();
        return Err(CompileError::Unnumbered {
            kind: Kind::ModelEndpoint,
            name,
        }
        .into());
    };
    // Any instant of the boot clock serves, as long as there is room before it.
    let anchor = ClockAnchor {
        wall: now,
        boot_ns: 1 << 62,
    };
    let policy = super::compile(set, numbers, std::slice::from_ref(identity), &anchor)?;
    Ok(decide(
        &policy,
        identity.id,
        &Destination::one(*id),
        anchor.boot_ns,
    ))
}

fn grant(
    name: &str,
    rule: &Grant,
    labels: Option<&Labels>,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Considered {
    let Grant {
        grant,
        span,
        is_over,
        digest: _,
        needs: _,
    } = rule;
    let matches_subject = select(&grant.subjects, labels);
    let matches_endpoint = selects(&grant.endpoints, &grant.planes, endpoint);
    let state = if *is_over {
        State::Expired
    } else {
        state(*span, now)
    };
    let mut considered = considered(
        Kind::InvocationGrant,
        name,
        matches_subject,
        matches_endpoint,
        state,
    );
    let Span {
        not_before,
        not_after,
    } = span;
    let applies = matches_subject && matches_endpoint;
    if let (true, State::Expired, Some(end)) = (applies, state, not_after) {
        considered.text = format!("ended at {end}");
    } else if let (true, State::NotYet, Some(start)) = (applies, state, not_before) {
        considered.text = format!("begins at {start}");
    } else if let (true, State::Live, Some(end)) = (applies, state, not_after) {
        considered.text = format!("applies until {end}");
    }
    considered
}

fn deny(name: &str, rule: &EgressDeny, labels: Option<&Labels>, endpoint: &Endpoint) -> Considered {
    let matches_subject = select(&rule.subjects, labels);
    let matches_endpoint = selects(&rule.endpoints, &rule.planes, endpoint);
    considered(
        Kind::EgressDeny,
        name,
        matches_subject,
        matches_endpoint,
        State::Live,
    )
}

fn considered(
    kind: Kind,
    name: &str,
    matches_subject: bool,
    matches_endpoint: bool,
    state: State,
) -> Considered {
    let text = match (matches_subject, matches_endpoint) {
        (true, true) => "applies",
        (true, false) => "does not select this endpoint",
        (false, true) => "does not select this identity",
        (false, false) => "selects neither this identity nor this endpoint",
    };
    Considered {
        kind,
        name: name.to_owned(),
        matches_subject,
        matches_endpoint,
        state,
        text: text.to_owned(),
    }
}

fn state(span: Span, now: Timestamp) -> State {
    let Span {
        not_before,
        not_after,
    } = span;
    if not_after.is_some_and(|end| end <= now) {
        State::Expired
    } else if not_before.is_some_and(|start| now < start) {
        State::NotYet
    } else {
        State::Live
    }
}

/// Of several that select the identity, the strictest; else the default.
fn posture(set: &PolicySet, labels: Option<&Labels>) -> PostureSource {
    let selecting = set.postures.iter().filter(|(_, rule)| match &rule.scope {
        PostureScope::Default => false,
        PostureScope::Subjects(subjects) => select(subjects, labels),
    });
    let is_unresolved = labels.is_some_and(|labels| labels.is_unresolved);
    let ungranted = |rule: &PostureRule| rule.without_grant(is_unresolved);
    let severity = |rule: &PostureRule| match ungranted(rule) {
        Posture::Allow => 0,
        Posture::Deny => rule.mode as u32,
    };
    let strictest = selecting.min_by_key(|(_, rule)| Reverse(severity(rule)));
    let default = || {
        set.postures
            .iter()
            .find(|(_, rule)| rule.scope == PostureScope::Default)
    };
    let found = strictest.or_else(default);
    PostureSource {
        ungranted: found.map(|(_, rule)| ungranted(rule)).unwrap_or_default(),
        mode: found.map_or(Mode::Enforce, |(_, rule)| rule.mode),
        name: found.map(|(name, _)| name.clone()),
    }
}
