//! Separation of duties: who administers models should not call them as well.

use std::{collections::BTreeMap, fmt};

use super::{Grant, PolicySet, selects};
use crate::{
    endpoint::Plane,
    identity::Labels,
    policy::{Located, Object, PolicyError, Subject},
};

/// What becomes of somebody who may both manage and invoke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Separation {
    #[default]
    Report,
    Refuse,
}

/// Grants that give one identity the planes `manage` and `invoke`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// `None` where the grants name the same subject, whoever that is.
    pub identity: Option<String>,
    pub manage: String,
    pub invoke: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            identity,
            manage,
            invoke,
        } = self;
        let who = identity.as_deref().unwrap_or("the same subject");
        if manage == invoke {
            return write!(
                f,
                "grant `{manage}` lets {who} both manage and invoke models"
            );
        }
        write!(
            f,
            "grants `{manage}` and `{invoke}` together let {who} both manage and invoke models"
        )
    }
}

impl PolicySet {
    /// Grants that name the same subject, in order of their names. Whoever else is selected by two of
    /// them, only [`PolicySet::duties_of`] can tell.
    #[must_use]
    pub fn duties(&self) -> Vec<Finding> {
        let mut managing = BTreeMap::<String, &str>::new();
        for (name, rule) in self.of_plane(Plane::Manage) {
            for subject in &rule.grant.subjects {
                managing.entry(key(subject)).or_insert(name);
            }
        }
        if managing.is_empty() {
            return Vec::new();
        }
        let mut findings = BTreeMap::new();
        for (invoke, rule) in self.of_plane(Plane::Invoke) {
            let subjects = rule.grant.subjects.iter();
            if let Some(manage) = subjects.filter_map(|one| managing.get(&key(one))).min() {
                let finding = Finding {
                    identity: None,
                    manage: (*manage).to_owned(),
                    invoke: invoke.to_owned(),
                };
                findings.entry((*manage).to_owned()).or_insert(finding);
            }
        }
        findings.into_values().collect()
    }

    /// Whether the identity with these labels has both.
    #[must_use]
    pub fn duties_of(&self, identity: &str, labels: &Labels) -> Option<Finding> {
        let selecting = |plane| {
            let mut grants = self.of_plane(plane).filter(|(_, rule)| {
                let mut subjects = rule.grant.subjects.iter();
                subjects.any(|subject| subject.matches(Some(labels)))
            });
            grants.next().map(|(name, _)| name.to_owned())
        };
        Some(Finding {
            manage: selecting(Plane::Manage)?,
            invoke: selecting(Plane::Invoke)?,
            identity: Some(identity.to_owned()),
        })
    }

    /// Whether anybody may manage anything.
    #[must_use]
    pub fn has_managers(&self) -> bool {
        self.of_plane(Plane::Manage).next().is_some()
    }

    /// Grants for an endpoint of `plane`, those that have ended left out.
    fn of_plane(&self, plane: Plane) -> impl Iterator<Item = (&str, &Grant)> {
        let grants = self.grants.iter();
        let live = grants.filter(move |(_, rule)| {
            let grant = &rule.grant;
            let is_for = |endpoint| selects(&grant.endpoints, &grant.planes, endpoint);
            let mut endpoints = self.catalogue.iter().filter(|one| one.plane == plane);
            !rule.is_over && grant.planes.contains(&plane) && endpoints.any(is_for)
        });
        live.map(|(name, rule)| (name.as_str(), rule))
    }
}

/// Subjects are compared as they are written.
fn key(subject: &Subject) -> String {
    format!("{subject:?}")
}

/// The findings as mistakes of the grants that give the plane `manage`.
pub(super) fn refusals(
    set: &PolicySet,
    places: &BTreeMap<String, Located<()>>,
) -> Vec<PolicyError> {
    let findings = set.duties().into_iter();
    let refused = findings.filter_map(|finding| {
        let place = places.get(&finding.manage)?;
        let message = format!("{finding}: give these planes to different identities");
        Some(place.error("spec.planes", message))
    });
    refused.collect()
}

/// Where grants stand that may concern `manage`.
pub(super) fn places(objects: &[Located<Object>]) -> BTreeMap<String, Located<()>> {
    let places = objects.iter().map(|object| {
        let place = Located {
            file: object.file.clone(),
            at: object.at,
            value: (),
            places: object.places.clone(),
        };
        (object.value.name().to_owned(), place)
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        endpoint::Catalogue,
        policy::{ApprovalRules, BuildOptions, OnExpired, parse},
    };

    fn grant(name: &str, subject: &str, planes: &str) -> String {
        format!(
            "---\napiVersion: weir.dev/v1alpha1\nkind: InvocationGrant\nmetadata: {{name: {name}}}\n\
             spec: {{subjects: [{subject}], endpoints: [openai], planes: {planes}, purpose: t}}\n"
        )
    }

    fn build(text: &str, separation: Separation) -> Result<PolicySet, Vec<String>> {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let options = BuildOptions {
            now,
            on_expired: OnExpired::Refuse,
            issued_at: &|_, _| now,
            approval: &ApprovalRules::none(),
            life: &|_, _| None,
            separation,
        };
        let objects = parse("a.yaml", text).map_err(|errors| shown(&errors))?;
        let built = PolicySet::build(objects, Catalogue::builtin(), &options);
        built
            .map(|built| built.set)
            .map_err(|errors| shown(&errors))
    }

    fn shown(errors: &[PolicyError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn check(text: &str, expected: &[&str]) {
        let set = build(text, Separation::Report).expect("valid");
        let found: Vec<_> = set.duties().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text}");
    }

    const UNIT: &str = "{systemd: {unit: a.service}}";
    const SLICE: &str = "{systemd: {slice: a.slice}}";

    #[test]
    fn one_subject_with_both_planes_is_found() {
        check(
            &grant("g", UNIT, "[invoke, manage]"),
            &["grant `g` lets the same subject both manage and invoke models"],
        );
        let two = grant("call", UNIT, "[invoke]") + &grant("keys", UNIT, "[manage]");
        check(
            &two,
            &[
                "grants `keys` and `call` together let the same subject both manage and invoke models",
            ],
        );
        check(
            &(grant("a", UNIT, "[invoke]") + &grant("b", SLICE, "[manage]")),
            &[],
        );
        check(&grant("a", UNIT, "[invoke]"), &[]);
    }

    #[test]
    fn an_identity_that_several_subjects_select_is_found_when_it_is_there() {
        let text = grant("a", UNIT, "[invoke]") + &grant("b", SLICE, "[manage]");
        let set = build(&text, Separation::Refuse).expect("nobody is known to be both");
        let labels = Labels::from_cgroup_path("/a.slice/a.service");
        let finding = set
            .duties_of("unit:a.service", &labels)
            .map(|found| found.to_string());
        assert_eq!(
            finding.as_deref(),
            Some("grants `b` and `a` together let unit:a.service both manage and invoke models")
        );
        let other = Labels::from_cgroup_path("/a.slice/b.service");
        assert_eq!(set.duties_of("unit:b.service", &other), None);
    }

    #[test]
    fn what_is_refused_names_the_place() {
        let text = grant("g", UNIT, "[invoke, manage]");
        let errors = build(&text, Separation::Refuse).expect_err("refused");
        assert_eq!(
            errors,
            [
                "a.yaml:2:1: spec.planes: grant `g` lets the same subject both manage and invoke models: \
              give these planes to different identities"
            ]
        );
    }
}
