//! Single labels, for those who group by one.

use super::Labels;

/// A label by which several identities can be taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabelKey {
    Unit,
    Slice,
    Container,
    Pod,
    Namespace,
    ServiceAccount,
    Task,
    Owner,
}

impl LabelKey {
    /// As people call it: a pod, a service account and an owner with their namespace.
    #[must_use]
    pub fn of(self, labels: &Labels) -> Option<String> {
        let in_namespace = |name: &Option<String>| {
            let (namespace, name) = labels.namespace.as_ref().zip(name.as_ref())?;
            Some(format!("{namespace}/{name}"))
        };
        match self {
            Self::Unit => labels.unit.clone(),
            Self::Slice => labels.slice.clone(),
            Self::Container => labels
                .container_name
                .clone()
                .or_else(|| labels.container.clone()),
            Self::Pod => in_namespace(&labels.pod_name).or_else(|| labels.pod.clone()),
            Self::Namespace => labels.namespace.clone(),
            Self::ServiceAccount => in_namespace(&labels.service_account),
            Self::Task => labels.task.clone(),
            Self::Owner => in_namespace(&labels.owner),
        }
    }
}
