//! The tree of names, and what it says about a name that is in map memory.

use agent_common::{
    name::{Name, NameKey, NameNode, NameSet, NameTree, resolve},
    settings::Slot,
};

use crate::maps;

struct LiveTree;

impl NameTree for LiveTree {
    #[inline(always)]
    fn node(&self, key: &NameKey) -> Option<&NameNode> {
        maps::name_node(key)
    }
}

/// Copies what `name` stands for to `set`. False for an ordinary name, which leaves it empty.
#[inline(always)]
pub fn look_up(name: &Name, slot: Slot, set: &mut NameSet) -> bool {
    set.endpoints[0] = agent_common::destination::EndpointId::ANY;
    set.flags = 0;
    let Some(found) = resolve(&LiveTree, name, slot) else {
        return false;
    };
    let mut index = 0;
    while index < 4 {
        set.endpoints[index] = found.endpoints[index];
        set.ports[index] = found.ports[index];
        index += 1;
    }
    set.flags = found.flags;
    found.is_governed()
}
