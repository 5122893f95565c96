//! Policy objects between the daemon and the wire.

use serde_json::{Map, Value, json};

use super::{DaemonBackend, internal, subject};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        types::{
            ApplyResult, CheckReport, DenyRequest, PolicyChange, PolicyDiff, PolicyDocuments,
            PolicyFile, PolicyObject, PolicyView, RightChange, Rule, WaitingGrant,
        },
    },
    daemon::{Author, ChangeError, Changed, Checked, Comparison, Core, Waiting},
    error_chain,
    policy::{Change, EgressDeny, Gain, Kind, Object, StepError, What},
};

pub(super) fn deny_document(request: &DenyRequest) -> String {
    let DenyRequest {
        name,
        subjects,
        endpoints,
        cidrs,
        reason,
    } = request;
    let mut spec = Map::new();
    spec.insert(
        "subjects".to_owned(),
        subjects.iter().map(subject::document).collect(),
    );
    for (field, list) in [("endpoints", endpoints), ("cidrs", cidrs)] {
        if !list.is_empty() {
            spec.insert(field.to_owned(), json!(list));
        }
    }
    spec.insert("reason".to_owned(), json!(reason));
    document(Kind::EgressDeny, name, spec)
}

/// Adds the deny rule `name` that `text` describes.
pub(super) fn add_deny(
    core: &mut Core,
    name: &str,
    text: &str,
    author: &Author,
) -> Result<Rule, ApiError> {
    core.create(Kind::EgressDeny, text, author)
        .map_err(change_error)?;
    let mut denies = core.denies().into_iter();
    denies
        .find(|(known, _, _)| known == name)
        .map(rule)
        .ok_or_else(|| ApiError::new(ErrorCode::Internal, "the new rule is gone again"))
}

pub(super) fn document(kind: Kind, name: &str, spec: Map<String, Value>) -> String {
    json!({
        "apiVersion": "weir.dev/v1alpha1",
        "kind": kind.name(),
        "metadata": {"name": name},
        "spec": spec,
    })
    .to_string()
}

pub(super) fn change_error(error: ChangeError) -> ApiError {
    let message = error.to_string();
    match error {
        ChangeError::Invalid(details) => {
            // A request has no lines that anybody has seen.
            let details = details.into_iter().map(without_place).collect();
            ApiError::new(ErrorCode::InvalidPolicy, message).with_details(details)
        }
        ChangeError::NotInstalled(details) => {
            ApiError::new(ErrorCode::Unavailable, message).with_details(details)
        }
        ChangeError::Exists { .. } | ChangeError::InFile { .. } | ChangeError::Other { .. } => {
            ApiError::new(ErrorCode::Conflict, message)
        }
        ChangeError::Step { error, .. } => ApiError::new(step_code(&error), message),
        ChangeError::NotFound { .. } => ApiError::new(ErrorCode::NotFound, message),
        ChangeError::Unexpected(_) => ApiError::new(ErrorCode::BadRequest, message),
        ChangeError::Render(_) | ChangeError::Store(_) => internal("change the policy", &error),
    }
}

const fn step_code(error: &StepError) -> ErrorCode {
    match error {
        StepError::TooLate { .. } | StepError::NotNeeded | StepError::NoBeginning => {
            ErrorCode::Conflict
        }
        StepError::Needed | StepError::NotAnother(_) | StepError::NotByPeople => {
            ErrorCode::Forbidden
        }
        StepError::NoReason => ErrorCode::BadRequest,
    }
}

pub(super) fn without_place(line: String) -> String {
    let rest = line
        .strip_prefix("request:")
        .and_then(|rest| rest.split_once(": "));
    match rest {
        Some((_, message)) => message.to_owned(),
        None => line,
    }
}

pub(super) fn kind(name: &str) -> Result<Kind, ApiError> {
    let found = Kind::ALL
        .into_iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let all = Kind::ALL.map(Kind::name).join(", ");
        super::bad(format!("unknown kind `{name}`: one of {all}"))
    })
}

pub(super) fn texts(documents: PolicyDocuments) -> Vec<(String, String)> {
    named_texts(documents.files)
}

pub(super) fn named_texts(files: Vec<PolicyFile>) -> Vec<(String, String)> {
    let files = files.into_iter();
    files.map(|file| (file.file, file.text)).collect()
}

pub(super) fn check_report(result: Result<Checked, ChangeError>) -> CheckReport {
    match result {
        Ok(checked) => checked.into(),
        Err(error) => CheckReport {
            errors: mistakes(error),
            ..CheckReport::default()
        },
    }
}

/// Evaluated on a thread of its own: there may be many identities.
pub(super) async fn diff(
    backend: &DaemonBackend,
    documents: PolicyDocuments,
) -> Result<PolicyDiff, ApiError> {
    let whole = documents.whole;
    let texts = texts(documents);
    let compared = backend
        .ask(move |core| Ok(core.compare(&texts, whole)))
        .await?;
    let comparison = match compared {
        Ok(comparison) => comparison,
        Err(error) => {
            return Ok(PolicyDiff {
                errors: mistakes(error),
                ..PolicyDiff::default()
            });
        }
    };
    let evaluated = tokio::task::spawn_blocking(move || differences(&comparison)).await;
    evaluated.map_err(|error| internal("compare policies", &error))
}

fn differences(comparison: &Comparison) -> PolicyDiff {
    let changes = comparison.changes.iter().cloned().map(change).collect();
    match comparison.gains() {
        Ok(gains) => PolicyDiff {
            changes,
            errors: Vec::new(),
            rights: gains
                .into_iter()
                .map(|gain| right(gain, comparison))
                .collect(),
        },
        Err(error) => PolicyDiff {
            errors: vec![error_chain(&error)],
            ..PolicyDiff::default()
        },
    }
}

fn right(gain: Gain, comparison: &Comparison) -> RightChange {
    let Gain {
        identity,
        endpoint,
        before,
        after,
    } = gain;
    let what = if after.is_entitled() {
        "gains"
    } else {
        "loses"
    };
    RightChange {
        identity,
        endpoint,
        what: what.to_owned(),
        before: before.reason().name().to_owned(),
        after: after.reason().name().to_owned(),
        rule: comparison.rule(after.rule()).map(ToOwned::to_owned),
    }
}

impl From<Checked> for CheckReport {
    fn from(checked: Checked) -> Self {
        let Checked {
            n_objects,
            warnings,
            findings,
        } = checked;
        Self {
            objects: n_objects as u64,
            errors: Vec::new(),
            warnings,
            findings,
        }
    }
}

pub(super) fn mistakes(error: ChangeError) -> Vec<String> {
    match error {
        ChangeError::Invalid(errors) | ChangeError::NotInstalled(errors) => errors,
        ChangeError::Exists { .. }
        | ChangeError::NotFound { .. }
        | ChangeError::InFile { .. }
        | ChangeError::Unexpected(_)
        | ChangeError::Other { .. }
        | ChangeError::Step { .. }
        | ChangeError::Render(_)
        | ChangeError::Store(_) => vec![error_chain(&error)],
    }
}

pub(super) fn applied(changed: Changed) -> ApplyResult {
    let Changed {
        revision,
        changes,
        warnings,
        waiting,
    } = changed;
    ApplyResult {
        revision,
        changes: changes.into_iter().map(change).collect(),
        warnings,
        waiting: waiting
            .into_iter()
            .map(|Waiting { name, needs }| WaitingGrant { name, needs })
            .collect(),
    }
}

fn change(change: Change) -> PolicyChange {
    let (what, fields) = match change.what {
        What::Added => ("added", Vec::new()),
        What::Removed => ("removed", Vec::new()),
        What::Changed { fields } => ("changed", fields),
    };
    PolicyChange {
        kind: change.kind.name().to_owned(),
        name: change.name,
        what: what.to_owned(),
        fields: fields.into_iter().map(ToOwned::to_owned).collect(),
    }
}

pub(super) fn view(
    (revision, objects): (u64, Vec<(Object, String)>),
) -> Result<PolicyView, ApiError> {
    let objects = objects.into_iter().map(|(object, source)| {
        Ok(PolicyObject {
            kind: object.kind().name().to_owned(),
            name: object.name().to_owned(),
            source,
            yaml: object
                .to_yaml()
                .map_err(|error| internal("render the policy", &error))?,
        })
    });
    Ok(PolicyView {
        revision,
        objects: objects.collect::<Result<_, ApiError>>()?,
    })
}

pub(super) fn rule((name, deny, source): (String, EgressDeny, String)) -> Rule {
    let EgressDeny {
        subjects,
        endpoints,
        planes: _,
        cidrs,
        ports: _,
        reason,
    } = deny;
    Rule {
        name,
        subjects: subjects.iter().map(subject::words).collect(),
        endpoints,
        cidrs: cidrs.iter().map(ToString::to_string).collect(),
        reason,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::SubjectSpec, policy::parse};

    #[test]
    fn a_request_is_a_policy_document() {
        let deny = DenyRequest {
            name: "no-internet".to_owned(),
            subjects: vec![SubjectSpec {
                any: true,
                ..SubjectSpec::default()
            }],
            endpoints: Vec::new(),
            cidrs: vec!["10.0.0.0/8".to_owned()],
            reason: "incident 4711".to_owned(),
        };
        let parsed = parse("request", &deny_document(&deny)).expect("valid");
        assert_eq!(
            parsed.first().map(|object| object.value.kind()),
            Some(Kind::EgressDeny)
        );
    }
}
