//! Usage, as wire types.

mod filter;
mod page;
mod points;
mod question;

use std::collections::BTreeMap;

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;

use self::{
    filter::Rows,
    page::Selected,
    points::{Counted, points},
    question::Question,
};
use super::{DaemonBackend, bad, internal};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        types::{Cost, OtherUsage, Quality, UsageKey, UsageQuery, UsageReport, UsageRow},
    },
    daemon::Core,
    identity::{LabelKey, Labels},
    store::{Names, StoreError, UsageReader},
    usage::{
        self, Group, Grouping, Key, Value,
        cost::{Estimate, Rate},
        period::{Plan, end_minute_of, minute_of, plan, plan_intervals, start_of},
    },
};

/// What the daemon knows that an answer is made of.
struct Facts {
    reader: UsageReader,
    names: Names,
    labels: BTreeMap<IdentityId, Labels>,
    rates: BTreeMap<EndpointId, Rate>,
    identity: Option<IdentityId>,
    endpoint: Option<EndpointId>,
    lost_events: u64,
    now: Timestamp,
}

/// Read on a thread of its own: there may be millions of rows.
pub(super) async fn usage(
    backend: &DaemonBackend,
    query: UsageQuery,
) -> Result<UsageReport, ApiError> {
    let question = Question::new(query)?;
    let question = backend.ask(move |core| {
        let facts = facts(core, &question)?;
        Ok((question, facts))
    });
    let (question, facts) = question.await?;
    tokio::task::spawn_blocking(move || answer(&question, &facts))
        .await
        .map_err(|error| internal("read usage", &error))?
}

fn facts(core: &mut Core, question: &Question) -> Result<Facts, ApiError> {
    let failed = |error: StoreError| internal("read usage", &error);
    let reader = core
        .usage_reader(question.is_about_processes())
        .map_err(failed)?;
    let names = core.names().map_err(failed)?;
    let identity = question.identity.as_deref();
    let identity = identity.map(|name| identity_id(&names, name)).transpose()?;
    let endpoint = question.endpoint.as_deref();
    let endpoint = endpoint.map(|name| endpoint_id(&names, name)).transpose()?;
    let labels = if question.needs_labels() {
        core.known_labels().map_err(failed)?
    } else {
        BTreeMap::new()
    };
    Ok(Facts {
        reader,
        names,
        labels,
        rates: core.rates(),
        identity,
        endpoint,
        lost_events: core.lost_events().unwrap_or_default(),
        now: Timestamp::now(),
    })
}

fn answer(question: &Question, facts: &Facts) -> Result<UsageReport, ApiError> {
    let Facts {
        reader,
        names,
        labels,
        rates,
        ..
    } = facts;
    let failed = |error: StoreError| internal("read usage", &error);
    let plan = planned(question, facts)?;
    let rows = Rows::read(question, facts, &plan).map_err(failed)?;
    let keys = question.keys();
    let grouping = Grouping::new(&keys, labels).priced(rates);
    let groups = rows.groups(&grouping);
    let measured = reader.measured(facts.now).map_err(failed)?;
    let counted = Counted::new(&measured, &plan, &groups, facts.now);
    let Selected {
        groups,
        other,
        next,
    } = page::select(question, groups, names, facts.now);
    let own = grouping.only(groups.iter());
    let sum = match other {
        Some(_) => rows.groups(&own).into_iter().find(is_other),
        None => None,
    };
    let all: Vec<_> = groups.iter().chain(&sum).collect();
    let (intervals, mut points) = points(&rows, &own, &plan, &all, &counted)?;
    let mut row = |group: &Group| {
        let mut row = usage_row(group, names);
        counted.rate(&mut row);
        row.points = points.remove(&group.values).unwrap_or_default();
        row
    };
    let kept = reader.kept();
    Ok(UsageReport {
        by: question.by.clone(),
        since: question.since,
        until: question.until.unwrap_or(facts.now),
        covered_since: plan.first.map(start_of),
        covered_until: plan.end.map(start_of),
        minutes_since: kept.minute.map(start_of),
        hours_since: kept.hour.map(start_of),
        days_since: kept.day.map(start_of),
        counted_minutes: counted.minutes(),
        intervals,
        rows: groups.iter().map(&mut row).collect(),
        other: other.zip(sum).map(|(rows, sum)| OtherUsage {
            rows,
            sum: row(&sum),
        }),
        next,
        lost_events: facts.lost_events,
    })
}

/// What [`Grouping::only`] makes of the rest.
const fn is_other(group: &Group) -> bool {
    group.values.is_empty()
}

fn planned(question: &Question, facts: &Facts) -> Result<Plan, ApiError> {
    let kept = facts.reader.kept();
    let first = question.since.map(minute_of);
    let end = question.until.map(end_minute_of);
    match question.interval {
        None => Ok(plan(first, end, &kept)),
        Some(interval) => plan_intervals(first, end, interval, minute_of(facts.now), &kept)
            .map_err(|error| bad(error.to_string())),
    }
}

pub(super) const fn domain_key(key: UsageKey) -> Key {
    match key {
        UsageKey::Identity => Key::Identity,
        UsageKey::Endpoint => Key::Endpoint,
        UsageKey::Grant => Key::Rule,
        UsageKey::Reason => Key::Reason,
        UsageKey::Unit => Key::Label(LabelKey::Unit),
        UsageKey::Slice => Key::Label(LabelKey::Slice),
        UsageKey::Container => Key::Label(LabelKey::Container),
        UsageKey::Pod => Key::Label(LabelKey::Pod),
        UsageKey::Namespace => Key::Label(LabelKey::Namespace),
        UsageKey::ServiceAccount => Key::Label(LabelKey::ServiceAccount),
        UsageKey::Task => Key::Label(LabelKey::Task),
        UsageKey::Owner => Key::Label(LabelKey::Owner),
        UsageKey::Exe => Key::Exe,
        UsageKey::User => Key::User,
    }
}

pub(super) const fn quality(quality: usage::Quality) -> Quality {
    match quality {
        usage::Quality::Exact => Quality::Exact,
        usage::Quality::Inferred => Quality::Inferred,
        usage::Quality::LowerBound => Quality::LowerBound,
        usage::Quality::Unknown => Quality::Unknown,
    }
}

const fn cost(estimate: Estimate) -> Cost {
    Cost {
        usd: estimate.dollars.to_f64(),
        quality: Quality::Estimate,
        partial: estimate.is_partial,
    }
}

/// Without points and rate.
fn usage_row(group: &Group, names: &Names) -> UsageRow {
    let bytes = group.bytes();
    let counts = &group.counts;
    UsageRow {
        key: group
            .values
            .iter()
            .map(|value| value_name(value, names))
            .collect(),
        connections_allowed: counts.connects_allowed,
        connections_denied: counts.connects_denied,
        connections_would_deny: counts.connects_would_deny,
        connections_quality: quality(group.connections_quality),
        datagrams_allowed: counts.datagrams_allowed,
        datagrams_denied: counts.datagrams_denied,
        datagrams_would_deny: counts.datagrams_would_deny,
        bytes_out: bytes.map(|(out, _)| out),
        bytes_in: bytes.map(|(_, back)| back),
        bytes_quality: quality(group.bytes_quality),
        connections_without_bytes: group.connections_without_bytes(),
        calls: group.calls(),
        calls_quality: quality(group.calls_quality),
        cost: group.cost.map(cost),
        first_seen: Some(group.first_seen),
        last_seen: Some(group.last_seen),
        connections_per_minute: None,
        rate_quality: Quality::Unknown,
        points: Vec::new(),
    }
}

pub(super) fn value_name(value: &Value, names: &Names) -> String {
    let name = match value {
        Value::Identity(id) => names.identities.get(id).cloned(),
        Value::Endpoint(id) => names.endpoints.get(id).cloned(),
        Value::Rule(id) if id.is_none() => Some("-".to_owned()),
        Value::Rule(id) => names.rules.get(id).map(|(_, name)| name.clone()),
        Value::Reason(reason) => Some(reason.name().to_owned()),
        Value::Label(label) => Some(label.clone().unwrap_or_else(|| "-".to_owned())),
        Value::Exe(exe) => exe.clone(),
        Value::User(user) => user.map(|uid| match names.users.get(&uid) {
            Some(name) => format!("{name} ({uid})"),
            None => uid.to_string(),
        }),
    };
    name.unwrap_or_else(|| "unknown".to_owned())
}

fn unknown(what: &str, name: &str, list: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("no {what} `{name}`; `{list}` lists all"),
    )
}

pub(super) fn identity_id(names: &Names, name: &str) -> Result<IdentityId, ApiError> {
    let mut known = names.identities.iter();
    let found = known.find(|(_, known)| *known == name);
    found
        .map(|(id, _)| *id)
        .ok_or_else(|| unknown("identity", name, "weir identities"))
}

pub(super) fn endpoint_id(names: &Names, name: &str) -> Result<EndpointId, ApiError> {
    let mut known = names.endpoints.iter();
    let found = known.find(|(_, known)| *known == name);
    found
        .map(|(id, _)| *id)
        .ok_or_else(|| unknown("endpoint", name, "weir endpoints list"))
}
