//! Usage, as the store has it after what the kernel has counted was taken over.

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;

use super::Core;
use crate::{
    store::StoreError,
    usage::{
        ProcessRow, UsageRow,
        period::{Kept, Plan, minute_of, plan},
    },
};

/// Part of a minute is all of it.
fn end_minute(until: Timestamp) -> i64 {
    let minute = minute_of(until);
    let is_whole = until.as_nanosecond().rem_euclid(60_000_000_000) == 0;
    if is_whole { minute } else { minute + 1 }
}

impl Core {
    /// Which periods tell of the time between two instants.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn usage_plan(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Plan, StoreError> {
        let kept = self.store.kept()?;
        Ok(plan(since.map(minute_of), until.map(end_minute), &kept))
    }

    /// From when on which periods are kept.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn usage_kept(&self) -> Result<Kept, StoreError> {
        self.store.kept()
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
        let plan = self.usage_plan(since, until)?;
        self.planned_usage(&plan, identity, endpoint)
    }

    /// As [`Core::usage`], of the periods of a plan.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn planned_usage(
        &mut self,
        plan: &Plan,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        self.drain();
        self.store.usage(plan, identity, endpoint)
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
        let plan = self.usage_plan(since, until)?;
        self.planned_process_usage(&plan, identity, endpoint)
    }

    /// As [`Core::process_usage`], of the periods of a plan.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn planned_process_usage(
        &mut self,
        plan: &Plan,
        identity: Option<IdentityId>,
        endpoint: Option<EndpointId>,
    ) -> Result<Vec<ProcessRow>, StoreError> {
        self.take_all_events();
        self.store.process_usage(plan, identity, endpoint)
    }
}
