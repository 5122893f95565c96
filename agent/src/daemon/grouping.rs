//! Cgroups that are one identity by name and not by policy.
//!
//! Replicas of a deployment share a name, and so do a unit and what it has set apart below itself.
//! Where policy selects one of them and not the other, by a label, an image or a path, they are two
//! identities: a right never reaches a cgroup that it does not select.

use std::{collections::BTreeMap, sync::Arc};

use agent_common::identity::IdentityId;
use jiff::Timestamp;

use super::Core;
use crate::{identity::Labels, policy::Selection, store::StoreError};

/// Cgroups whose identity is another under a new policy.
pub(super) type Moves = Vec<(u64, IdentityId)>;

impl Core {
    /// The identity of a cgroup with these labels: that of its name, unless another cgroup has that
    /// one and policy tells them apart.
    pub(super) fn identity_for(
        &mut self,
        cgroup: u64,
        labels: &Labels,
        now: Timestamp,
    ) -> Result<Grouped, StoreError> {
        let base = self.store.identity_number(&labels.key(), labels, now)?;
        let others = self.workloads.other_labels(base, cgroup);
        let id = match others {
            Some(known) if known != labels => {
                let selections = &self.running.revision.selections;
                if selections.of(Some(known)) == selections.of(Some(labels)) {
                    base
                } else {
                    self.variant(labels, now)?
                }
            }
            Some(_) | None => base,
        };
        Ok(Grouped { base, id })
    }

    fn variant(&mut self, labels: &Labels, now: Timestamp) -> Result<IdentityId, StoreError> {
        let key = format!("{} of:{}", labels.key(), apart(labels));
        self.store.identity_number(&key, labels, now)
    }

    /// Groups all cgroups anew, for a policy that may tell them apart otherwise. What changes has to
    /// be told to the kernel after the policy.
    pub(super) fn regroup(&mut self, now: Timestamp) -> Result<Moves, StoreError> {
        let mut chosen: BTreeMap<IdentityId, (Selection, Arc<Labels>)> = BTreeMap::new();
        let mut apart = Vec::new();
        let mut moves = Moves::new();
        {
            let selections = &self.running.revision.selections;
            for (cgroup, grouped, labels) in self.workloads.grouped() {
                let selection = selections.of(Some(labels));
                let (of_base, _) = chosen
                    .entry(grouped.base)
                    .or_insert_with(|| (selection.clone(), labels.clone()));
                if *of_base != selection {
                    apart.push((cgroup, grouped.id, labels.clone()));
                } else if grouped.id != grouped.base {
                    moves.push((cgroup, grouped.base));
                }
            }
        }
        for (cgroup, known, labels) in apart {
            let id = self.variant(&labels, now)?;
            if id != known {
                moves.push((cgroup, id));
            }
        }
        for (cgroup, id) in &moves {
            self.workloads.move_to(*cgroup, *id);
        }
        // What an identity was selected by may have been true of another cgroup only.
        for (base, (_, labels)) in chosen {
            self.workloads.represent(base, labels);
        }
        Ok(moves)
    }
}

/// An identity, and the one that its name alone would give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grouped {
    pub(super) base: IdentityId,
    pub(super) id: IdentityId,
}

/// What tells one of several of the same name apart.
fn apart(labels: &Labels) -> &str {
    let Labels {
        cgroup,
        container,
        pod,
        ..
    } = labels;
    pod.as_ref().or(container.as_ref()).unwrap_or(cgroup)
}
