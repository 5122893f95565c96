//! What is used of the limits of a grant, and when there is more: for people.

use agent_common::{
    limit::Limit,
    policy::RuleId,
    verdict::{Decision, Reason},
};
use jiff::Timestamp;

use super::{Core, budgets::end_of};
use crate::{
    host::clock::Now,
    identity::Identity,
    policy::{Budget, Limits, Spec},
    usage::{Quality, cost::Dollars, period::Period, spending::Spender},
};

/// One limit of a grant for one identity.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitView {
    /// `connections`, `bytesPerDay`, `calls` or `cost`.
    pub limit: &'static str,
    /// `None` if it is unknown.
    pub used: Option<f64>,
    pub most: f64,
    /// `None`: an estimate.
    pub quality: Option<Quality>,
    /// When it begins anew.
    pub anew_at: Timestamp,
    /// Whose parts use it up together, if this is one of them.
    pub account: Option<String>,
}

impl LimitView {
    fn is_reached(&self) -> bool {
        self.used.is_some_and(|used| used >= self.most)
    }
}

impl Core {
    /// A right as the limits of its grant leave it.
    pub(super) fn limited(&self, decision: Decision, identity: &Identity, at: &Now) -> Decision {
        if decision.reason() != Reason::Granted {
            return decision;
        }
        let (grant, endpoint) = (decision.rule(), decision.endpoint());
        let spender = (self.accounts.of(identity.id), grant);
        let mut limits = self.kernel_limits(spender, at).into_iter();
        let reason = if self.budgets.spent_until(spender, at.boot_ns).is_some() {
            Reason::BudgetSpent
        } else if limits.any(|limit| limit.is_reached()) {
            Reason::LimitReached
        } else {
            return decision;
        };
        let refused = Decision::new(reason, grant, endpoint);
        self.maps.policy.in_shadow(identity.id, refused)
    }

    /// The limits of a grant, if it has any.
    pub(super) fn limits_of(&self, identity: &Identity, grant: RuleId, at: &Now) -> Vec<LimitView> {
        let spender = (self.accounts.of(identity.id), grant);
        let mut limits = self.kernel_limits(spender, at);
        if let Some(allowed) = self.limits_by_number(grant) {
            limits.extend(self.budget_limits(spender, &allowed, at));
        }
        if spender.0 != identity.id {
            let account = self.labels.account(&identity.labels).key();
            for limit in &mut limits {
                limit.account = Some(account.clone());
            }
        }
        limits
    }

    /// The name of this grant, if it limits anything.
    pub(super) fn limiting(&self, grant: RuleId) -> Option<String> {
        let limits = self.limits_by_number(grant)?;
        let name = self.running.revision.grant_name(grant)?;
        (!limits.is_none()).then(|| name.to_owned())
    }

    fn limits_by_number(&self, grant: RuleId) -> Option<Limits> {
        let revision = &self.running.revision;
        let name = revision.grant_name(grant)?;
        revision
            .set
            .objects()
            .find_map(|object| match &object.spec {
                Spec::InvocationGrant(grant) if object.name() == name => Some(grant.limits),
                Spec::InvocationGrant(_)
                | Spec::ModelEndpoint(_)
                | Spec::EgressDeny(_)
                | Spec::Posture(_) => None,
            })
    }

    /// What the kernel counts by itself.
    fn kernel_limits(&self, (account, grant): Spender, at: &Now) -> Vec<LimitView> {
        let Some(used) = self.maps.policy.used(account, grant, at.boot_ns) else {
            return Vec::new();
        };
        let limit = &used.limit;
        let windows = [
            (
                "connections",
                used.connections,
                limit.connections,
                limit.window_ns,
            ),
            ("bytesPerDay", used.bytes, limit.bytes, Limit::DAY_NS),
        ];
        let limited = windows
            .into_iter()
            .filter(|(_, _, most, _)| *most != Limit::NONE);
        limited
            .map(|(name, used, most, length_ns)| {
                let next = limit.window(at.boot_ns, length_ns).saturating_add(1);
                let end_ns = next.saturating_mul(length_ns).saturating_sub(limit.unix_ns);
                LimitView {
                    limit: name,
                    used: Some(used as f64),
                    most: most as f64,
                    quality: Some(Quality::Exact),
                    anew_at: to_seconds(at.wall_of(end_ns)),
                    account: None,
                }
            })
            .collect()
    }

    /// What the agent reckons.
    fn budget_limits(&self, spender: Spender, limits: &Limits, at: &Now) -> Vec<LimitView> {
        let rates = self.rates();
        let spending = self.budgets.spending();
        let spent = |per: Period| spending.map(|spending| spending.spent(spender, per, &rates));
        let anew_at = |per| to_seconds(at.wall_of(end_of(per, at)));
        let calls = limits.calls.map(|Budget { most, per }| LimitView {
            limit: "calls",
            used: spent(per).map(|spent| spent.calls as f64),
            most: most as f64,
            quality: Some(Quality::Inferred),
            anew_at: anew_at(per),
            account: None,
        });
        let cost = limits.cost.map(|Budget { most, per }| LimitView {
            limit: "cost",
            used: spent(per)
                .and_then(|spent| spent.cost)
                .map(|cost| Dollars::to_f64(cost.dollars)),
            most: most.to_f64(),
            quality: None,
            anew_at: anew_at(per),
            account: None,
        });
        calls.into_iter().chain(cost).collect()
    }
}

/// Windows begin at whole seconds; the two clocks agree less well.
fn to_seconds(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Second).unwrap_or(at)
}
