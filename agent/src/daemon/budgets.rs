//! Limits on calls and cost: reckoned whenever counts are taken over, and told to the kernel once they are
//! used up. What was used outlasts the agent in the store, and what is refused in the kernel.

use std::collections::BTreeMap;

use agent_common::{
    abi::program,
    counter::{CounterKey, Counts},
    policy::RuleId,
};
use jiff::Timestamp;

use super::{Core, revision::Revision};
use crate::{
    audit::{Action, Actor, Entry, Target, Via},
    bpf::policy::PolicyMaps,
    error_chain,
    host::clock::Now,
    policy::{Kind, Limits, Spec},
    store::StoreError,
    usage::{
        cost::rate_of,
        period::{Period, minute_of, plan, start_of},
        spending::{Spender, Spending},
    },
};

/// An end that is reckoned anew differs by less where nothing has changed.
const LEEWAY_NS: u64 = 1_000_000_000;

/// What is used of budgets, and who has none left.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    /// `None`: to be read from the store.
    spending: Option<Spending>,
    /// First minute of the hour that it is about.
    hour: i64,
    /// Whose connections are refused on which grant, until when on the boot clock.
    spent: BTreeMap<Spender, u64>,
    /// What grants allow may have changed.
    is_changed: bool,
}

/// Name and limits of each grant that has a budget, by its number.
type Budgeted = BTreeMap<RuleId, (String, Limits)>;

impl Budgets {
    /// With what another agent has told the kernel.
    pub(super) fn recover(policy: &PolicyMaps) -> Self {
        let spent = policy.spent().unwrap_or_else(|error| {
            tracing::warn!(error = error_chain(&error), "spent budgets not known");
            BTreeMap::new()
        });
        Self {
            spent,
            ..Self::default()
        }
    }

    /// What grants allow may be different from now on.
    pub(super) const fn look_again(&mut self) {
        self.is_changed = true;
    }

    pub(super) const fn spending(&self) -> Option<&Spending> {
        self.spending.as_ref()
    }

    /// Until when on the boot clock connections are refused; `None` if they are not.
    pub(super) fn spent_until(&self, spender: Spender, now_ns: u64) -> Option<u64> {
        let until = self.spent.get(&spender).copied();
        until.filter(|until| *until > now_ns)
    }
}

impl Core {
    /// Takes over what has been counted, and refuses whoever has used up a budget.
    pub(super) fn reckon(&mut self, added: &[(CounterKey, Counts)], at: &Now) {
        let budgeted = budgeted(&self.running.revision);
        if budgeted.is_empty() && self.budgets.spent.is_empty() {
            self.budgets.spending = None;
            return;
        }
        let hour = Period::Hour.floor(minute_of(at.wall));
        match &mut self.budgets.spending {
            Some(spending) if self.budgets.hour == hour => {
                if added.is_empty() && !self.budgets.is_changed {
                    return;
                }
                for (key, counts) in added {
                    let spender = (self.accounts.of(key.identity), key.rule);
                    spending.add(spender, key.endpoint, counts);
                }
            }
            Some(_) | None => match self.read_spending(at) {
                Ok(spending) => {
                    self.budgets.spending = Some(spending);
                    self.budgets.hour = hour;
                }
                // What is refused stays refused until it opens by itself.
                Err(error) => {
                    self.budgets.spending = None;
                    tracing::error!(error = error_chain(&error), "budgets not reckoned");
                    return;
                }
            },
        }
        self.budgets.is_changed = false;
        self.close(&budgeted, at);
    }

    fn read_spending(&mut self, at: &Now) -> Result<Spending, StoreError> {
        let minute = minute_of(at.wall);
        let kept = self.store.kept()?;
        let since = |period: Period| {
            let plan = plan(Some(period.floor(minute)), None, &kept);
            self.store.usage(&plan, None, None)
        };
        let (hour, day) = (since(Period::Hour)?, since(Period::Day)?);
        let users = day.values().flatten().map(|row| row.identity).collect();
        self.recall_accounts(&users, at.wall)?;
        let account = |identity| self.accounts.of(identity);
        Ok(Spending::new(
            hour.values().flatten(),
            day.values().flatten(),
            account,
        ))
    }

    /// Makes the kernel refuse exactly those who have nothing left.
    fn close(&mut self, budgeted: &Budgeted, at: &Now) {
        let wanted = self.used_up(budgeted, at);
        let opened: Vec<_> = self.budgets.spent.keys().copied().collect();
        for spender in opened {
            if !wanted.contains_key(&spender) {
                self.tell_kernel(spender, None);
            }
        }
        let mut entries = Vec::new();
        for (spender, (until_ns, per)) in wanted {
            let known = self.budgets.spent.get(&spender);
            if known.is_some_and(|known| known.abs_diff(until_ns) < LEEWAY_NS) {
                continue;
            }
            let is_new = known.is_none();
            if self.tell_kernel(spender, Some(until_ns)) && is_new {
                let until = at.wall_of(until_ns);
                entries.extend(self.told_spent(budgeted, spender, per, until));
            }
        }
        for entry in entries {
            if let Err(error) = self.store.at_once(|store| store.audit(at.wall, &entry)) {
                tracing::error!(
                    error = error_chain(&error),
                    "a spent budget is not in the audit"
                );
            }
        }
    }

    /// Who has used up a budget: until when on the boot clock, and of which period.
    fn used_up(&self, budgeted: &Budgeted, at: &Now) -> BTreeMap<Spender, (u64, Period)> {
        let rates = self.rates();
        let spending = self.budgets.spending.iter();
        let spenders = spending.flat_map(|spending| {
            spending.spenders().filter_map(|spender| {
                let (_, limits) = budgeted.get(&spender.1)?;
                Some((spender, spending.used_up(spender, limits, &rates)?))
            })
        });
        spenders
            .map(|(spender, per)| (spender, (end_of(per, at), per)))
            .collect()
    }

    /// False if the kernel has no room.
    fn tell_kernel(&mut self, (identity, grant): Spender, until_ns: Option<u64>) -> bool {
        if let Err(error) = self.maps.policy.set_spent(identity, grant, until_ns) {
            tracing::error!(
                error = error_chain(&error),
                "a spent budget is not enforced"
            );
            return false;
        }
        match until_ns {
            Some(until_ns) => self.budgets.spent.insert((identity, grant), until_ns),
            None => self.budgets.spent.remove(&(identity, grant)),
        };
        true
    }

    /// Logs it, too.
    fn told_spent(
        &self,
        budgeted: &Budgeted,
        spender: Spender,
        per: Period,
        until: Timestamp,
    ) -> Option<Entry> {
        let (grant, _) = budgeted.get(&spender.1)?;
        let names = self.store.names().ok();
        let identity = names.and_then(|mut names| names.identities.remove(&spender.0));
        let spent = self.budgets.spending.as_ref()?;
        let spent = spent.spent(spender, per, &self.rates());
        let until = until.round(jiff::Unit::Second).unwrap_or(until);
        tracing::warn!(grant, identity, calls = spent.calls, %until, "a budget is spent");
        let actor = Actor {
            via: Via::Workload,
            identity,
            ..Actor::default()
        };
        let target = Target::new(Kind::InvocationGrant.name(), grant);
        let entry = Entry::new(Action::BudgetSpent, actor, target)
            .with("per", per.name())
            .with("calls", spent.calls)
            .with("until", until.to_string());
        Some(match spent.cost {
            Some(cost) => entry.with("estimated_usd", cost.dollars.to_f64().to_string()),
            None => entry,
        })
    }

    /// Budgets that cannot be reckoned on this host, a line each.
    pub(super) fn unmetered(&self, revision: &Revision) -> Vec<String> {
        let uncounted = self.calls_are_uncounted();
        let mut unmetered = Vec::new();
        for (name, limits) in budgeted(revision).into_values() {
            if let (Some(_), Some(why)) = (&limits.calls, &uncounted) {
                unmetered.push(format!(
                    "grant `{name}`: limits.calls: calls are not counted on this host: {why}"
                ));
            }
            if limits.cost.is_some() {
                let why = self.without_rate(revision, &name, uncounted.is_some());
                unmetered.extend(why.map(|why| format!("grant `{name}`: limits.cost: {why}")));
            }
        }
        unmetered
    }

    /// An endpoint of the grant whose cost nothing tells, and why.
    fn without_rate(&self, revision: &Revision, grant: &str, uncounted: bool) -> Option<String> {
        let object = revision
            .set
            .objects()
            .find(|object| object.kind() == Kind::InvocationGrant && object.name() == grant);
        let Spec::InvocationGrant(grant) = &object?.spec else {
            return None;
        };
        let rules = &self.config.costs.rules;
        let mut endpoints = revision.set.endpoints_of(grant);
        endpoints.find_map(|endpoint| {
            let name = &endpoint.name;
            match rate_of(rules, endpoint) {
                None => Some(format!(
                    "nothing tells what `{name}` costs: add [[costs]] for it to the configuration"
                )),
                Some(rate) if uncounted && rate.per_call.is_some() => Some(format!(
                    "[[costs]] for `{name}` is by calls, which are not counted on this host"
                )),
                Some(_) => None,
            }
        })
    }

    fn calls_are_uncounted(&self) -> Option<&str> {
        let mut hooks = self.attached.coverage.iter();
        // Both are attached or none.
        let missing = hooks.find(|hook| hook.program == program::CALLS_SENT);
        missing.and_then(|hook| hook.attachment.as_ref().err().map(String::as_str))
    }

    /// Refuses a revision with a budget that cannot be reckoned here, where the running one has not the
    /// same.
    ///
    /// # Errors
    ///
    /// A line for each.
    pub(super) fn check_metered(&self, revision: &Revision) -> Result<(), Vec<String>> {
        let former = self.unmetered(&self.running.revision);
        let mut new = self.unmetered(revision);
        new.retain(|one| !former.contains(one));
        if new.is_empty() { Ok(()) } else { Err(new) }
    }
}

fn budgeted(revision: &Revision) -> Budgeted {
    let objects = revision.set.objects();
    let budgeted = objects.filter_map(|object| match &object.spec {
        Spec::InvocationGrant(grant) if grant.limits.has_budget() => {
            let number = revision.numbers.grants.get(object.name())?;
            Some((*number, (object.name().to_owned(), grant.limits)))
        }
        Spec::InvocationGrant(_)
        | Spec::ModelEndpoint(_)
        | Spec::EgressDeny(_)
        | Spec::Posture(_) => None,
    });
    budgeted.collect()
}

/// The instant of the boot clock at which the period that is now ends.
pub(super) fn end_of(per: Period, at: &Now) -> u64 {
    let end = start_of(per.floor(minute_of(at.wall)) + per.minutes());
    let left = end.duration_since(at.wall).as_nanos();
    at.boot_ns.saturating_add(u64::try_from(left).unwrap_or(0))
}
