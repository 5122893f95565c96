//! The tree of names: keys and values of `NAMES`, and the walk from the root.

use super::{Label, MAX_LABELS, Name};
use crate::{abi::layout, destination::EndpointId, settings::Slot};

/// What a label is compared by.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelKind {
    /// The whole label.
    Whole = 0,
    /// It begins with this: `model-*`.
    Head = 1,
    /// It ends with this: `*-aiplatform`.
    Tail = 2,
    /// Any label: `*`.
    Any = 3,
    /// It begins with one thing and ends with another: both a head and a tail.
    Both = 4,
}

/// The hash for [`LabelKind::Both`].
#[inline(always)]
#[must_use]
pub const fn hash_both(head: u64, tail: u64) -> u64 {
    head ^ tail.rotate_left(32)
}

/// Key of `NAMES`: a node, and what leads on from it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameKey {
    node_and_slot: u32,
    kind: u32,
    hash: u64,
}

layout!(NameKey, size = 16, align = 8);

/// Where every name begins: no labels seen.
pub const ROOT: u32 = 1;

impl NameKey {
    const SLOT_BIT: u32 = 1 << 31;

    /// `hash` is 0 for [`LabelKind::Any`].
    #[inline(always)]
    #[must_use]
    pub const fn new(node: u32, kind: LabelKind, hash: u64, slot: Slot) -> Self {
        let slot = match slot {
            Slot::A => 0,
            Slot::B => Self::SLOT_BIT,
        };
        Self {
            node_and_slot: node & !Self::SLOT_BIT | slot,
            kind: kind as u32,
            hash,
        }
    }

    /// Marks a port of some endpoint, in host order: not part of the tree, whose nodes are not 0.
    #[inline(always)]
    #[must_use]
    pub const fn of_port(port: u16, slot: Slot) -> Self {
        Self::new(0, LabelKind::Any, port as u64, slot)
    }

    #[must_use]
    pub const fn slot(self) -> Slot {
        if self.node_and_slot & Self::SLOT_BIT == 0 {
            Slot::A
        } else {
            Slot::B
        }
    }
}

/// How many endpoints one name can stand for before it is [`EndpointId::OVERFLOW`].
pub const ENDPOINTS_PER_NAME: usize = 4;

/// The endpoints that have a name: filled from the left, the rest [`EndpointId::ANY`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameSet {
    pub endpoints: [EndpointId; ENDPOINTS_PER_NAME],
    /// In network order; [`crate::destination::ANY_PORT`] for every port.
    pub ports: [u16; ENDPOINTS_PER_NAME],
    /// [`NameSet::SHARED`], [`NameSet::ECH`].
    pub flags: u32,
    pub _pad: u32,
}

layout!(NameSet, size = 32, align = 4);

impl NameSet {
    pub const NONE: Self = Self {
        endpoints: [EndpointId::ANY; ENDPOINTS_PER_NAME],
        ports: [0; ENDPOINTS_PER_NAME],
        flags: 0,
        _pad: 0,
    };

    /// Other services answer at the addresses of this name, too.
    pub const SHARED: u32 = 1;
    /// Nobody else answers at the addresses of this name: they decide by themselves.
    pub const EXCLUSIVE: u32 = 4;
    /// The outer name of encrypted `ClientHello` messages: the inner one can be any.
    pub const ECH: u32 = 2;

    /// Whether both stand for the same endpoints. Written out: a comparison of arrays is a call to
    /// `memcmp`, which the kernel programs do not have.
    #[inline(always)]
    #[must_use]
    pub fn has_endpoints_of(&self, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.endpoints, other.endpoints);
        a == e && b == f && c == g && d == h
    }

    #[inline(always)]
    #[must_use]
    pub fn is_governed(&self) -> bool {
        self.endpoints[0] != EndpointId::ANY
    }
}

/// Value of `NAMES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameNode {
    /// Number of the node, or 0 if no pattern goes on.
    pub next: u32,
    /// [`NameNode::HAS_HEADS`] and its neighbours: which kinds of labels lead on beside whole ones.
    pub kinds: u32,
    /// For a name that ends here.
    pub exact: NameSet,
    /// For a longer name that no other node knows.
    pub below: NameSet,
}

layout!(NameNode, size = 72, align = 4);

impl NameNode {
    /// Leads nowhere and stands for nothing.
    pub const NONE: Self = Self {
        next: 0,
        kinds: 0,
        exact: NameSet::NONE,
        below: NameSet::NONE,
    };

    pub const HAS_HEADS: u32 = 1;
    pub const HAS_TAILS: u32 = 2;
    pub const HAS_ANY: u32 = 4;
}

/// Finds a node of the live tree.
pub trait NameTree {
    fn node(&self, key: &NameKey) -> Option<&NameNode>;
}

/// The endpoints behind `name`. `None` for an ordinary name.
///
/// The tree is deterministic: a node for a whole label includes what wildcards say about it.
#[inline(always)]
pub fn resolve<'t>(tree: &'t impl NameTree, name: &Name, slot: Slot) -> Option<&'t NameSet> {
    let n_labels = name.n_labels;
    let mut node = ROOT;
    let mut kinds = 0;
    let mut best: Option<&NameSet> = None;
    let mut depth = 0_u32;
    while depth < MAX_LABELS as u32 {
        if depth >= n_labels {
            break;
        }
        let index = n_labels.wrapping_sub(depth).wrapping_sub(1) as usize;
        let label = &name.labels[index & (MAX_LABELS - 1)];
        let Some(child) = child(tree, node, kinds, label, slot) else {
            break;
        };
        depth += 1;
        best = if depth == n_labels {
            Some(&child.exact)
        } else {
            Some(&child.below)
        };
        node = child.next;
        kinds = child.kinds;
        if node == 0 {
            break;
        }
    }
    best
}

#[inline(always)]
fn child<'t>(
    tree: &'t impl NameTree,
    node: u32,
    kinds: u32,
    label: &Label,
    slot: Slot,
) -> Option<&'t NameNode> {
    let found = tree.node(&NameKey::new(node, LabelKind::Whole, label.whole, slot));
    if found.is_some() {
        return found;
    }
    // A label with a head has a tail.
    let both = NameNode::HAS_HEADS | NameNode::HAS_TAILS;
    if kinds & both == both && label.head != 0 {
        let hash = hash_both(label.head, label.tail);
        let found = tree.node(&NameKey::new(node, LabelKind::Both, hash, slot));
        if found.is_some() {
            return found;
        }
    }
    if kinds & NameNode::HAS_HEADS != 0 && label.head != 0 {
        let found = tree.node(&NameKey::new(node, LabelKind::Head, label.head, slot));
        if found.is_some() {
            return found;
        }
    }
    if kinds & NameNode::HAS_TAILS != 0 && label.tail != 0 {
        let found = tree.node(&NameKey::new(node, LabelKind::Tail, label.tail, slot));
        if found.is_some() {
            return found;
        }
    }
    if kinds & NameNode::HAS_ANY != 0 {
        return tree.node(&NameKey::new(node, LabelKind::Any, 0, slot));
    }
    None
}
