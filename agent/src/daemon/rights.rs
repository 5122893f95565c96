//! Who is X, and what may it call now?

use std::sync::Arc;

use agent_common::verdict::Decision;

use super::{Core, GrantView, ProcessView, QuestionError, Subject};
use crate::{
    host::clock::now,
    identity::Labels,
    policy::{EgressDeny, PostureSource, rights},
};

#[derive(Clone, Debug)]
pub struct RightsView {
    pub identity: String,
    pub labels: Labels,
    pub found_by: String,
    pub cgroup: Option<String>,
    pub pid: Option<u32>,
    /// The process and those that led to it, nearest first.
    pub lineage: Vec<ProcessView>,
    pub posture: PostureSource,
    /// Grants in force or to come that select it.
    pub grants: Vec<GrantView>,
    /// Deny rules that select it, with their sources.
    pub denies: Vec<(String, EgressDeny, String)>,
    /// Endpoints that it may call, why, and the name of the grant.
    pub endpoints: Vec<(String, Decision, Option<String>)>,
}

impl Core {
    /// # Errors
    ///
    /// When it cannot be found.
    pub fn rights(&self, subject: Subject) -> Result<RightsView, QuestionError> {
        let caller = self.caller(subject)?;
        let revision = &self.running.revision;
        let found = rights(
            &revision.set,
            &revision.numbers,
            &caller.identity,
            now().wall,
        );
        let found = found.map_err(crate::policy::ExplainError::from)?;
        let names = self.store.names()?;
        let mut grants = self.grants(false)?;
        grants.retain(|grant| found.grants.contains(&grant.name));
        let mut denies = self.denies();
        denies.retain(|(name, _, _)| found.denies.contains(name));
        let at = now();
        let endpoints: Vec<_> = found
            .endpoints
            .into_iter()
            .filter_map(|(name, decision)| {
                let decision = self.limited(decision, &caller.identity, &at);
                if !decision.is_entitled() {
                    return None;
                }
                let rule = names.rules.get(&decision.rule());
                Some((name, decision, rule.map(|(_, rule)| rule.clone())))
            })
            .collect();
        Ok(RightsView {
            identity: caller.identity.key(),
            labels: Arc::unwrap_or_clone(caller.identity.labels),
            found_by: caller.found_by,
            cgroup: caller.cgroup,
            pid: caller.pid,
            lineage: caller.lineage,
            posture: found.posture,
            grants,
            denies,
            endpoints,
        })
    }
}
