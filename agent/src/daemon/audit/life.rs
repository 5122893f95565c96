//! Start, stop, mode and coverage of the agent itself, compared with what was recorded last.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{Core, changes::audit_all};
use crate::{
    audit::{Action, Actor, Entry, KEY_DETAIL, Occasion, Record, Target},
    error_chain,
    host::clock::now,
    store::StoreError,
};

impl Core {
    /// `last` is the record that the former agent left last.
    pub(in crate::daemon) fn record_start(
        &mut self,
        last: Option<&Record>,
    ) -> Result<(), StoreError> {
        let mode = self.config.mode.name();
        let started = self.store.last_audited(Action::AgentStarted)?;
        let former_mode = started.as_ref().and_then(|record| record.detail("mode"));
        // Before the first start there was nothing that could have been left undone.
        let is_clean = last.is_none_or(|last| last.is(Action::AgentStopped));
        let reason = if is_clean {
            ""
        } else {
            "the agent before did not stop in order"
        };
        let mut entries = vec![
            of_agent(Action::AgentStarted)
                .because(reason)
                .with("version", env!("CARGO_PKG_VERSION"))
                .with("mode", mode)
                .with("revision", self.running.number)
                .with("cgroup", self.scope.display().to_string())
                .with("clean", is_clean)
                .with("unproven", self.prover.n_unproven)
                .with(KEY_DETAIL, self.prover.public_key.text()),
        ];
        if former_mode.is_some_and(|former| former != mode) {
            let from = started.and_then(|record| record.detail("mode"));
            let changed = of_agent(Action::ModeChanged).with("to", mode);
            entries.push(changed.with("from", from));
        }
        entries.extend(self.changed_coverage()?);
        let at = now().wall;
        self.store.at_once(|store| audit_all(store, at, &entries))?;
        self.prove(Occasion::Running);
        Ok(())
    }

    pub(in crate::daemon) fn record_stop(&mut self) {
        self.record_tallies(true);
        self.record_refusals(true);
        let stopped = of_agent(Action::AgentStopped).with("detached", self.config.detach_on_exit);
        if let Err(error) = self.audit(&stopped) {
            tracing::error!(error = error_chain(&error), "stop not recorded");
        }
        self.prove(Occasion::Stop);
    }

    pub(in crate::daemon) fn record_coverage(&mut self) {
        let recorded = self.changed_coverage().and_then(|changed| match changed {
            Some(changed) => self.audit(&changed).map(drop),
            None => Ok(()),
        });
        if let Err(error) = recorded {
            tracing::error!(error = error_chain(&error), "coverage not recorded");
        }
    }

    /// Hooks that are not in force, and why.
    #[must_use]
    pub fn missing_hooks(&self) -> BTreeMap<String, String> {
        let hooks = self.attached.coverage.iter();
        hooks
            .filter_map(|hook| {
                let why = hook.attachment.as_ref().err()?;
                Some((hook.program.to_owned(), why.clone()))
            })
            .collect()
    }

    /// A record of what is seen and what is not, unless the last one says the same.
    fn changed_coverage(&self) -> Result<Option<Entry>, StoreError> {
        let missing = json!(self.missing_hooks());
        let names = json!(self.inspection.as_ref().err());
        let closes = json!(self.close_fallback);
        let last = self.store.last_audited(Action::CoverageChanged)?;
        let is_told = last.is_some_and(|last| {
            [
                ("missing", &missing),
                ("names", &names),
                ("closes", &closes),
            ]
            .iter()
            .all(|(name, value)| last.detail(name).as_ref() == Some(*value))
        });
        let entry = of_agent(Action::CoverageChanged)
            .with("missing", missing)
            .with("names", names)
            .with("closes", closes);
        Ok((!is_told).then_some(entry))
    }
}

fn of_agent(action: Action) -> Entry {
    Entry::new(action, Actor::agent(), Target::new("agent", "weir"))
}
