//! What the objects say, with loops and conditions only and no code of the compiler.

use std::net::IpAddr;

use agent_common::{
    identity::IdentityId,
    policy::{Posture, RuleId},
    settings::Mode,
    verdict::Reason,
};
use jiff::Timestamp;

use super::world::{World, instant};
use crate::{
    endpoint::{Endpoint, Plane},
    identity::Identity,
    policy::{Parts, PostureScope, Span, Subject, UserSelector},
};

/// Why, by which rule, and whether it goes through nevertheless, because of shadow mode.
pub(super) type Said = (Reason, RuleId, bool);

pub(super) const fn is_entitled((reason, _, in_shadow): &Said) -> bool {
    reason.is_entitled() || *in_shadow
}

pub(super) fn at_endpoint(world: &World, who: &Identity, name: &str, later: u64) -> Said {
    let endpoint = world.set.catalogue.get(name).expect("an endpoint");
    for (deny_name, deny) in &world.set.denies {
        if anyone(&deny.subjects, who)
            && anything(&deny.endpoints, endpoint)
            && deny.planes.contains(&endpoint.plane)
        {
            return (Reason::DeniedByRule, world.numbers.denies[deny_name], false);
        }
    }
    let now = instant(i64::try_from(later).expect("small"));
    let mut matching = Vec::new();
    for (grant_name, rule) in &world.set.grants {
        let planes: &std::collections::BTreeSet<Plane> = &rule.grant.planes;
        if anyone(&rule.grant.subjects, who)
            && anything(&rule.grant.endpoints, endpoint)
            && planes.contains(&endpoint.plane)
        {
            matching.push((rule.span, world.numbers.grants[grant_name]));
        }
    }
    if let Some(rule) = longest(matching.iter().filter(|(span, _)| live(span, now))) {
        return (Reason::Granted, rule, false);
    }
    let in_shadow = match posture(world, who) {
        (Posture::Allow, _) | (Posture::Deny, Mode::Observe) => {
            return (Reason::DefaultAllow, RuleId::NONE, false);
        }
        (Posture::Deny, mode) => mode == Mode::Shadow,
    };
    if let Some(rule) = longest(matching.iter().filter(|(span, _)| end(span) <= now)) {
        return (Reason::Expired, rule, in_shadow);
    }
    if let Some(first) = matching.iter().map(|(span, _)| span.not_before).min() {
        let soonest = matching.iter().filter(|(span, _)| span.not_before == first);
        return (
            Reason::NotYetValid,
            longest(soonest).expect("one at least"),
            in_shadow,
        );
    }
    (Reason::NoGrant, RuleId::NONE, in_shadow)
}

/// What each endpoint and each denied prefix at this address says.
pub(super) fn at_address(
    world: &World,
    who: &Identity,
    address: IpAddr,
    port: u16,
    later: u64,
) -> Vec<Said> {
    let mut said = Vec::new();
    for endpoint in world.set.catalogue.iter() {
        let has_port = endpoint.ports.contains(&port) || endpoint.ports.contains(&0);
        if has_port && endpoint.cidrs.iter().any(|net| net.contains(&address)) {
            said.push(at_endpoint(world, who, &endpoint.name, later));
        }
    }
    for (name, deny) in &world.set.denies {
        let has_port = deny.ports.contains(&port) || deny.ports.contains(&0);
        if has_port
            && anyone(&deny.subjects, who)
            && deny.cidrs.iter().any(|net| net.contains(&address))
        {
            said.push((Reason::DeniedByRule, world.numbers.denies[name], false));
        }
    }
    said
}

fn live(span: &Span, now: Timestamp) -> bool {
    span.not_before.is_none_or(|start| start <= now) && now < end(span)
}

fn end(span: &Span) -> Timestamp {
    span.not_after.unwrap_or(Timestamp::MAX)
}

/// The first of those that end last.
fn longest<'s>(spans: impl Iterator<Item = &'s (Span, RuleId)>) -> Option<RuleId> {
    let mut best: Option<&(Span, RuleId)> = None;
    for one in spans {
        if best.is_none_or(|best| end(&one.0) > end(&best.0)) {
            best = Some(one);
        }
    }
    best.map(|(_, rule)| *rule)
}

fn posture(world: &World, who: &Identity) -> (Posture, Mode) {
    let mut selected = None;
    let mut default = (Posture::Allow, Mode::Enforce);
    for rule in world.set.postures.values() {
        let mut says = rule.ungranted;
        if who.labels.is_unresolved && rule.unresolved == Some(Posture::Deny) {
            says = Posture::Deny;
        }
        match &rule.scope {
            PostureScope::Default => default = (says, rule.mode),
            PostureScope::Subjects(subjects) if anyone(subjects, who) => {
                let is_stricter = match selected {
                    None => true,
                    Some((Posture::Allow, _)) => says == Posture::Deny,
                    Some((Posture::Deny, mode)) => says == Posture::Deny && rule.mode > mode,
                };
                if is_stricter {
                    selected = Some((says, rule.mode));
                }
            }
            PostureScope::Subjects(_) => {}
        }
    }
    selected.unwrap_or(default)
}

fn anything(selectors: &[String], endpoint: &Endpoint) -> bool {
    for selector in selectors {
        let is_above = endpoint.name.starts_with(&format!("{selector}/"));
        if selector == "*"
            || *selector == endpoint.name
            || is_above
            || *selector == endpoint.provider
        {
            return true;
        }
    }
    false
}

fn anyone(subjects: &[Subject], who: &Identity) -> bool {
    for subject in subjects {
        match subject {
            Subject::Any => return true,
            Subject::Parts(parts) if who.id != IdentityId::UNKNOWN && all(parts, who) => {
                return true;
            }
            Subject::Parts(_) => {}
        }
    }
    false
}

fn all(parts: &Parts, who: &Identity) -> bool {
    let labels = &who.labels;
    let glob = |pattern: &str, text: &Option<String>| {
        let Some(text) = text else {
            return false;
        };
        match pattern.split_once('*') {
            Some((before, after)) => text.starts_with(before) && text.ends_with(after),
            None => text == pattern,
        }
    };
    let mut matches = true;
    if let Some(unit) = &parts.unit {
        matches &= glob(unit.as_str(), &labels.unit);
    }
    if let Some(slice) = &parts.slice {
        matches &= glob(slice.as_str(), &labels.slice);
    }
    if let Some(unit) = &parts.user_unit {
        matches &= glob(unit.as_str(), &labels.user_unit);
    }
    if let Some(name) = &parts.container_name {
        matches &= labels.container.is_some();
        matches &= glob(name.as_str(), &labels.container_name);
    }
    if let Some(image) = &parts.image {
        matches &= glob(image.as_str(), &labels.image);
    }
    for (part, label) in [
        (&parts.namespace, &labels.namespace),
        (&parts.service_account, &labels.service_account),
        (&parts.task, &labels.task),
        (&parts.exe, &labels.exe),
    ] {
        matches &= part.is_none() || part == label;
    }
    for (name, value) in &parts.pod_labels {
        matches &= labels.pod_labels.get(name) == Some(value);
    }
    match (&parts.user, &labels.user) {
        (None, _) => {}
        (Some(_), None) => matches = false,
        (Some(UserSelector::Uid(uid)), Some(user)) => matches &= user.uid == *uid,
        (Some(UserSelector::Name(name)), Some(user)) => {
            matches &= user.name.as_deref() == Some(name);
        }
    }
    if let Some(container) = &parts.container {
        matches &= labels.container.as_ref() == Some(container);
    }
    if let Some(pod) = &parts.pod {
        matches &= labels.pod.as_ref() == Some(pod);
    }
    if let Some(cgroup) = &parts.cgroup {
        let below = format!("{}/", cgroup.trim_end_matches('/'));
        matches &= labels.cgroup == *cgroup || labels.cgroup.starts_with(&below);
    }
    matches
}
