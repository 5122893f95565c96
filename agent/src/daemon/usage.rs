//! Usage, as the store has it after what the kernel has counted was taken over, and what it is estimated
//! to cost.

use std::collections::BTreeMap;

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;

use super::Core;
use crate::{
    store::{StoreError, UsageReader},
    usage::{
        ProcessRow, UsageRow,
        cost::{Rate, rate_of},
        period::{Plan, end_minute_of, minute_of, plan},
    },
};

impl Core {
    /// When counts were taken over last; `None` before the first time.
    #[must_use]
    pub const fn taken_over_at(&self) -> Option<Timestamp> {
        self.taken_over_at
    }

    /// What usage of each endpoint is estimated to cost: of those that a rule of the configuration selects.
    #[must_use]
    pub fn rates(&self) -> BTreeMap<EndpointId, Rate> {
        let rules = &self.config.costs.rules;
        if rules.is_empty() {
            return BTreeMap::new();
        }
        let revision = &self.running.revision;
        let endpoints = revision.set.catalogue().iter();
        let rates = endpoints.filter_map(|endpoint| {
            let number = revision.numbers.endpoints.get(&endpoint.name)?;
            Some((*number, rate_of(rules, endpoint)?))
        });
        rates.collect()
    }

    /// Usage up to this moment, to be read on another thread: what the kernel has counted is taken over
    /// first, and with `processes` what it has told of them.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn usage_reader(&mut self, processes: bool) -> Result<UsageReader, StoreError> {
        self.drain();
        if processes {
            self.take_all_events();
        }
        UsageReader::begin(&self.database())
    }

    /// Usage up to this moment, one row for each identity, endpoint, rule and reason: what the kernel
    /// has counted is taken over first. Where minutes are no longer kept, whole hours or days.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn usage(
        &mut self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        self.drain();
        let plan = self.usage_plan(since, until)?;
        let rows = self.store.usage(&plan, identity, endpoint)?;
        Ok(rows.into_values().flatten().collect())
    }

    /// What events told of the processes behind the usage between two instants.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn process_usage(
        &mut self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<Vec<ProcessRow>, StoreError> {
        self.take_all_events();
        let plan = self.usage_plan(since, until)?;
        let rows = self.store.process_usage(&plan, identity, endpoint)?;
        Ok(rows.into_values().flatten().collect())
    }

    fn usage_plan(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Plan, StoreError> {
        let kept = self.store.kept()?;
        Ok(plan(since.map(minute_of), until.map(end_minute_of), &kept))
    }
}
