//! Who somebody is and what it may call, as wire types.

use super::{bad, explain::question_error, grants, internal, policy};
use crate::{
    api::{
        error::ApiError,
        types::{
            CallableEndpoint, IdentityRevocation, Label, ProcessInfo, Rights, RightsQuery, Who,
        },
    },
    daemon::{Core, ProcessView, RightsView, Subject},
    identity::Labels,
    policy::refuse_all,
};

pub(super) fn subject(query: RightsQuery) -> Result<Subject, ApiError> {
    let RightsQuery {
        pid,
        cgroup,
        identity,
    } = query;
    match (pid, cgroup, identity) {
        (Some(pid), None, None) => Ok(Subject::Pid(pid)),
        (None, Some(cgroup), None) => Ok(Subject::Cgroup(cgroup)),
        (None, None, Some(identity)) => Ok(Subject::Identity(identity)),
        _ => Err(bad("give exactly one of pid, cgroup and identity")),
    }
}

/// Name and text of the deny rule that takes every right of an identity.
pub(super) fn refusal_of(
    core: &Core,
    request: &IdentityRevocation,
) -> Result<(String, String), ApiError> {
    let IdentityRevocation { identity, why } = request;
    let labels = core
        .rights(Subject::Identity(identity.clone()))
        .map_err(question_error)?
        .labels;
    let Some(object) = refuse_all(identity, &labels, why) else {
        return Err(bad(format!(
            "no subject selects `{identity}` alone: refuse everybody with `weir deny add --any`"
        )));
    };
    let text = object.to_yaml();
    let text = text.map_err(|error| internal("write the deny rule", &error))?;
    Ok((object.name().to_owned(), text))
}

pub(super) fn rights(core: &Core, subject: Subject) -> Result<Rights, ApiError> {
    let RightsView {
        identity,
        labels,
        found_by,
        cgroup,
        pid,
        lineage,
        posture,
        grants: granted,
        denies,
        endpoints,
    } = core.rights(subject).map_err(question_error)?;
    let endpoints = endpoints
        .into_iter()
        .map(|(endpoint, decision, rule)| CallableEndpoint {
            endpoint,
            reason: decision.reason().name().to_owned(),
            in_shadow: decision.is_in_shadow(),
            rule,
        });
    Ok(Rights {
        who: Who {
            identity,
            found_by,
            cgroup,
            pid,
            labels: self::labels(&labels),
            processes: lineage.into_iter().map(process).collect(),
        },
        mode: core.mode().name().to_owned(),
        revision: core.policy().0,
        posture: posture.ungranted.name().to_owned(),
        posture_mode: posture.mode.name().to_owned(),
        posture_name: posture.name,
        grants: granted.into_iter().map(grants::grant).collect(),
        denies: denies.into_iter().map(policy::rule).collect(),
        may_call: endpoints.collect(),
    })
}

pub(super) fn process(view: ProcessView) -> ProcessInfo {
    let ProcessView {
        pid,
        comm,
        exe,
        script,
        arguments,
        user,
        has_ended,
    } = view;
    ProcessInfo {
        pid,
        comm,
        exe,
        script,
        arguments,
        user,
        has_ended,
    }
}

/// What is known about an identity, one line each.
pub(super) fn labels(labels: &Labels) -> Vec<Label> {
    let Labels {
        cgroup: _,
        unit,
        slice,
        user_unit,
        nested,
        container,
        container_name,
        image,
        pod,
        pod_name,
        namespace,
        service_account,
        owner,
        pod_labels,
        is_unresolved: _,
        task,
        exe,
        user,
    } = labels;
    let user = user.as_ref().map(|user| match &user.name {
        Some(name) => format!("{name} ({})", user.uid),
        None => user.uid.to_string(),
    });
    let known = [
        ("task", task),
        ("unit", unit),
        ("slice", slice),
        ("user unit", user_unit),
        ("nested", nested),
        ("container", container_name),
        ("container id", container),
        ("image", image),
        ("namespace", namespace),
        ("pod", pod_name),
        ("pod uid", pod),
        ("owner", owner),
        ("service account", service_account),
        ("executable", exe),
        ("user", &user),
    ];
    let known = known.into_iter().filter_map(|(name, value)| {
        Some(Label {
            name: name.to_owned(),
            value: value.clone()?,
        })
    });
    let of_pod = pod_labels.iter().map(|(name, value)| Label {
        name: "pod label".to_owned(),
        value: format!("{name}={value}"),
    });
    known.chain(of_pod).collect()
}
