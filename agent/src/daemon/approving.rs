//! Approval and rejection of grants that wait, and what is known of their lives.

use super::{
    Author, ChangeError, Changed, Core,
    lives::{Origin, entry},
};
use crate::{
    host::fault,
    policy::{Basis, Kind, Stage, Step},
    store::{StoreError, StoredLife},
};

/// A decision about a grant that waits.
#[derive(Clone, Debug)]
pub struct Decision {
    pub name: String,
    /// Start of the digest of the content that was looked at; `None`: whatever waits.
    pub digest: Option<String>,
    pub author: Author,
    pub reason: String,
}

impl Core {
    /// Lets a grant count. Without another person, by breaking glass, for an hour at most.
    ///
    /// # Errors
    ///
    /// When it does not wait, is not what was looked at, or needs another person.
    pub fn approve(
        &mut self,
        decision: &Decision,
        break_glass: bool,
    ) -> Result<Changed, ChangeError> {
        let basis = if break_glass {
            Basis::BreakGlass
        } else {
            Basis::Person
        };
        self.check_approval(&decision.name)?;
        self.decide(decision, Step::Approve(basis))?;
        fault::point("approve-recorded");
        let Decision { name, reason, .. } = decision;
        let by = decision.author.by();
        if break_glass {
            tracing::warn!(
                name,
                %by,
                reason,
                "GLASS BROKEN: a grant holds for an hour without a second person"
            );
        }
        let objects = self.objects().map_err(ChangeError::Invalid)?;
        let revision = self.build(objects, Origin::Files)?;
        let origin = Origin::Api(&decision.author);
        let (changed, _) = self.install_changed(revision, origin, None)?;
        fault::point("approve-installed");
        self.settle_lives(origin)?;
        fault::point("approve-kept");
        tracing::info!(name, %by, reason, "grant approved");
        Ok(changed)
    }

    /// Refuses an approval that would let somebody both manage and invoke.
    fn check_approval(&self, name: &str) -> Result<(), ChangeError> {
        let mut approved = self.running.revision.clone();
        approved.set.admit(name);
        self.check_duties(&approved).map_err(ChangeError::Invalid)
    }

    /// Refuses a grant that waits, for good.
    ///
    /// # Errors
    ///
    /// As [`Core::approve`].
    pub fn reject(&mut self, decision: &Decision) -> Result<(), ChangeError> {
        self.decide(decision, Step::Reject)?;
        let Decision { name, reason, .. } = decision;
        let by = decision.author.by();
        self.running.revision.set.hold(name, Stage::Rejected);
        tracing::info!(name, %by, reason, "grant rejected");
        Ok(())
    }

    fn decide(&mut self, decision: &Decision, step: Step) -> Result<(), ChangeError> {
        let Decision {
            name,
            digest,
            author,
            reason,
        } = decision;
        let Some(known) = self.lives.of(name) else {
            return Err(ChangeError::NotFound {
                kind: Kind::InvocationGrant,
                name: name.clone(),
            });
        };
        let is_other = |digest: &String| !known.digest.starts_with(digest.as_str());
        if digest.as_ref().is_some_and(is_other) {
            return Err(ChangeError::Other { name: name.clone() });
        }
        let entry = entry(step, author.by(), reason);
        self.take_step(name, entry, Origin::Api(author))
    }

    /// Everything that has happened to grants of this name, the oldest life first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn lives(&self, name: &str) -> Result<Vec<StoredLife>, StoreError> {
        self.store.lives_of(name)
    }
}
