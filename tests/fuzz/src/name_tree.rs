//! Host patterns: what the kernel's walk finds, against each pattern by itself.

use std::collections::BTreeSet;

use agent_common::name::{ENDPOINTS_PER_NAME, MAX_LABELS, Name};

use crate::{
    endpoint::{HostPattern, is_meant},
    tree::Tree,
};

/// Of these, patterns and hosts meet much more often than of any octets.
const PARTS: [&str; 12] = [
    "a", "b", "c", ".", "-", "*", "*.", "a-*", "*-b", "a-b", "*-", ".b\n",
];

/// Lines of text: the last one is a host, those before are patterns. Every pattern that means the
/// host is found; another one only if it does as far as the kernel can tell parts of labels. After
/// an octet that is not ASCII, each octet stands for one of the [`PARTS`], and all lines end alike.
///
/// # Panics
/// If not.
pub fn check(octets: &[u8]) {
    match octets {
        [first, parts @ ..] if !first.is_ascii() => {
            let part = |octet: &u8| PARTS[usize::from(*octet) % PARTS.len()];
            let text: String = parts.iter().map(part).chain([".b"]).collect();
            check_text(&text);
        }
        _ => {
            if let Ok(text) = str::from_utf8(octets) {
                check_text(text);
            }
        }
    }
}

fn check_text(text: &str) {
    let mut lines: Vec<_> = text.lines().collect();
    let Some(host) = lines.pop() else { return };
    let name = Name::of(host);
    if !name.is_valid() {
        return;
    }
    let patterns: Vec<_> = lines
        .iter()
        .filter_map(|line| HostPattern::parse(line).ok())
        .filter(|pattern| pattern.as_str().split('.').count() < MAX_LABELS)
        .take(ENDPOINTS_PER_NAME)
        .collect();
    let found = Tree::of(&patterns).find(&name);
    let numbers = |is_in: &dyn Fn(&HostPattern) -> bool| -> BTreeSet<u32> {
        let numbered = patterns.iter().zip(1..);
        let within = numbered.filter(|(pattern, _)| is_in(pattern));
        within.map(|(_, number)| number).collect()
    };
    let meant = numbers(&|pattern| is_meant(pattern, host));
    let at_most = numbers(&|pattern| is_meant_loosely(pattern, host));
    assert!(
        meant.is_subset(&found) && found.is_subset(&at_most),
        "{host} finds {found:?}, not {meant:?} to {at_most:?} of {patterns:?}"
    );
}

/// Labels with a wildcard are told up to the first `-` before it, or from the last `-` after it.
fn is_meant_loosely(pattern: &HostPattern, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let labels: Vec<_> = host.rsplit('.').collect();
    let text = pattern.as_str();
    let (rest, is_any_depth) = match text.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let own: Vec<_> = rest.rsplit('.').collect();
    let is_as_long = if is_any_depth {
        labels.len() > own.len()
    } else {
        labels.len() == own.len()
    };
    let mut pairs = own.iter().zip(&labels);
    is_as_long && pairs.all(|(own, label)| is_label_meant_loosely(own, label))
}

fn is_label_meant_loosely(pattern: &str, label: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == label;
    };
    match (before.find('-'), after.rfind('-')) {
        (Some(end), _) => label.starts_with(&before[..=end]),
        (None, Some(start)) => label.ends_with(&after[start..]),
        (None, None) => true,
    }
}
