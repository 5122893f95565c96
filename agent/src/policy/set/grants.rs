//! The grants of a set: when each holds, and whether it counts.

use jiff::Timestamp;

use super::{BuildOptions, OnExpired, PolicySet};
use crate::{
    endpoint::Catalogue,
    policy::{End, InvocationGrant, Located, Object, PolicyError, Span, Stage, stage_of},
};

/// A grant and the time for which it holds.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Grant {
    pub grant: InvocationGrant,
    pub span: Span,
    /// It has ended once, and a clock that is set back changes nothing about that.
    pub is_over: bool,
    pub digest: String,
    /// Why it needs approval, a clause each.
    pub needs: Vec<String>,
}

/// What is known about the standing of one grant of a set.
#[derive(Clone, Copy, Debug)]
pub struct GrantStanding<'s> {
    pub name: &'s str,
    pub grant: &'s InvocationGrant,
    pub span: Span,
    pub digest: &'s str,
    pub needs: &'s [String],
    /// `None` for one that counts.
    pub held: Option<Stage>,
}

impl Grant {
    /// The time for which the kernel holds it.
    pub(in crate::policy) fn window(&self) -> Span {
        if self.is_over {
            return Span {
                not_before: None,
                not_after: Some(Timestamp::MIN),
            };
        }
        self.span
    }
}

impl PolicySet {
    /// Every grant, those that count first.
    pub fn standings(&self) -> impl Iterator<Item = GrantStanding<'_>> {
        let counting = self.grants.iter();
        let counting = counting.map(|(name, grant)| standing(name, grant, None));
        let held = self.held.iter();
        counting.chain(held.map(|(name, (stage, grant))| standing(name, grant, Some(*stage))))
    }

    /// The grant of this name, whether it counts or not.
    #[must_use]
    pub fn standing(&self, name: &str) -> Option<GrantStanding<'_>> {
        if let Some((name, grant)) = self.grants.get_key_value(name) {
            return Some(standing(name, grant, None));
        }
        let (name, (stage, grant)) = self.held.get_key_value(name)?;
        Some(standing(name, grant, Some(*stage)))
    }

    /// Records what has become of a grant that is held.
    pub fn hold(&mut self, name: &str, stage: Stage) {
        if let Some((held, _)) = self.held.get_mut(name) {
            *held = stage;
        }
    }

    /// Lets a grant that waits count, to see what would follow.
    pub fn admit(&mut self, name: &str) {
        if let Some((_, grant)) = self.held.remove(name) {
            self.grants.insert(name.to_owned(), grant);
        }
    }

    /// Names of the grants that wait for an approval.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        let held = self.held.iter();
        let waiting = held.filter(|(_, (stage, _))| *stage == Stage::Requested);
        waiting.map(|(name, _)| name.as_str())
    }
}

fn standing<'s>(name: &'s str, grant: &'s Grant, held: Option<Stage>) -> GrantStanding<'s> {
    let Grant {
        grant,
        span,
        is_over: _,
        digest,
        needs,
    } = grant;
    GrantStanding {
        name,
        grant,
        span: *span,
        digest,
        needs,
        held,
    }
}

/// When a grant holds, where it stands, and what is worth a warning.
pub(super) fn resolve(
    object: &Located<Object>,
    grant: &InvocationGrant,
    catalogue: &Catalogue,
    options: &BuildOptions<'_>,
) -> Result<(Stage, Grant, Option<PolicyError>), PolicyError> {
    let name = object.value.name();
    let digest = object.value.digest();
    let digest = digest.map_err(|error| object.error("document", error.to_string()))?;
    let life = (options.life)(name, &digest);
    let issued_at = (options.issued_at)(name, &digest);
    let mut span = grant.validity.since(issued_at);
    let field = match grant.validity.end {
        End::After(_) => "spec.ttl",
        End::Never | End::At(_) => "spec.notAfter",
    };
    let mut warning = None;
    if let Some(end) = span.not_after {
        if span.not_before.is_some_and(|start| end <= start) {
            return Err(object.error(field, "ends before notBefore: the grant would never hold"));
        }
        if end <= options.now {
            let message = format!("the grant ended at {end}: renew or remove it");
            match options.on_expired {
                OnExpired::Refuse => return Err(object.error(field, message)),
                OnExpired::Warn => warning = Some(object.error(field, message)),
            }
        }
    }
    let latest = life
        .as_ref()
        .and_then(|life| life.ends_at_latest(issued_at));
    span.not_after = span.not_after.into_iter().chain(latest).min();
    let needs = options.approval.needs(grant, catalogue, issued_at);
    let stage = stage_of(life.as_ref(), &needs);
    let grant = Grant {
        grant: grant.clone(),
        span,
        is_over: stage == Stage::Expired,
        digest,
        needs,
    };
    Ok((stage, grant, warning))
}
