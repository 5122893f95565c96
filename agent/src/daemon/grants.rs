//! The objects in force, for listing.

use jiff::Timestamp;

use super::Core;
use crate::{
    host::clock::now,
    policy::{
        Approval, By, EgressDeny, GrantStanding, InvocationGrant, Kind, Life, Object, Span, Spec,
        Stage, parse, stage_of,
    },
    store::{Removed, StoreError, StoredObject},
};

/// One grant with everything that is known about it.
#[derive(Clone, Debug)]
pub struct GrantView {
    pub name: String,
    pub stage: Stage,
    pub grant: InvocationGrant,
    pub span: Span,
    pub source: String,
    pub issued_by: Option<String>,
    pub removed: Option<Removed>,
    pub digest: String,
    /// Why it needs approval, a clause each.
    pub needs: Vec<String>,
    pub requested_by: Option<By>,
    pub approval: Option<Approval>,
}

impl Core {
    /// Running grants by name; with `ended`, also those that were revoked.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn grants(&self, ended: bool) -> Result<Vec<GrantView>, StoreError> {
        let stored = self.store.objects()?;
        let at = now().wall;
        let mut views = Vec::new();
        for object in self.running.revision.set.objects() {
            let Spec::InvocationGrant(grant) = &object.spec else {
                continue;
            };
            let name = object.name().to_owned();
            let Some(standing) = self.running.revision.set.standing(&name) else {
                continue;
            };
            let life = self.lives.get(&name, standing.digest);
            views.push(GrantView {
                stage: stage_at(&standing, life, at),
                grant: grant.clone(),
                span: standing.span,
                source: self
                    .source(Kind::InvocationGrant, &name)
                    .unwrap_or_default(),
                issued_by: creator(&stored, Kind::InvocationGrant, &name),
                removed: None,
                digest: standing.digest.to_owned(),
                needs: standing.needs.to_vec(),
                requested_by: life.map(Life::requester),
                approval: life.and_then(Life::approval),
                name,
            });
        }
        if ended {
            let removed = self.store.removed_objects(Kind::InvocationGrant.name())?;
            views.extend(removed.into_iter().filter_map(revoked));
        } else {
            views.retain(|view| !view.stage.is_over());
        }
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    /// When each grant that holds now ends, if it does by time.
    #[must_use]
    pub fn grant_ends(&self) -> Vec<(String, Timestamp)> {
        let at = now().wall;
        let standings = self.running.revision.set.standings();
        let ends = standings.filter_map(|standing| {
            let life = self.lives.get(standing.name, standing.digest);
            let holds = stage_at(&standing, life, at) == Stage::Active;
            let end = standing.span.not_after.filter(|_| holds)?;
            Some((standing.name.to_owned(), end))
        });
        ends.collect()
    }

    /// Running deny rules by name, with their sources.
    #[must_use]
    pub fn denies(&self) -> Vec<(String, EgressDeny, String)> {
        let mut denies: Vec<_> = self
            .running
            .revision
            .set
            .objects()
            .filter_map(|object| match &object.spec {
                Spec::EgressDeny(deny) => {
                    let name = object.name().to_owned();
                    let source = self.source(Kind::EgressDeny, &name).unwrap_or_default();
                    Some((name, deny.clone(), source))
                }
                Spec::ModelEndpoint(_) | Spec::InvocationGrant(_) | Spec::Posture(_) => None,
            })
            .collect();
        denies.sort_by(|a, b| a.0.cmp(&b.0));
        denies
    }

    /// Revision and everything in it, in order of kind and name.
    #[must_use]
    pub fn policy(&self) -> (u64, Vec<(Object, String)>) {
        let mut objects: Vec<_> = self
            .running
            .revision
            .set
            .objects()
            .map(|object| {
                let source = self
                    .source(object.kind(), object.name())
                    .unwrap_or_default();
                (object.clone(), source)
            })
            .collect();
        objects.sort_by(|(a, _), (b, _)| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
        (self.running.number, objects)
    }
}

/// Its stage, and what the clock has made of that since it was recorded.
fn stage_at(standing: &GrantStanding<'_>, life: Option<&Life>, at: Timestamp) -> Stage {
    let Span {
        not_before,
        not_after,
    } = standing.span;
    let stage = standing
        .held
        .unwrap_or_else(|| stage_of(life, standing.needs));
    match stage {
        Stage::Approved | Stage::Active if not_after.is_some_and(|end| end <= at) => Stage::Expired,
        Stage::Approved if not_before.is_none_or(|start| start <= at) => Stage::Active,
        Stage::Requested
        | Stage::Approved
        | Stage::Active
        | Stage::Expired
        | Stage::Revoked
        | Stage::Rejected => stage,
    }
}

fn creator(stored: &[StoredObject], kind: Kind, name: &str) -> Option<String> {
    stored
        .iter()
        .find(|object| object.kind == kind.name() && object.name == name)
        .map(|object| object.created_by.clone())
}

/// `None` for an object whose text this version no longer reads.
fn revoked((object, removed): (StoredObject, Removed)) -> Option<GrantView> {
    let parsed = parse("removed", &object.yaml).ok()?;
    let Spec::InvocationGrant(grant) = &parsed.first()?.value.spec else {
        return None;
    };
    Some(GrantView {
        name: object.name,
        stage: Stage::Revoked,
        grant: grant.clone(),
        span: grant.validity.since(object.created_at),
        source: super::revision::API_SOURCE.to_owned(),
        issued_by: Some(object.created_by),
        removed: Some(removed),
        digest: parsed.first()?.value.digest().ok()?,
        needs: Vec::new(),
        requested_by: None,
        approval: None,
    })
}
