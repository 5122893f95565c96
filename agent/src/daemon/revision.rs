//! From policy objects to the tables that the kernel looks up. Asks the store for numbers.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::{
    address::Address,
    destination::{Destination, EndpointId},
    limit::Limit,
    name::NameSet,
    policy::RuleId,
};
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    addresses::HostUse,
    lives::{Lives, Origin},
};
use crate::{
    bpf::policy::{Narrowed, PolicyTables},
    endpoint::{Catalogue, Endpoint, HostPattern, NameTable, NameUse, build_name_tree},
    host::clock::{CLOCK_LEEWAY, Now, boot_id},
    policy::{
        ApprovalRules, BuildOptions, ClockAnchor, CompileError, CompiledPolicy, Compiler, Kind,
        Life, Located, Numbered, Numbers, Object, OnExpired, PolicyError, PolicySet, Selections,
        Separation, Spec,
    },
    store::{RuleKind, Store, StoreError},
};

/// A set of objects that has been checked and numbered.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) set: PolicySet,
    pub(super) numbers: Numbers,
    pub(super) selections: Arc<Selections>,
    pub(super) warnings: Vec<PolicyError>,
    /// Where each object comes from: a file, or [`API_SOURCE`].
    pub(super) sources: BTreeMap<(Kind, String), String>,
    /// All host patterns, as the kernel walks them.
    names: NameTable,
    /// When it was built: its times are by the wall clock as it went then.
    pub(super) built_at: Now,
}

/// What decides which grants count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitting<'a> {
    pub(super) rules: &'a ApprovalRules,
    pub(super) lives: &'a Lives,
    pub(super) origin: Origin<'a>,
    pub(super) separation: Separation,
}

/// Why a transaction is taken back.
enum Undo {
    Asked,
    Failed(StoreError),
}

impl From<StoreError> for Undo {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Source of objects that were made over the API.
pub(super) const API_SOURCE: &str = "api";

/// Why objects did not become a revision.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    #[error("the policy has mistakes")]
    Invalid(Vec<PolicyError>),
    #[error("compile the policy")]
    Compile(#[from] CompileError),
    #[error("number the policy's names")]
    Store(#[from] StoreError),
}

impl Admitting<'_> {
    fn life(&self, name: &str, digest: &str, now: Timestamp) -> Option<Life> {
        let known = self.lives.get(name, digest).cloned();
        match self.origin {
            Origin::Lease(author, lease) if lease == name => {
                known.or_else(|| Life::lease(author.by(), now))
            }
            Origin::Lease(..) | Origin::Files | Origin::Api(_) => known,
        }
    }
}

impl Revision {
    pub(super) const fn numbered(&self) -> Numbered<'_> {
        Numbered {
            set: &self.set,
            numbers: &self.numbers,
        }
    }

    pub(super) fn grant_name(&self, grant: RuleId) -> Option<&str> {
        let mut grants = self.numbers.grants.iter();
        let (name, _) = grants.find(|(_, number)| **number == grant)?;
        Some(name)
    }

    /// Numbers of the endpoints that are meant.
    pub(super) fn numbers_of(&self, is_meant: impl Fn(&Endpoint) -> bool) -> BTreeSet<EndpointId> {
        let endpoints = self.set.catalogue().iter();
        endpoints
            .filter(|endpoint| is_meant(endpoint))
            .filter_map(|endpoint| self.numbers.endpoints.get(&endpoint.name).copied())
            .collect()
    }

    /// Checks `objects` together and gives every name its number.
    pub(super) fn build(
        objects: Vec<Located<Object>>,
        store: &mut Store,
        now: &Now,
        admitting: &Admitting<'_>,
    ) -> Result<Self, RevisionError> {
        store.at_once(|store| Self::build_with(objects, store, now, admitting))
    }

    /// As [`Revision::build`], but nothing is left of it in the store: neither a number nor the
    /// beginning of a `ttl`.
    pub(super) fn imagine(
        objects: Vec<Located<Object>>,
        store: &mut Store,
        now: &Now,
        admitting: &Admitting<'_>,
    ) -> Result<Self, RevisionError> {
        let mut imagined = None;
        let undone = store.at_once(|store| -> Result<(), Undo> {
            imagined = Some(Self::build_with(objects, store, now, admitting));
            Err(Undo::Asked)
        });
        match (imagined, undone) {
            (Some(imagined), _) => imagined,
            (None, Err(Undo::Failed(error))) => Err(error.into()),
            // Not reached: what was asked for was imagined before.
            (None, Ok(()) | Err(Undo::Asked)) => Err(RevisionError::Invalid(Vec::new())),
        }
    }

    fn build_with(
        objects: Vec<Located<Object>>,
        store: &mut Store,
        now: &Now,
        admitting: &Admitting<'_>,
    ) -> Result<Self, RevisionError> {
        let sources = objects
            .iter()
            .map(|object| {
                let key = (object.value.kind(), object.value.name().to_owned());
                (key, object.file.clone())
            })
            .collect();
        let failed = RefCell::new(None);
        // Without it `ttl` counts by the wall clock.
        let boot = boot_id().unwrap_or_default();
        let built = {
            let store = RefCell::new(&mut *store);
            let kind = Kind::InvocationGrant.name();
            let issued_at = |name: &str, digest: &str| {
                let seen = store
                    .borrow_mut()
                    .first_seen(kind, name, digest, now, &boot);
                seen.unwrap_or_else(|error| {
                    failed.replace(Some(error));
                    now.wall
                })
            };
            let options = BuildOptions {
                now: now.wall,
                on_expired: OnExpired::Warn,
                issued_at: &issued_at,
                approval: admitting.rules,
                life: &|name, digest| admitting.life(name, digest, now.wall),
                separation: admitting.separation,
            };
            PolicySet::build(objects, Catalogue::builtin(), &options)
        };
        if let Some(error) = failed.into_inner() {
            return Err(error.into());
        }
        let built = built.map_err(RevisionError::Invalid)?;
        let numbers = number(&built.set, store)?;
        Ok(Self {
            names: build_name_tree(&name_uses(&built.set, &numbers)),
            numbers,
            selections: Arc::new(Selections::new(&built.set)),
            set: built.set,
            warnings: built.warnings,
            sources,
            built_at: *now,
        })
    }

    /// Ready for identities. On the boot clock its times are the same however often this is called,
    /// whatever the wall clock is set to meanwhile.
    pub(super) fn compiler(&self) -> Result<Compiler, CompileError> {
        let selections = self.selections.clone();
        let Now { wall, boot_ns } = self.built_at;
        let anchor = ClockAnchor { wall, boot_ns };
        Compiler::new(&self.set, selections, &self.numbers, &anchor)
    }

    /// Whether its dates are at other instants of the boot clock by now.
    pub(super) fn clock_was_set(&self, at: &Now) -> bool {
        let expected = self.built_at.wall_of(at.boot_ns);
        at.wall.duration_since(expected).abs() > CLOCK_LEEWAY
    }

    /// Hosts to resolve, with the endpoints and ports that they stand for.
    pub(super) fn hosts(&self) -> HostUse {
        let mut hosts = HostUse::new();
        for (endpoint, host) in self.set.catalogue().resolvable_hosts() {
            let Some(id) = self.numbers.endpoints.get(&endpoint.name) else {
                continue;
            };
            let uses = hosts.entry(host.to_owned()).or_default();
            uses.extend(endpoint.ports.iter().map(|port| (*id, *port)));
        }
        hosts
    }

    /// Ports of all endpoints that have names.
    fn ports(&self) -> BTreeSet<u16> {
        let named = self.set.catalogue().iter();
        let named = named.filter(|endpoint| !endpoint.hosts.is_empty());
        named
            .flat_map(|endpoint| endpoint.ports.iter().copied())
            .collect()
    }

    /// Flags of [`Destination`] of the endpoints that have any.
    pub(super) fn flags(&self) -> BTreeMap<EndpointId, u32> {
        let flagged = self.set.catalogue().iter().filter_map(|one| {
            let id = self.numbers.endpoints.get(&one.name)?;
            let flags = match (one.shared, one.exclusive) {
                (true, _) => Destination::SHARED,
                (false, true) => Destination::EXCLUSIVE,
                (false, false) => return None,
            };
            Some((*id, flags))
        });
        flagged.collect()
    }
}

/// The outer names of encrypted `ClientHello` messages: what such a message asks for is unknown.
/// Source: the providers' `HTTPS` records (`ech=`), RFC 9849 calls them public names.
const ECH_NAMES: [&str; 2] = ["cloudflare-ech.com", "*.cloudflare-ech.com"];

fn name_uses(set: &PolicySet, numbers: &Numbers) -> Vec<NameUse> {
    let mut uses = Vec::new();
    for endpoint in set.catalogue().iter() {
        let Some(id) = numbers.endpoints.get(&endpoint.name) else {
            continue;
        };
        uses.extend(endpoint.hosts.iter().map(|pattern| NameUse {
            pattern: pattern.clone(),
            endpoints: endpoint.ports.iter().map(|port| (*id, *port)).collect(),
            flags: match (endpoint.shared, endpoint.exclusive) {
                (true, _) => NameSet::SHARED,
                (false, true) => NameSet::EXCLUSIVE,
                (false, false) => 0,
            },
        }));
    }
    let outer = ECH_NAMES.into_iter().map(HostPattern::parse);
    uses.extend(outer.filter_map(Result::ok).map(|pattern| NameUse {
        pattern,
        endpoints: BTreeSet::new(),
        flags: NameSet::ECH,
    }));
    uses
}

/// What the kernel gets, but for the addresses of hosts.
pub(super) fn tables(compiled: &CompiledPolicy, revision: &Revision, at: &Now) -> PolicyTables {
    let rows = compiled.prefixes.iter().map(|row| {
        let (address, length) = mapped(row.net);
        ((address, length, row.port), row.destination)
    });
    // Where policy names single addresses only, no call has to pay for a look-up by prefix.
    let is_single = |((_, length, _), _): &((Address, u32, u16), Destination)| *length == 128;
    let all_single = rows.clone().all(|row| is_single(&row));
    let (single, prefixes) = rows.partition::<Vec<_>, _>(|_| all_single);
    let addresses = single.into_iter().map(|((address, _, port), destination)| {
        let flags = destination.flags | Destination::BY_ADDRESS;
        (
            (address, port),
            Destination {
                flags,
                ..destination
            },
        )
    });
    PolicyTables {
        addresses: addresses.collect(),
        prefixes: prefixes.into_iter().collect(),
        rules: compiled.rules.clone(),
        names: revision.names.clone(),
        ports: revision.ports(),
        limits: limits(revision, at),
        narrowed: Narrowed::new(),
    }
}

/// Limits of the grants that have any, by number.
fn limits(revision: &Revision, at: &Now) -> BTreeMap<RuleId, Limit> {
    let wall_ns = u64::try_from(at.wall.as_nanosecond()).unwrap_or(0);
    let unix_ns = wall_ns.wrapping_sub(at.boot_ns);
    let objects = revision.set.objects();
    objects
        .filter_map(|object| match &object.spec {
            Spec::InvocationGrant(grant) if !grant.limits.is_none() => {
                let number = revision.numbers.grants.get(object.name())?;
                Some((*number, grant.limits.compile(unix_ns)))
            }
            Spec::ModelEndpoint(_)
            | Spec::InvocationGrant(_)
            | Spec::EgressDeny(_)
            | Spec::Posture(_) => None,
        })
        .collect()
}

fn mapped(net: IpNet) -> (Address, u32) {
    let length = u32::from(net.prefix_len());
    let address = Address::from_network(net.network());
    match net {
        IpNet::V4(_) => (address, 96 + length),
        IpNet::V6(_) => (address, length),
    }
}

fn number(set: &PolicySet, store: &mut Store) -> Result<Numbers, StoreError> {
    let mut numbers = Numbers::default();
    for name in set.endpoint_names() {
        let number = store.endpoint_number(name)?;
        numbers.endpoints.insert(name.to_owned(), number);
    }
    for name in set.prefix_names() {
        let number = store.prefix_number(&name)?;
        numbers.prefixes.insert(name, number);
    }
    for name in set.grant_names() {
        let number = store.rule_number(RuleKind::Grant, name)?;
        numbers.grants.insert(name.to_owned(), number);
    }
    for name in set.deny_names() {
        let number = store.rule_number(RuleKind::Deny, name)?;
        numbers.denies.insert(name.to_owned(), number);
    }
    Ok(numbers)
}
