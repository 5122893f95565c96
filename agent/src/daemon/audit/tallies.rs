//! Refused and high-risk invocations, as records that stand for many.

use std::collections::BTreeSet;

use agent_common::destination::EndpointId;

use super::super::{Core, revision::Revision};
use crate::{
    audit::{Actor, Entry, Tally, Target, Via},
    endpoint::Risk,
    error_chain,
    host::clock::now,
    store::{Names, StoreError},
};

impl Core {
    /// With `all`, also those whose turn has not come.
    pub(in crate::daemon) fn record_tallies(&mut self, all: bool) {
        if let Err(error) = self.try_record_tallies(all) {
            // They stay, and the next time tells them.
            tracing::error!(error = error_chain(&error), "invocations not recorded");
        }
    }

    fn try_record_tallies(&mut self, all: bool) -> Result<(), StoreError> {
        let at = now().wall;
        let tallies = self.store.due_tallies(at, all)?;
        if tallies.is_empty() {
            return Ok(());
        }
        let names = self.names()?;
        let tell = |tally: &Tally| entry(tally, &names);
        self.store.record_tallies(&tallies, at, &tell)
    }
}

/// Endpoints of which every invocation is told.
pub(in crate::daemon) fn risky_endpoints(revision: &Revision) -> BTreeSet<EndpointId> {
    revision.numbers_of(|endpoint| match endpoint.risk {
        Risk::High | Risk::Critical => true,
        Risk::Low => false,
    })
}

fn entry(tally: &Tally, names: &Names) -> Entry {
    let Tally {
        action,
        outcome,
        identity,
        endpoint,
        reason,
        rule,
        count,
        since,
    } = tally;
    let unnamed = |number: u32| format!("#{number}");
    let known = names.identities.get(identity).cloned();
    let actor = Actor {
        via: Via::Workload,
        identity: Some(known.unwrap_or_else(|| unnamed(identity.to_raw()))),
        ..Actor::default()
    };
    let known = names.endpoints.get(endpoint).cloned();
    let place = known.unwrap_or_else(|| unnamed(endpoint.to_raw()));
    let entry = Entry::new(*action, actor, Target::new("endpoint", &place))
        .ended(*outcome)
        .because(reason.name())
        .with("count", *count)
        .with("since", since.to_string());
    match names.rules.get(rule) {
        Some((_, name)) => entry.with("rule", name.as_str()),
        None => entry,
    }
}
