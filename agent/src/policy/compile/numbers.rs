//! What the caller contributes to compilation: numbers for names, and the time.

use std::collections::BTreeMap;

use agent_common::{
    abi::{MAX_ADDRESSES, MAX_PREFIXES, MAX_RULES},
    destination::{ENDPOINTS_PER_ADDRESS, EndpointId},
    policy::{RuleId, Window},
};
use ipnet::IpNet;
use jiff::Timestamp;

use crate::policy::{Kind, PolicySet, Span};

/// The numbers by which the kernel knows what policy names. See
/// [`crate::policy::PolicySet::grant_names`] and its neighbours for what must be numbered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub grants: BTreeMap<String, RuleId>,
    pub denies: BTreeMap<String, RuleId>,
    pub endpoints: BTreeMap<String, EndpointId>,
    /// At least [`EndpointId::FIRST_PREFIX`].
    pub prefixes: BTreeMap<String, EndpointId>,
}

impl Numbers {
    /// Numbers for a set that no kernel is going to see.
    #[must_use]
    pub fn in_order(set: &PolicySet) -> Self {
        fn number<'n, T>(
            names: impl Iterator<Item = &'n str>,
            of: impl Fn(u32) -> T,
        ) -> BTreeMap<String, T> {
            let numbered = names.zip(1..);
            numbered
                .map(|(name, number)| (name.to_owned(), of(number)))
                .collect()
        }
        let n_grants = set.grant_names().count() as u32;
        let prefixes = set.prefix_names();
        Self {
            grants: number(set.grant_names(), RuleId::from_raw),
            denies: number(set.deny_names(), |number| {
                RuleId::from_raw(n_grants + number)
            }),
            endpoints: number(set.endpoint_names(), EndpointId::from_raw),
            prefixes: number(prefixes.iter().map(String::as_str), |number| {
                EndpointId::from_raw(EndpointId::FIRST_PREFIX + number)
            }),
        }
    }
}

/// One instant on both clocks. Policy is written in wall time and kept in boot time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAnchor {
    pub wall: Timestamp,
    pub boot_ns: u64,
}

impl ClockAnchor {
    /// An instant before boot becomes 1, because an end at 0 would mean an unused window.
    pub(super) fn to_boot_ns(self, instant: Timestamp) -> u64 {
        let since_anchor = instant.as_nanosecond() - self.wall.as_nanosecond();
        let boot_ns = i128::from(self.boot_ns) + since_anchor;
        u64::try_from(boot_ns.max(1)).unwrap_or(Window::FOREVER)
    }

    pub(super) fn window(self, span: Span, grant: RuleId) -> Window {
        let Span {
            not_before,
            not_after,
        } = span;
        let not_before_ns = not_before.map_or(0, |instant| self.to_boot_ns(instant));
        let not_after_ns = not_after.map_or(Window::FOREVER, |instant| self.to_boot_ns(instant));
        crate::policy::windows::window(not_before_ns.min(not_after_ns), not_after_ns, grant)
    }
}

/// Why a policy cannot be installed as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("{} `{name}` has no number: number every name of the set before compiling it", kind.name())]
    Unnumbered { kind: Kind, name: String },
    #[error(
        "the policy needs {needed} rule entries (identity × endpoint), {MAX_RULES} fit: select \
         endpoints by provider or `*`, or give fewer identities rules of their own"
    )]
    TooManyRules { needed: usize },
    #[error(
        "the policy needs {needed} prefixes (CIDR × port), {MAX_PREFIXES} fit: combine CIDRs, or \
         list fewer ports"
    )]
    TooManyPrefixes { needed: usize },
    #[error(
        "the endpoints have {needed} addresses (address × port), {MAX_ADDRESSES} fit: remove \
         ModelEndpoint objects, or list fewer ports"
    )]
    TooManyAddresses { needed: usize },
    #[error(
        "{net} belongs to {}, {ENDPOINTS_PER_ADDRESS} fit on one address{}: let fewer prefixes \
         overlap there", list(names), on_port(*port)
    )]
    TooManyOverlaps {
        net: IpNet,
        port: u16,
        /// Endpoints, and prefixes of deny rules.
        names: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    let quoted = names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>();
    quoted.join(", ")
}

fn on_port(port: u16) -> String {
    if port == 0 {
        String::new()
    } else {
        format!(" and port {port}")
    }
}

/// For the caller, who resolves names: whether so many (address, port) pairs can be installed.
///
/// # Errors
/// If they do not fit.
pub const fn check_addresses(needed: usize) -> Result<(), CompileError> {
    if needed > MAX_ADDRESSES as usize {
        return Err(CompileError::TooManyAddresses { needed });
    }
    Ok(())
}

pub(super) fn number<T: Copy>(
    numbers: &BTreeMap<String, T>,
    kind: Kind,
    name: &str,
) -> Result<T, CompileError> {
    numbers
        .get(name)
        .copied()
        .ok_or_else(|| CompileError::Unnumbered {
            kind,
            name: name.to_owned(),
        })
}
