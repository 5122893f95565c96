//! The `spec` of tests.

use agent_common::verdict::{Reason, Verdict};

use super::{
    reader::{Allowed, Field, Reader},
    subject, value,
};
use crate::{
    identity::{Labels, LocalUser},
    policy::{Case, CasePlace, Expected, NamePattern, Parts, Subject, UserSelector},
};

const TEST: Allowed = Allowed { fields: &["cases"] };

const CASE: Allowed = Allowed {
    fields: &["subject", "endpoint", "host", "time", "verdict", "reason"],
};

/// `None` if anything in `field` is wrong.
pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<Case>> {
    let n_errors = reader.errors.len();
    let fields = reader.fields(field, &TEST)?;
    let cases = reader.required(&fields, "cases", "give at least one case")?;
    let items = reader.list(cases);
    let cases: Vec<_> = items.iter().filter_map(|item| case(reader, item)).collect();
    (reader.errors.len() == n_errors).then_some(cases)
}

fn case(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Case> {
    let fields = reader.fields(field, &CASE)?;
    let subject = reader
        .required(&fields, "subject", "say who calls")
        .and_then(|field| workload(reader, field));
    let endpoint = fields.get("endpoint");
    let host = fields.get("host");
    let place = match (endpoint, host) {
        (Some(field), None) => reader
            .text(field)
            .map(|name| CasePlace::Endpoint(name.to_owned())),
        (None, Some(field)) => reader
            .text(field)
            .map(|name| CasePlace::Host(name.to_owned())),
        (Some(_), Some(_)) | (None, None) => {
            reader.refuse(field, "say either endpoint or host");
            None
        }
    };
    let time = match fields.get("time") {
        Some(field) => Some(value::time(reader, field)?),
        None => None,
    };
    let verdict = reader
        .required(&fields, "verdict", "write allow or deny")
        .and_then(|field| reader.word(field, &[Verdict::Allow, Verdict::Deny], Verdict::name));
    let reason = match fields.get("reason") {
        Some(field) => Some(reader.word(field, &Reason::ALL, Reason::name)?),
        None => None,
    };
    Some(Case {
        at: field.at,
        subject: subject?,
        place: place?,
        time,
        expected: Expected {
            is_allowed: verdict? == Verdict::Allow,
            reason,
        },
    })
}

/// The labels of a workload; inner `None` for one about which nothing is known.
fn workload(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Option<Labels>> {
    let Subject::Parts(parts) = subject::read_one(reader, field)? else {
        return Some(None);
    };
    let labels = labels(&parts);
    if labels.is_none() {
        reader.refuse(
            field,
            "a case is about one workload: write names without `*`",
        );
    }
    labels.map(Some)
}

/// `None` if a part stands for several names.
fn labels(parts: &Parts) -> Option<Labels> {
    let Parts {
        unit,
        slice,
        user_unit,
        container,
        container_name,
        image,
        pod,
        namespace,
        service_account,
        pod_labels,
        cgroup,
        task,
        exe,
        user,
    } = parts;
    let patterns = [unit, slice, user_unit, container_name, image];
    if !patterns.into_iter().flatten().all(NamePattern::is_exact) {
        return None;
    }
    let name =
        |pattern: &Option<NamePattern>| pattern.as_ref().map(|pattern| pattern.as_str().to_owned());
    Some(Labels {
        cgroup: cgroup.clone().unwrap_or_else(|| "/".to_owned()),
        unit: name(unit),
        slice: name(slice),
        user_unit: name(user_unit),
        container: container.clone(),
        container_name: name(container_name),
        image: name(image),
        pod: pod.clone(),
        namespace: namespace.clone(),
        service_account: service_account.clone(),
        pod_labels: pod_labels.clone(),
        task: task.clone(),
        exe: exe.clone(),
        user: user.as_ref().map(|user| match user {
            UserSelector::Uid(uid) => LocalUser {
                uid: *uid,
                name: None,
            },
            // No user has this number, so only the name can match.
            UserSelector::Name(name) => LocalUser {
                uid: u32::MAX,
                name: Some(name.clone()),
            },
        }),
        ..Labels::default()
    })
}
