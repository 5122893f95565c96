//! What is allowed by policy and still worth a look.

use agent_common::settings::Mode;

use super::{Core, revision::Revision};
use crate::policy::{PolicySet, Separation};

impl Core {
    /// One line each, in order.
    pub(super) fn findings(&self, set: &PolicySet) -> Vec<String> {
        if !set.has_managers() {
            return Vec::new();
        }
        let mut findings = set.duties();
        let identities = self.workloads.identities();
        let both = identities
            .iter()
            .filter_map(|identity| set.duties_of(&identity.key(), &identity.labels));
        findings.extend(both);
        findings.sort();
        findings.iter().map(ToString::to_string).collect()
    }

    /// Rules about costs that are for no endpoint that is known, one line each.
    pub(super) fn idle_cost_rules(&self) -> Vec<String> {
        let catalogue = self.running.revision.set.catalogue();
        let rules = self.config.costs.rules.iter();
        let idle = rules.filter(|rule| !catalogue.iter().any(|endpoint| rule.selects(endpoint)));
        idle.map(|rule| format!("[[costs]] for `{}` is for no known endpoint", rule.endpoint))
            .collect()
    }

    /// A policy directory that is not there is no mistake, but hardly meant where nothing else says
    /// what is refused.
    pub(super) fn absent_policy(&self) -> Option<String> {
        let directory = &self.config.policy_dir;
        let is_bare = self.running.revision.set.objects().next().is_none();
        let is_wanted = self.config.mode != Mode::Observe && is_bare;
        (is_wanted && !directory.is_dir()).then(|| {
            format!(
                "the policy directory `{}` is not there, so nothing is refused",
                directory.display()
            )
        })
    }

    /// Refuses a revision that lets an identity that is there both manage and invoke, where the
    /// running one does not.
    ///
    /// # Errors
    ///
    /// If the configuration wants that refused.
    pub(super) fn check_duties(&self, revision: &Revision) -> Result<(), Vec<String>> {
        match self.config.separation_of_duties {
            Separation::Report => return Ok(()),
            Separation::Refuse => {}
        }
        let former = self.findings(&self.running.revision.set);
        let mut new = self.findings(&revision.set);
        new.retain(|finding| !former.contains(finding));
        if new.is_empty() {
            return Ok(());
        }
        Err(new)
    }
}
