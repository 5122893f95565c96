//! A grant that fits what an identity was seen to do, and no more.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{
    End, InvocationGrant, Limits, Object, Parts, RenderError, Response, Subject, Validity,
    subject::{name_for, selected},
};
use crate::{endpoint::Plane, identity::Identity};

/// How long a suggested grant holds.
const TTL: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What an identity did at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub endpoint: String,
    pub plane: Plane,
    /// Calls that were let through, also those that would have been refused in enforce mode.
    pub allowed: u64,
    pub refused: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub last: Timestamp,
}

/// What is known for a suggestion.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub identity: &'a Identity,
    /// All that are known, to say whom else the subject selects.
    pub others: &'a [Identity],
    pub seen: &'a [Seen],
    /// Executables that all calls came from; empty if some calls told none.
    pub executables: &'a BTreeSet<String>,
    pub since: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum SuggestError {
    #[error("{0} has called no model endpoint since {1}: there is nothing to fit a grant to")]
    NothingSeen(String, Timestamp),
    #[error("{0} is a task, whose lease ends with it: suggest for whoever runs such tasks")]
    Task(String),
    #[error("{0} has no name that a subject could select")]
    Nameless(String),
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// The text of a policy file, with the evidence as comments.
///
/// # Errors
///
/// When there is nothing to grant, or nobody to grant it to.
pub fn suggest(evidence: &Evidence<'_>) -> Result<String, SuggestError> {
    let Evidence {
        identity,
        others,
        seen,
        executables,
        since,
    } = evidence;
    let key = identity.key();
    let used: Vec<_> = seen.iter().filter(|one| one.allowed > 0).collect();
    if used.is_empty() {
        return Err(SuggestError::NothingSeen(key, *since));
    }
    if identity.labels.task.is_some() {
        return Err(SuggestError::Task(key));
    }
    let mut parts = Parts::of(&identity.labels);
    if parts == Parts::default() {
        return Err(SuggestError::Nameless(key));
    }
    let mut others = selected(&[Subject::Parts(Arc::new(parts.clone()))], others);
    others.remove(&key);
    if let (None, Some(exe)) = (&parts.exe, only(executables)) {
        parts.exe = Some(exe.clone());
    }
    let from = since.strftime("%Y-%m-%d");
    let grant = InvocationGrant {
        subjects: vec![Subject::Parts(Arc::new(parts))],
        endpoints: used.iter().map(|one| one.endpoint.clone()).collect(),
        planes: used.iter().map(|one| one.plane).collect(),
        purpose: format!("say what {key} does this for; suggested from its use since {from}"),
        ticket: None,
        validity: Validity {
            not_before: None,
            end: End::After(TTL),
        },
        limits: Limits::default(),
        requires_approval: false,
        gateway: false,
        on_anomaly: Response::Notify,
    };
    let object = Object::of_grant(&name_for("suggested", &key), &grant).to_yaml()?;
    Ok(comments(evidence, &key, &others)? + &object)
}

fn only(names: &BTreeSet<String>) -> Option<&String> {
    names.first().filter(|_| names.len() == 1)
}

fn comments(
    evidence: &Evidence<'_>,
    key: &str,
    others: &BTreeSet<String>,
) -> Result<String, SuggestError> {
    let mut text = String::new();
    let mut line = |words: String| {
        // Names come from workloads, and must not end a comment.
        let plain: String = words
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "# {plain}");
    };
    line(format!("What {key} did since {}:", evidence.since));
    for seen in evidence.seen {
        let Seen {
            endpoint,
            plane: _,
            allowed,
            refused,
            bytes_out,
            bytes_in,
            last,
        } = seen;
        if *allowed > 0 {
            line(format!(
                "  {endpoint}: {allowed} calls, {bytes_out} octets out, {bytes_in} in, last at {last}"
            ));
        }
        if *refused > 0 {
            let what = if *allowed > 0 {
                "besides"
            } else {
                "not granted here:"
            };
            line(format!(
                "  {endpoint}: {what} {refused} calls that were refused"
            ));
        }
    }
    if !evidence.executables.is_empty() {
        let executables: Vec<_> = evidence.executables.iter().cloned().collect();
        line(format!("By {}", executables.join(", ")));
    }
    if !others.is_empty() {
        line(format!(
            "The subject also selects {}",
            Vec::from_iter(others.iter().map(String::as_str)).join(", ")
        ));
    }
    line("Shorten the ttl, and say the purpose, before you apply it.".to_owned());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use agent_common::identity::IdentityId;

    use super::*;
    use crate::{identity::Labels, policy::parse};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn identity(number: u32, labels: Labels) -> Identity {
        Identity {
            id: IdentityId::from_raw(number),
            labels: Arc::new(labels),
        }
    }

    fn unit(name: &str) -> Labels {
        Labels {
            cgroup: format!("/system.slice/{name}"),
            unit: Some(name.to_owned()),
            slice: Some("system.slice".to_owned()),
            ..Labels::default()
        }
    }

    fn seen(endpoint: &str, allowed: u64, refused: u64) -> Seen {
        Seen {
            endpoint: endpoint.to_owned(),
            plane: Plane::Invoke,
            allowed,
            refused,
            bytes_out: 10,
            bytes_in: 20,
            last: NOW,
        }
    }

    fn suggestion(
        labels: Labels,
        seen: &[Seen],
        executables: &[&str],
    ) -> Result<String, SuggestError> {
        let identity = identity(1, labels);
        suggest(&Evidence {
            identity: &identity,
            others: std::slice::from_ref(&identity),
            seen,
            executables: &executables.iter().map(ToString::to_string).collect(),
            since: NOW,
        })
    }

    #[test]
    fn a_suggestion_is_a_policy_file_with_its_evidence() {
        let seen = [seen("openai", 3, 0), seen("anthropic", 0, 7)];
        let text = suggestion(unit("batch.service"), &seen, &["/usr/bin/curl"]).expect("a text");
        let expected = "\
# What unit:batch.service did since 2025-06-15T15:06:40Z:
#   openai: 3 calls, 10 octets out, 20 in, last at 2025-06-15T15:06:40Z
#   anthropic: not granted here: 7 calls that were refused
# By /usr/bin/curl
# Shorten the ttl, and say the purpose, before you apply it.
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata:
  name: suggested-unit-batch.service
spec:
  subjects:
  - systemd:
      unit: batch.service
    process:
      exe: /usr/bin/curl
  endpoints:
  - openai
";
        assert!(text.starts_with(expected), "{text}");
        let objects = parse("suggestion.yaml", &text).expect("a valid policy");
        assert_eq!(objects.len(), 1);
    }

    #[test]
    fn the_subject_selects_the_identity_and_is_as_narrow_as_it_can_be() {
        let pod = Labels {
            cgroup: "/kubepods.slice/x".to_owned(),
            unit: Some("cri-1.scope".to_owned()),
            container: Some("1".repeat(64)),
            container_name: Some("server".to_owned()),
            pod: Some("5d2c".to_owned()),
            namespace: Some("shop".to_owned()),
            service_account: Some("api".to_owned()),
            pod_labels: [("app", "api"), ("pod-template-hash", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Labels::default()
        };
        let nested = Labels {
            nested: Some("a.service".to_owned()),
            ..unit("x.service")
        };
        let path = Labels {
            cgroup: "/a/b".to_owned(),
            ..Labels::default()
        };
        for labels in [pod.clone(), nested, path, unit("y.service")] {
            let parts = Parts::of(&labels);
            let subject = Subject::Parts(Arc::new(parts));
            assert!(subject.matches(Some(&labels)), "{subject:?}");
        }
        let parts = Parts::of(&pod);
        assert_eq!((parts.unit, parts.container, parts.pod), (None, None, None));
        assert_eq!(parts.pod_labels.len(), 1);
    }

    #[test]
    fn whom_else_it_selects_is_said() {
        let labels = Labels {
            cgroup: "/a".to_owned(),
            ..Labels::default()
        };
        let below = Labels {
            cgroup: "/a/b".to_owned(),
            ..Labels::default()
        };
        let (identity, other) = (identity(1, labels), identity(2, below));
        let text = suggest(&Evidence {
            identity: &identity,
            others: &[identity.clone(), other],
            seen: &[seen("openai", 1, 0)],
            executables: &BTreeSet::new(),
            since: NOW,
        });
        let text = text.expect("a text");
        assert!(
            text.contains("# The subject also selects cgroup:/a/b\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_suggested_where_nothing_was_used() {
        let error = suggestion(unit("x.service"), &[seen("openai", 0, 3)], &[]);
        assert!(
            matches!(error, Err(SuggestError::NothingSeen(..))),
            "{error:?}"
        );
        let task = Labels {
            task: Some("1".to_owned()),
            ..unit("x.service")
        };
        let error = suggestion(task, &[seen("openai", 1, 0)], &[]);
        assert!(matches!(error, Err(SuggestError::Task(_))), "{error:?}");
    }

    #[test]
    fn a_name_cannot_end_a_comment() {
        let labels = Labels {
            cgroup: "/a\nkind: Posture".to_owned(),
            ..unit("x\ny.service")
        };
        let text = suggestion(labels, &[seen("openai", 1, 0)], &[]).expect("a text");
        assert!(
            text.starts_with("# What unit:x\\x0ay.service did"),
            "{text}"
        );
        let (comments, _) = text.split_once("apiVersion").expect("a document");
        assert!(
            comments.lines().all(|line| line.starts_with("# ")),
            "{comments}"
        );
    }
}
