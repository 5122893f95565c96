//! Grants as whoever reviews them looks at them: what they give, and what is used of it.

use jiff::Timestamp;

use super::{Core, GrantView};
use crate::{
    audit::Record,
    host::clock::now,
    identity::Identity,
    policy::{Breadth, Measure, Spec, Stage, parse},
    store::{KnownIdentity, RuleKind, StoreError},
};

#[derive(Clone, Debug)]
pub struct GrantReview {
    pub view: GrantView,
    pub breadth: Breadth,
}

impl GrantReview {
    /// When it ended, if it has.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.view.stage {
            Stage::Revoked | Stage::Rejected => {
                self.view.removed.as_ref().map(|removed| removed.at)
            }
            Stage::Expired => self.view.span.not_after,
            Stage::Requested | Stage::Approved | Stage::Active => None,
        }
    }
}

impl Core {
    /// Every grant that was there at some time since then, with what was used of it.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn review_grants(&mut self, since: Timestamp) -> Result<Vec<GrantReview>, StoreError> {
        let rows = self.usage(Some(since), None, None, None)?;
        let names = self.store.names()?;
        let identities: Vec<Identity> = self
            .store
            .identities()?
            .into_iter()
            .filter(|known| known.last_seen >= since || self.workloads.identity(known.id).is_some())
            .map(KnownIdentity::into)
            .collect();
        let measure = Measure {
            set: &self.running.revision.set,
            endpoints: &names.endpoints,
            identities: &identities,
            rows: &rows,
        };
        let review = |view: GrantView| {
            let is_it =
                |(kind, name): &(RuleKind, String)| *kind == RuleKind::Grant && *name == view.name;
            let rule = names.rules.iter().find(|(_, rule)| is_it(rule));
            let breadth = measure.breadth(&view.name, &view.grant, rule.map(|(id, _)| *id));
            GrantReview { view, breadth }
        };
        let mut reviews: Vec<_> = self.grants(true)?.into_iter().map(review).collect();
        reviews.retain(|review| review.ended_at().is_none_or(|end| end >= since));
        Ok(reviews)
    }
}

/// What a record of a grant says about it; for one that stood in a file and is gone.
#[must_use]
pub fn recorded_grant(record: &Record) -> Option<GrantView> {
    let text = record.detail("object")?;
    let parsed = parse("recorded", text.as_str()?).ok()?;
    let Spec::InvocationGrant(grant) = &parsed.first()?.value.spec else {
        return None;
    };
    let span = grant.validity.since(record.at);
    let is_over = span.not_after.is_some_and(|end| end <= now().wall);
    Some(GrantView {
        name: record.target.name.clone(),
        stage: if is_over {
            Stage::Expired
        } else {
            Stage::Revoked
        },
        grant: grant.clone(),
        span,
        source: record
            .detail("source")
            .and_then(|source| source.as_str().map(ToOwned::to_owned))
            .unwrap_or_default(),
        issued_by: None,
        removed: None,
        digest: parsed.first()?.value.digest().ok()?,
        needs: Vec::new(),
        requested_by: None,
        approval: None,
    })
}
