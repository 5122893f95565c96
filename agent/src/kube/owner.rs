//! Which template a pod was made from.
//!
//! A Deployment makes a ReplicaSet for each version and a CronJob makes a Job for each run: the
//! pod names only those, and their names tell the rest.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::Owner;

const TEMPLATE_HASH: &str = "pod-template-hash";
const CRON_JOB: &str = "batch.kubernetes.io/cronjob-name";

/// A run's suffix is its time: minutes since 1970, seconds in old clusters. People who number
/// their jobs by hand do not get that far.
const MIN_DIGITS_OF_A_RUN: usize = 8;

pub(super) fn template(
    references: &[OwnerReference],
    labels: &BTreeMap<String, String>,
) -> Option<Owner> {
    let by_controller = references
        .iter()
        .find(|reference| reference.controller == Some(true));
    let OwnerReference { kind, name, .. } = by_controller.or_else(|| references.first())?;
    let owner = |kind: &str, name: &str| {
        Some(Owner {
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    };
    match kind.as_str() {
        // A node owns the pods of its own manifests, which have nothing else in common.
        "Node" => None,
        "ReplicaSet" => match deployment(name, labels.get(TEMPLATE_HASH)) {
            Some(deployment) => owner("Deployment", deployment),
            None => owner(kind, name),
        },
        "Job" => match labels
            .get(CRON_JOB)
            .map(String::as_str)
            .or_else(|| cron_job(name))
        {
            Some(cron_job) => owner("CronJob", cron_job),
            None => owner(kind, name),
        },
        _ => owner(kind, name),
    }
}

fn deployment<'a>(replica_set: &'a str, hash: Option<&String>) -> Option<&'a str> {
    let name = replica_set
        .strip_suffix(hash?.as_str())?
        .strip_suffix('-')?;
    (!name.is_empty()).then_some(name)
}

fn cron_job(job: &str) -> Option<&str> {
    let (name, run) = job.rsplit_once('-')?;
    let is_time = run.len() >= MIN_DIGITS_OF_A_RUN && run.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(references: &[(&str, &str, bool)], labels: &[(&str, &str)], expected: Option<&str>) {
        let references: Vec<_> = references
            .iter()
            .map(|(kind, name, controller)| OwnerReference {
                kind: (*kind).to_owned(),
                name: (*name).to_owned(),
                controller: controller.then_some(true),
                ..OwnerReference::default()
            })
            .collect();
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let found = template(&references, &labels);
        let found = found.map(|Owner { kind, name }| format!("{kind}/{name}"));
        assert_eq!(found.as_deref(), expected, "{references:?}");
    }

    #[test]
    fn a_replica_set_is_its_deployment_when_the_hash_says_so() {
        let hash = [(TEMPLATE_HASH, "7d9f8b6c5d")];
        check(
            &[("ReplicaSet", "api-7d9f8b6c5d", true)],
            &hash,
            Some("Deployment/api"),
        );
        check(
            &[("ReplicaSet", "api-other", true)],
            &hash,
            Some("ReplicaSet/api-other"),
        );
        check(
            &[("ReplicaSet", "api-7d9f8b6c5d", true)],
            &[],
            Some("ReplicaSet/api-7d9f8b6c5d"),
        );
        check(
            &[("ReplicaSet", "-7d9f8b6c5d", true)],
            &hash,
            Some("ReplicaSet/-7d9f8b6c5d"),
        );
        check(
            &[("ReplicaSet", "api7d9f8b6c5d", true)],
            &hash,
            Some("ReplicaSet/api7d9f8b6c5d"),
        );
    }

    #[test]
    fn a_run_is_its_cron_job() {
        check(
            &[("Job", "nightly-28370400", true)],
            &[],
            Some("CronJob/nightly"),
        );
        check(
            &[("Job", "nightly-1702224000", true)],
            &[],
            Some("CronJob/nightly"),
        );
        check(
            &[("Job", "x-1", true)],
            &[(CRON_JOB, "nightly")],
            Some("CronJob/nightly"),
        );
        check(&[("Job", "import-7", true)], &[], Some("Job/import-7"));
        check(&[("Job", "import", true)], &[], Some("Job/import"));
        check(
            &[("Job", "import-2837040x", true)],
            &[],
            Some("Job/import-2837040x"),
        );
        check(&[("Job", "-28370400", true)], &[], Some("Job/-28370400"));
    }

    #[test]
    fn others_are_what_they_are_and_the_controller_counts() {
        check(&[("StatefulSet", "db", true)], &[], Some("StatefulSet/db"));
        check(&[("DaemonSet", "log", true)], &[], Some("DaemonSet/log"));
        check(
            &[("Database", "a", false), ("StatefulSet", "db", true)],
            &[],
            Some("StatefulSet/db"),
        );
        check(&[("Workflow", "w", false)], &[], Some("Workflow/w"));
        check(&[("Node", "n1", true)], &[], None);
        check(&[], &[], None);
    }
}
