//! All host patterns as one tree of labels, as the kernel walks it.
//!
//! Patterns are read from the right. A node stands for a set of places in patterns, so the tree is
//! deterministic: what a wildcard says about a label is part of the node for that very label. The
//! kernel knows parts of labels only up to a `-`: `eu*` is compiled as any label, `a-b-*` as `a-*`,
//! which may govern more names than the pattern, never fewer.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    destination::EndpointId,
    name::{self, ENDPOINTS_PER_NAME, LabelKind, MAX_LABELS, NameNode, NameSet},
};

use super::HostPattern;

/// What the names of one pattern stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameUse {
    pub pattern: HostPattern,
    /// Endpoints with their ports in host order.
    pub endpoints: BTreeSet<(EndpointId, u16)>,
    /// [`NameSet::SHARED`], [`NameSet::ECH`].
    pub flags: u32,
}

/// By node, kind of label and its hash.
pub type NameTable = BTreeMap<(u32, LabelKind, u64), NameNode>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Whole(String),
    Head(String),
    Tail(String),
    /// What a head and a tail of two patterns leave room for.
    Both(String, String),
    Any,
}

impl Label {
    fn of(text: &str) -> Self {
        let Some((before, after)) = text.split_once('*') else {
            return Self::Whole(text.to_owned());
        };
        if let Some(end) = before.find('-') {
            return Self::Head(before[..=end].to_owned());
        }
        match after.rfind('-') {
            Some(start) => Self::Tail(after[start..].to_owned()),
            None => Self::Any,
        }
    }

    fn key(&self) -> (LabelKind, u64) {
        match self {
            Self::Whole(text) => (LabelKind::Whole, name::hash(text)),
            Self::Head(text) => (LabelKind::Head, name::hash(text)),
            Self::Tail(text) => (LabelKind::Tail, name::hash(text)),
            Self::Both(head, tail) => {
                let hash = name::hash_both(name::hash(head), name::hash(tail));
                (LabelKind::Both, hash)
            }
            Self::Any => (LabelKind::Any, 0),
        }
    }

    /// What labels with this head and that tail match.
    fn and(&self, tail: &Self) -> Option<Self> {
        let (Self::Head(head), Self::Tail(tail)) = (self, tail) else {
            return None;
        };
        Some(Self::Both(head.clone(), tail.clone()))
    }

    /// Whether every label that `other` matches, as far as it tells, is matched by this one.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Head(head), Self::Whole(text)) => {
                text.len() > head.len() && text.starts_with(head.as_str())
            }
            (Self::Tail(tail), Self::Whole(text)) => {
                text.len() > tail.len() && text.ends_with(tail.as_str())
            }
            (Self::Head(head), Self::Both(other, _)) => head == other,
            (Self::Tail(tail), Self::Both(_, other)) => tail == other,
            (one, other) => one == other,
        }
    }
}

struct Pattern {
    /// From the right, without the leading wildcard.
    labels: Vec<Label>,
    is_any_depth: bool,
}

impl Pattern {
    fn of(pattern: &HostPattern) -> Self {
        let text = pattern.as_str();
        let (rest, is_any_depth) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        Self {
            labels: rest.rsplit('.').map(Label::of).collect(),
            is_any_depth,
        }
    }
}

/// Number of a pattern and of its labels that have been read; one more for a leading wildcard.
type Places = BTreeSet<(usize, usize)>;

struct Builder<'u> {
    uses: &'u [NameUse],
    patterns: Vec<Pattern>,
    numbers: BTreeMap<Places, u32>,
    table: NameTable,
}

/// Compiles all `uses`. Patterns with more labels than the kernel keeps match nothing.
#[must_use]
pub fn build(uses: &[NameUse]) -> NameTable {
    let patterns: Vec<_> = uses.iter().map(|one| Pattern::of(&one.pattern)).collect();
    let start: Places = patterns
        .iter()
        .enumerate()
        .filter(|(_, pattern)| pattern.labels.len() < MAX_LABELS)
        .map(|(index, _)| (index, 0))
        .collect();
    let mut builder = Builder {
        uses,
        patterns,
        numbers: BTreeMap::from([(start.clone(), name::ROOT)]),
        table: NameTable::new(),
    };
    let mut open = vec![(start, name::ROOT)];
    while let Some((places, number)) = open.pop() {
        for label in builder.labels(&places) {
            let next = builder.step(&places, &label);
            let kinds = builder.labels(&next);
            let next_number = match builder.numbers.get(&next) {
                _ if kinds.is_empty() => 0,
                Some(known) => *known,
                None => {
                    let fresh = builder.numbers.len() as u32 + name::ROOT;
                    builder.numbers.insert(next.clone(), fresh);
                    open.push((next.clone(), fresh));
                    fresh
                }
            };
            let node = NameNode {
                next: next_number,
                kinds: flags(&kinds),
                exact: builder.set(&next, |n_read, pattern| {
                    n_read == pattern.labels.len() + usize::from(pattern.is_any_depth)
                }),
                below: builder.set(&next, |n_read, pattern| {
                    pattern.is_any_depth && n_read >= pattern.labels.len()
                }),
            };
            let (kind, hash) = label.key();
            builder.table.insert((number, kind, hash), node);
        }
    }
    builder.table
}

impl Builder<'_> {
    /// The labels that lead on from `places`.
    fn labels(&self, places: &Places) -> BTreeSet<Label> {
        let next = |(index, n_read): &(usize, usize)| {
            let pattern = self.patterns.get(*index)?;
            pattern.labels.get(*n_read).cloned()
        };
        let mut labels: BTreeSet<_> = places.iter().filter_map(next).collect();
        let both: Vec<_> = labels
            .iter()
            .flat_map(|head| labels.iter().filter_map(|tail| head.and(tail)))
            .collect();
        labels.extend(both);
        labels
    }

    fn step(&self, places: &Places, label: &Label) -> Places {
        let mut next = Places::new();
        for (index, n_read) in places {
            let Some(pattern) = self.patterns.get(*index) else {
                continue;
            };
            match pattern.labels.get(*n_read) {
                Some(own) if own.covers(label) => {
                    next.insert((*index, n_read + 1));
                }
                Some(_) => {}
                None if pattern.is_any_depth => {
                    next.insert((*index, pattern.labels.len() + 1));
                }
                None => {}
            }
        }
        next
    }

    fn set(&self, places: &Places, counts: impl Fn(usize, &Pattern) -> bool) -> NameSet {
        let mut endpoints = BTreeSet::new();
        let mut flags = 0;
        for (index, n_read) in places {
            let (Some(pattern), Some(one)) = (self.patterns.get(*index), self.uses.get(*index))
            else {
                continue;
            };
            if counts(*n_read, pattern) {
                endpoints.extend(one.endpoints.iter().copied());
                flags |= one.flags;
            }
        }
        let mut set = NameSet {
            flags,
            ..NameSet::NONE
        };
        let places = set.endpoints.iter_mut().zip(&mut set.ports);
        for ((endpoint, port), (own, own_port)) in places.zip(&endpoints) {
            *endpoint = *own;
            *port = own_port.to_be();
        }
        if endpoints.len() > ENDPOINTS_PER_NAME {
            set.endpoints[ENDPOINTS_PER_NAME - 1] = EndpointId::OVERFLOW;
            set.ports[ENDPOINTS_PER_NAME - 1] = 0;
        }
        set
    }
}

fn flags(labels: &BTreeSet<Label>) -> u32 {
    labels.iter().fold(0, |flags, label| {
        flags
            | match label {
                // Heads and tails are there, too.
                Label::Whole(_) | Label::Both(..) => 0,
                Label::Head(_) => NameNode::HAS_HEADS,
                Label::Tail(_) => NameNode::HAS_TAILS,
                Label::Any => NameNode::HAS_ANY,
            }
    })
}

#[cfg(test)]
mod tests {
    use agent_common::{
        name::{Name, NameKey, NameTree, resolve},
        settings::Slot,
    };
    use proptest::prelude::*;

    use super::*;

    struct Table(BTreeMap<NameKey, NameNode>);

    impl NameTree for Table {
        fn node(&self, key: &NameKey) -> Option<&NameNode> {
            self.0.get(key)
        }
    }

    fn table(patterns: &[&str]) -> Table {
        let uses: Vec<_> = patterns
            .iter()
            .zip(1..)
            .map(|(pattern, number)| NameUse {
                pattern: HostPattern::parse(pattern).expect("a pattern"),
                endpoints: BTreeSet::from([(EndpointId::from_raw(number), 443)]),
                flags: 0,
            })
            .collect();
        let nodes = build(&uses)
            .into_iter()
            .map(|((node, kind, hash), value)| (NameKey::new(node, kind, hash, Slot::A), value));
        Table(nodes.collect())
    }

    fn found(table: &Table, host: &str) -> Vec<u32> {
        let set = resolve(table, &Name::of(host), Slot::A);
        let endpoints = set.into_iter().flat_map(|set| set.endpoints);
        endpoints
            .map(EndpointId::to_raw)
            .filter(|raw| *raw != 0)
            .collect()
    }

    fn check(patterns: &[&str], expected: &[(&str, &[u32])]) {
        let table = table(patterns);
        for (host, endpoints) in expected {
            assert_eq!(found(&table, host), *endpoints, "{host}");
        }
    }

    #[test]
    fn names_are_matched_on_label_boundaries() {
        check(
            &[
                "api.openai.com",
                "*.openai.azure.com",
                "bedrock.*.amazonaws.com",
            ],
            &[
                ("API.openai.com.", &[1]),
                ("xapi.openai.com", &[]),
                ("openai.com", &[]),
                ("eu.api.openai.com", &[]),
                ("api.openai.com.evil.example", &[]),
                ("a.openai.azure.com", &[2]),
                ("b.a.openai.azure.com", &[2]),
                ("openai.azure.com", &[]),
                ("notopenai.azure.com", &[]),
                ("bedrock.eu-west-1.amazonaws.com", &[3]),
                ("bedrock.a.b.amazonaws.com", &[]),
                ("x.bedrock.eu.amazonaws.com", &[]),
                ("com", &[]),
            ],
        );
    }

    #[test]
    fn a_name_has_the_endpoints_of_all_patterns_that_match() {
        check(
            &[
                "*.a.test",
                "x.a.test",
                "*.x.a.test",
                "*.*.a.test",
                "x-*.a.test",
            ],
            &[
                ("x.a.test", &[1, 2]),
                ("y.a.test", &[1]),
                ("z.x.a.test", &[1, 3, 4]),
                ("z.y.a.test", &[1, 4]),
                ("x-1.a.test", &[1, 5]),
                ("q.x-1.a.test", &[1, 4]),
            ],
        );
    }

    #[test]
    fn parts_of_labels_end_at_a_dash() {
        check(
            &[
                "model-*.b.test",
                "*-platform.b.test",
                "model-x-platform.b.test",
            ],
            &[
                ("model-7.b.test", &[1]),
                ("eu-platform.b.test", &[2]),
                ("model-x-platform.b.test", &[1, 2, 3]),
                ("model-y-platform.b.test", &[1, 2]),
                ("model.b.test", &[]),
                ("platform.b.test", &[]),
            ],
        );
    }

    #[test]
    fn more_endpoints_than_fit_are_an_overflow() {
        let patterns = ["a.test", "a.test", "a.test", "a.test", "a.test"];
        let all = found(&table(&patterns), "a.test");
        assert_eq!(all, [1, 2, 3, EndpointId::OVERFLOW.to_raw()]);
    }

    proptest! {
        /// Against the reference: every pattern by itself.
        #[test]
        fn the_tree_finds_what_the_patterns_match(
            patterns in proptest::collection::vec("((\\*|[ab]|a-\\*|\\*-b)\\.){0,3}[ab]\\.c", 1..4),
            host in "([ab]\\.|a-b\\.){0,4}[ab]\\.c",
        ) {
            let texts: Vec<_> = patterns.iter().map(String::as_str).collect();
            let expected: Vec<u32> = texts
                .iter()
                .zip(1..)
                .filter(|(text, _)| HostPattern::parse(text).expect("a pattern").matches(&host))
                .map(|(_, number)| number)
                .collect();
            prop_assert_eq!(found(&table(&texts), &host), expected);
        }
    }
}
