//! A tree of names in memory, and which endpoints it finds for a name.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    destination::EndpointId,
    name::{Name, NameKey, NameNode, NameSet, NameTree, resolve},
    settings::Slot,
};

use crate::endpoint::{HostPattern, NameUse, build};

pub(crate) struct Tree(BTreeMap<NameKey, NameNode>);

impl NameTree for Tree {
    fn node(&self, key: &NameKey) -> Option<&NameNode> {
        self.0.get(key)
    }
}

impl Tree {
    /// Endpoint `n` has pattern number `n`, counted from 1.
    pub(crate) fn of(patterns: &[HostPattern]) -> Self {
        let uses: Vec<_> = patterns
            .iter()
            .zip(1..)
            .map(|(pattern, number)| NameUse {
                pattern: pattern.clone(),
                endpoints: BTreeSet::from([(EndpointId::from_raw(number), 443)]),
                flags: 0,
            })
            .collect();
        let nodes = build(&uses)
            .into_iter()
            .map(|((node, kind, hash), value)| (NameKey::new(node, kind, hash, Slot::A), value));
        Self(nodes.collect())
    }

    pub(crate) fn find(&self, name: &Name) -> BTreeSet<u32> {
        resolve(self, name, Slot::A)
            .map(endpoints)
            .unwrap_or_default()
    }
}

pub(crate) fn endpoints(set: &NameSet) -> BTreeSet<u32> {
    let raw = set.endpoints.iter().map(|endpoint| endpoint.to_raw());
    raw.filter(|raw| *raw != EndpointId::ANY.to_raw()).collect()
}
