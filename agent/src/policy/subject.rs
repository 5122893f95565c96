//! Selectors over identities.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use wildmatch::WildMatch;

use crate::identity::{Identity, Labels, LocalUser};

/// Which identities a rule concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Every identity, known or unknown.
    Any,
    /// Known identities that have all of these parts.
    Parts(Arc<Parts>),
}

/// At least one part is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub unit: Option<NamePattern>,
    pub slice: Option<NamePattern>,
    pub user_unit: Option<NamePattern>,
    /// Container id.
    pub container: Option<String>,
    pub container_name: Option<NamePattern>,
    pub image: Option<NamePattern>,
    /// Pod UID.
    pub pod: Option<String>,
    pub namespace: Option<String>,
    pub service_account: Option<String>,
    /// The pod must have all of these labels.
    pub pod_labels: BTreeMap<String, String>,
    /// This cgroup and all below it; without slash at the end, except for `/` itself.
    pub cgroup: Option<String>,
    pub task: Option<String>,
    /// Absolute path.
    pub exe: Option<String>,
    pub user: Option<UserSelector>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserSelector {
    Uid(u32),
    Name(String),
}

impl UserSelector {
    #[must_use]
    pub fn matches(&self, user: &LocalUser) -> bool {
        match self {
            Self::Uid(uid) => *uid == user.uid,
            Self::Name(name) => user.name.as_ref() == Some(name),
        }
    }
}

impl fmt::Display for UserSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Subject {
    /// Whether it selects one task and nobody else.
    #[must_use]
    pub fn is_task(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Parts(parts) => parts.task.is_some(),
        }
    }

    /// `None` is an identity about which nothing is known.
    #[must_use]
    pub fn matches(&self, labels: Option<&Labels>) -> bool {
        match self {
            Self::Any => true,
            Self::Parts(parts) => labels.is_some_and(|labels| parts.match_all(labels)),
        }
    }

    /// Whether it selects some processes of the workload with these labels, whichever they are.
    #[must_use]
    pub fn is_within(&self, labels: &Labels) -> bool {
        let Self::Parts(parts) = self else {
            return false;
        };
        let workload = Parts {
            exe: None,
            user: None,
            ..Parts::clone(parts)
        };
        workload != Parts::default() && workload.match_all(labels)
    }
}

/// Whether one of the subjects selects an identity with these labels.
pub(super) fn select(subjects: &[Subject], labels: Option<&Labels>) -> bool {
    subjects.iter().any(|subject| subject.matches(labels))
}

/// The names of those that one of the subjects selects.
pub(super) fn selected(subjects: &[Subject], identities: &[Identity]) -> BTreeSet<String> {
    identities
        .iter()
        .filter(|identity| select(subjects, Some(&identity.labels)))
        .map(Identity::key)
        .collect()
}

/// A name for an object about one identity: `suggested-unit-batch.service`.
pub(super) fn name_for(prefix: &str, key: &str) -> String {
    let plain = key.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_') => c,
        _ => '-',
    });
    let name: String = prefix.chars().chain(['-']).chain(plain).take(253).collect();
    name.trim_end_matches(['-', '.', '_']).to_owned()
}

/// Labels of pods that are the same after an update.
const STABLE_LABELS: [&str; 4] = [
    "app",
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/name",
];

impl Parts {
    /// What tells these labels from others and stays when the workload is started again; no part if
    /// nothing does.
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        let Labels {
            cgroup,
            unit,
            slice: _,
            user_unit,
            nested,
            container,
            container_name,
            image,
            pod,
            pod_name: _,
            namespace,
            service_account,
            owner: _,
            pod_labels,
            is_unresolved: _,
            task,
            exe,
            user,
        } = labels;
        if task.is_some() {
            return Self {
                task: task.clone(),
                ..Self::default()
            };
        }
        let pattern = |name: &Option<String>| {
            // A name with a star of its own would select others, too.
            let plain = name.as_deref().filter(|name| !name.contains('*'));
            plain.map(NamePattern::new)
        };
        let mut parts = Self {
            unit: pattern(unit),
            user_unit: pattern(user_unit),
            container_name: pattern(container_name),
            image: pattern(image),
            namespace: namespace.clone(),
            service_account: service_account.clone(),
            pod_labels: pod_labels
                .iter()
                .filter(|(name, _)| STABLE_LABELS.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            exe: exe.clone(),
            user: user.as_ref().map(|user| match &user.name {
                Some(name) => UserSelector::Name(name.clone()),
                None => UserSelector::Uid(user.uid),
            }),
            ..Self::default()
        };
        if namespace.is_some() || container_name.is_some() {
            // The unit is that of a runtime, and its name that of one container.
            parts.unit = None;
        } else if pod.is_some() {
            parts.pod.clone_from(pod);
        } else if container.is_some() {
            parts.container.clone_from(container);
        }
        let is_named = parts.unit.is_some()
            || parts.user_unit.is_some()
            || parts.container_name.is_some()
            || parts.container.is_some()
            || parts.pod.is_some()
            || parts.namespace.is_some();
        if (!is_named || nested.is_some()) && cgroup != "/" {
            parts.cgroup = Some(cgroup.clone());
        }
        parts
    }

    fn match_all(&self, labels: &Labels) -> bool {
        let Self {
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
        } = self;
        let named = |pattern: &Option<NamePattern>, name: &Option<String>| match pattern {
            Some(pattern) => name.as_deref().is_some_and(|name| pattern.matches(name)),
            None => true,
        };
        named(unit, &labels.unit)
            && named(slice, &labels.slice)
            && named(user_unit, &labels.user_unit)
            && is(container, &labels.container)
            && (container_name.is_none() || labels.container.is_some())
            && named(container_name, &labels.container_name)
            && named(image, &labels.image)
            && is(pod, &labels.pod)
            && is(namespace, &labels.namespace)
            && is(service_account, &labels.service_account)
            && pod_labels
                .iter()
                .all(|(name, value)| labels.pod_labels.get(name) == Some(value))
            && is(task, &labels.task)
            && is(exe, &labels.exe)
            && user.as_ref().is_none_or(|user| {
                let local = labels.user.as_ref();
                local.is_some_and(|local| user.matches(local))
            })
            && cgroup
                .as_deref()
                .is_none_or(|top| is_within(&labels.cgroup, top))
    }
}

fn is(wanted: &Option<String>, found: &Option<String>) -> bool {
    wanted.is_none() || wanted == found
}

fn is_within(path: &str, top: &str) -> bool {
    let Some(rest) = path.strip_prefix(top) else {
        return false;
    };
    top == "/" || rest.is_empty() || rest.starts_with('/')
}

/// The name of a unit, container or image in which `*` stands for any characters, also none.
#[derive(Clone, Debug)]
pub struct NamePattern {
    text: String,
    glob: Option<WildMatch>,
}

impl NamePattern {
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            glob: text.contains('*').then(|| WildMatch::new(text)),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether exactly one name matches.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.glob.is_none()
    }

    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.matches(name),
            None => self.text == name,
        }
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NamePattern {}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(path: &str) -> Labels {
        Labels::from_cgroup_path(path)
    }

    fn check(parts: Parts, matching: &[&str], others: &[&str]) {
        let subject = Subject::Parts(Arc::new(parts));
        for path in matching {
            assert!(subject.matches(Some(&labels(path))), "{subject:?} {path}");
        }
        for path in others {
            assert!(!subject.matches(Some(&labels(path))), "{subject:?} {path}");
        }
        assert!(!subject.matches(None), "{subject:?}");
    }

    #[test]
    fn a_unit_is_matched_as_a_whole_or_by_wildcard() {
        let unit = |text: &str| Parts {
            unit: Some(NamePattern::new(text)),
            ..Parts::default()
        };
        check(
            unit("a.service"),
            &["/system.slice/a.service", "/system.slice/a.service/child"],
            &["/system.slice/aa.service", "/system.slice/a.service.d", "/"],
        );
        check(
            unit("batch@*.service"),
            &[
                "/system.slice/batch@1.service",
                "/system.slice/batch@.service",
            ],
            &[
                "/system.slice/batch.service",
                "/system.slice/xbatch@1.service",
            ],
        );
        check(
            unit(r"dev-\x2d*.service"),
            &[r"/system.slice/dev-\x2da.service"],
            &["/system.slice/dev-a.service"],
        );
    }

    #[test]
    fn a_cgroup_includes_all_below_it_and_no_neighbour() {
        let cgroup = |path: &str| Parts {
            cgroup: Some(path.to_owned()),
            ..Parts::default()
        };
        check(
            cgroup("/jobs"),
            &["/jobs", "/jobs/a/b"],
            &["/jobs2", "/", "/x/jobs"],
        );
        check(cgroup("/"), &["/", "/jobs"], &[]);
    }

    #[test]
    fn all_given_parts_must_match() {
        let parts = Parts {
            unit: Some(NamePattern::new("a.service")),
            slice: Some(NamePattern::new("team-*.slice")),
            ..Parts::default()
        };
        check(
            parts,
            &["/team-x.slice/a.service"],
            &[
                "/system.slice/a.service",
                "/team-x.slice/b.service",
                "/team-x.slice",
            ],
        );
    }

    #[test]
    fn only_any_includes_the_unknown_identity() {
        assert!(Subject::Any.matches(None));
        assert!(Subject::Any.matches(Some(&labels("/"))));
    }
}
