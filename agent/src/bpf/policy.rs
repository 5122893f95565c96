//! The policy maps: one revision live in one slot, the other slot free to be filled.
//!
//! A connection sees one revision or the other, never half of one: a single byte in `CONFIG`
//! switches all three maps. A revision that does not fit is taken back and the old one stays.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
};

use agent_common::{
    abi::{self, map},
    address::Address,
    destination::{AddressKey, Destination, EndpointId, PrefixKey},
    identity::IdentityId,
    limit::{Limit, UsedKey},
    name::{LabelKind, NameKey, NameNode},
    policy::{PolicyLookup, Posture, RuleEntry, RuleId, RuleKey},
    presence,
    process::NarrowKey,
    settings::{ActivePolicy, Slot, config},
    verdict::{Decision, decide},
};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, MapData, lpm_trie::Key},
};

mod limits;
pub(super) mod slot;

pub use self::limits::Used;

use super::{KernelError, errno, load::take, sys};
use crate::policy::entitled_until;

/// Everything that the decision hooks look up, in a form without slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyTables {
    /// By address and port (host order, 0 for every port).
    pub addresses: BTreeMap<(Address, u16), Destination>,
    /// By network, its length in bits of the 128-bit form, and port.
    pub prefixes: BTreeMap<(Address, u32, u16), Destination>,
    pub rules: BTreeMap<(IdentityId, EndpointId), RuleEntry>,
    /// The tree of names, by node, kind of label and its hash.
    pub names: BTreeMap<(u32, LabelKind, u64), NameNode>,
    /// Ports of endpoints that have names, in host order.
    pub ports: BTreeSet<u16>,
    /// Identities of certain processes of an identity, by the numbers of executable and user.
    pub narrowed: Narrowed,
    /// Of the grants that have any.
    pub limits: BTreeMap<RuleId, Limit>,
}

/// By identity, number of the executable and number of the user; 0 for any other.
pub type Narrowed = BTreeMap<(IdentityId, u16, u16), IdentityId>;

impl PolicyTables {
    fn active(&self, slot: Slot) -> ActivePolicy {
        ActivePolicy {
            slot,
            has_prefixes: !self.prefixes.is_empty(),
            has_any_port: self.addresses.keys().any(|(_, port)| *port == 0)
                || self.prefixes.keys().any(|(_, _, port)| *port == 0),
            names_matter: names_matter(&self.rules),
            has_narrowed: !self.narrowed.is_empty(),
            has_limits: !self.limits.is_empty(),
        }
    }
}

/// Whether some identity can be refused something.
fn names_matter(rules: &BTreeMap<(IdentityId, EndpointId), RuleEntry>) -> bool {
    rules.iter().any(|((_, endpoint), entry)| {
        *endpoint == EndpointId::UNNAMED && entry.posture() == Posture::Deny
    })
}

/// The maps and which half of them is live.
pub struct PolicyMaps {
    config: Array<MapData, u64>,
    addresses: HashMap<MapData, AddressKey, Destination>,
    present: Array<MapData, u32>,
    /// Places of `PRESENT` that this agent has marked.
    marked: HashSet<u32>,
    prefixes: LpmTrie<MapData, PrefixKey, Destination>,
    rules: HashMap<MapData, RuleKey, RuleEntry>,
    names: HashMap<MapData, NameKey, NameNode>,
    narrowed: HashMap<MapData, NarrowKey, IdentityId>,
    limits: HashMap<MapData, RuleId, Limit>,
    accounts: HashMap<MapData, IdentityId, IdentityId>,
    used: HashMap<MapData, UsedKey, u64>,
    active: ActivePolicy,
    /// See [`config::EPOCH`].
    epoch: u64,
    /// What the live slot holds but for single addresses, which come and go between revisions.
    live: PolicyTables,
}

/// How much of the maps the live revision uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    pub prefixes: usize,
    pub rules: usize,
}

impl PolicyLookup for PolicyTables {
    fn rule(&self, identity: IdentityId, endpoint: EndpointId) -> Option<&RuleEntry> {
        self.rules.get(&(identity, endpoint))
    }
}

impl PolicyMaps {
    pub(super) fn open(ebpf: &mut Ebpf, pins: PathBuf) -> Result<Self, KernelError> {
        let open = |name, source| KernelError::map(name, "open", source);
        let config = MapData::from_pin(pins.join(map::CONFIG))
            .and_then(|data| Array::try_from(aya::maps::Map::Array(data)))
            .map_err(|source| open(map::CONFIG, source))?;
        let raw = config
            .get(&config::ACTIVE_POLICY, 0)
            .map_err(|source| KernelError::map(map::CONFIG, "read", source))?;
        let epoch = config
            .get(&config::EPOCH, 0)
            .map_err(|source| KernelError::map(map::CONFIG, "read", source))?;
        Ok(Self {
            config,
            addresses: HashMap::try_from(take(ebpf, map::ADDRESSES)?)
                .map_err(|source| open(map::ADDRESSES, source))?,
            present: Array::try_from(take(ebpf, map::PRESENT)?)
                .map_err(|source| open(map::PRESENT, source))?,
            marked: HashSet::new(),
            prefixes: LpmTrie::try_from(take(ebpf, map::PREFIXES)?)
                .map_err(|source| open(map::PREFIXES, source))?,
            rules: HashMap::try_from(take(ebpf, map::RULES)?)
                .map_err(|source| open(map::RULES, source))?,
            names: HashMap::try_from(take(ebpf, map::NAMES)?)
                .map_err(|source| open(map::NAMES, source))?,
            narrowed: HashMap::try_from(take(ebpf, map::NARROWED)?)
                .map_err(|source| open(map::NARROWED, source))?,
            limits: HashMap::try_from(take(ebpf, map::LIMITS)?)
                .map_err(|source| open(map::LIMITS, source))?,
            accounts: HashMap::try_from(take(ebpf, map::ACCOUNTS)?)
                .map_err(|source| open(map::ACCOUNTS, source))?,
            used: HashMap::try_from(take(ebpf, map::USED)?)
                .map_err(|source| open(map::USED, source))?,
            active: ActivePolicy::from_raw(raw),
            epoch,
            live: PolicyTables::default(),
        })
    }

    /// Makes `tables` the live revision.
    ///
    /// # Errors
    ///
    /// When they do not fit: the live revision stays, the other slot is empty again.
    pub fn install(&mut self, tables: &PolicyTables) -> Result<(), KernelError> {
        slot::check_limits(tables)?;
        let slot = self.active.slot.other();
        self.clear(slot)?;
        if let Err(error) = self.fill(tables, slot) {
            self.clear(slot)?;
            return Err(error);
        }
        self.set_limits(&tables.limits)?;
        let former = self.active.slot;
        self.activate(tables.active(slot))?;
        self.judge_again()?;
        self.live = tables.clone();
        self.forget_limits()?;
        // Until no program works with the former slot any more, it has to stay as it is; where
        // the kernel cannot tell, it stays until the next revision needs it.
        if sys::wait_for_running_programs().is_ok() {
            self.clear(former)?;
        }
        Ok(())
    }

    /// Adds or replaces rules in the live revision: an identity that has just appeared.
    ///
    /// # Errors
    ///
    /// When the map is full.
    pub fn add_rules(
        &mut self,
        rules: &BTreeMap<(IdentityId, EndpointId), RuleEntry>,
    ) -> Result<(), KernelError> {
        for ((identity, endpoint), entry) in rules {
            self.put_rule(RuleKey::new(*identity, *endpoint, self.active.slot), entry)?;
            self.live.rules.insert((*identity, *endpoint), *entry);
        }
        if !self.active.names_matter && names_matter(rules) {
            self.activate(ActivePolicy {
                names_matter: true,
                ..self.active
            })?;
        }
        Ok(())
    }

    /// Adds identities of certain processes to the live revision; their rules must be there.
    ///
    /// # Errors
    ///
    /// When the map is full.
    pub fn add_narrowed(&mut self, narrowed: &Narrowed) -> Result<(), KernelError> {
        for ((identity, exe, user), to) in narrowed {
            let key = NarrowKey::new(*identity, *exe, *user, self.active.slot);
            self.put_narrowed(key, *to)?;
            self.live.narrowed.insert((*identity, *exe, *user), *to);
        }
        if !self.active.has_narrowed && !narrowed.is_empty() {
            self.activate(ActivePolicy {
                has_narrowed: true,
                ..self.active
            })?;
        }
        Ok(())
    }

    /// What the kernel makes of an identity's process, from the agent's own copy.
    #[must_use]
    pub fn narrowed(&self, identity: IdentityId, exe: u16, user: u16) -> IdentityId {
        let found = self.live.narrowed.get(&(identity, exe, user));
        found.copied().unwrap_or(identity)
    }

    #[must_use]
    pub fn installed(&self) -> Installed {
        Installed {
            prefixes: self.live.prefixes.len(),
            rules: self.live.rules.len(),
        }
    }

    /// What the kernel decides about `destination` at `now_ns`, from the agent's own copy.
    #[must_use]
    pub fn decide(&self, identity: IdentityId, destination: &Destination, now_ns: u64) -> Decision {
        decide(&self.live, identity, destination, now_ns)
    }

    /// Until when the kernel lets `identity` reach `endpoint`: see [`entitled_until`].
    #[must_use]
    pub fn entitled_until(
        &self,
        identity: IdentityId,
        endpoint: EndpointId,
        now_ns: u64,
    ) -> Option<u64> {
        entitled_until(&self.live, identity, endpoint, now_ns)
    }

    /// Whether this identity can be refused something, so that names behind unknown addresses matter.
    #[must_use]
    pub fn names_matter_to(&self, identity: IdentityId) -> bool {
        let entry = self.live.unnamed(identity);
        entry.is_some_and(|entry| entry.posture() == Posture::Deny)
    }

    /// `decision`, let through if it was refused for what lies in the connection and the posture of
    /// the identity is in shadow mode there.
    #[must_use]
    pub fn in_shadow(&self, identity: IdentityId, decision: Decision) -> Decision {
        let entry = self.live.unnamed(identity);
        RuleEntry::in_shadow(entry.map_or(0, |entry| entry.posture), decision)
    }

    /// What the kernel finds for an address among the prefixes: one for this port (host order),
    /// one for every port.
    #[must_use]
    pub fn prefix_matches(&self, address: Address, port: u16) -> Vec<Destination> {
        if !self.active.has_prefixes {
            return Vec::new();
        }
        [port, 0]
            .into_iter()
            .filter_map(|port| {
                let key = prefix_key(address, 128, port, self.active.slot);
                // Absent and unreadable are the same to the one who asks.
                self.prefixes.get(&key, 0).ok()
            })
            .collect()
    }

    /// Adds or replaces one address in the live revision.
    ///
    /// # Errors
    ///
    /// When the map is full.
    pub fn put_address(
        &mut self,
        address: Address,
        port: u16,
        destination: Destination,
    ) -> Result<(), KernelError> {
        self.put_address_in(self.active.slot, address, port, destination)?;
        if port == 0 && !self.active.has_any_port {
            self.activate(ActivePolicy {
                has_any_port: true,
                ..self.active
            })?;
        }
        Ok(())
    }

    /// Removes one address from the live revision.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn remove_address(&mut self, address: Address, port: u16) -> Result<(), KernelError> {
        let key = AddressKey::new(address, port.to_be(), self.active.slot);
        remove(&mut self.addresses, map::ADDRESSES, &key)
    }

    /// Lets the kernel judge every live connection again, each at its next packet.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn judge_again(&mut self) -> Result<(), KernelError> {
        self.epoch += 1;
        self.config
            .set(config::EPOCH, self.epoch, 0)
            .map_err(|source| KernelError::map(map::CONFIG, "write", source))
    }

    fn put_rule(&mut self, key: RuleKey, entry: &RuleEntry) -> Result<(), KernelError> {
        self.rules
            .insert(key, entry, 0)
            .map_err(|source| full_or(map::RULES, abi::MAX_RULES, source))
    }

    fn put_narrowed(&mut self, key: NarrowKey, identity: IdentityId) -> Result<(), KernelError> {
        self.narrowed
            .insert(key, identity, 0)
            .map_err(|source| full_or(map::NARROWED, abi::MAX_NARROWED, source))
    }

    fn put_address_in(
        &mut self,
        slot: Slot,
        address: Address,
        port: u16,
        destination: Destination,
    ) -> Result<(), KernelError> {
        let place = presence::of_address(address, port.to_be());
        if !self.marked.contains(&place) {
            // Before the entry: the kernel looks at the mark first.
            self.present
                .set(place, 1, 0)
                .map_err(|source| KernelError::map(map::PRESENT, "write", source))?;
            self.marked.insert(place);
        }
        self.addresses
            .insert(AddressKey::new(address, port.to_be(), slot), destination, 0)
            .map_err(|source| full_or(map::ADDRESSES, abi::MAX_ADDRESSES, source))
    }

    fn activate(&mut self, active: ActivePolicy) -> Result<(), KernelError> {
        self.config
            .set(config::ACTIVE_POLICY, active.to_raw(), 0)
            .map_err(|source| KernelError::map(map::CONFIG, "write", source))?;
        self.active = active;
        Ok(())
    }
}

fn prefix_key(address: Address, length: u32, port: u16, slot: Slot) -> Key<PrefixKey> {
    let data = PrefixKey::new(address, port.to_be(), slot);
    Key::new(PrefixKey::HEADER_BITS + length, data)
}

/// Removes an entry; one that is not there is no error.
pub(super) fn remove<K: Pod, V: Pod>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    key: &K,
) -> Result<(), KernelError> {
    ignore_absent(map.remove(key))
        .map_err(|source| KernelError::map(name, "remove an entry", source))
}

fn ignore_absent(result: Result<(), aya::maps::MapError>) -> Result<(), aya::maps::MapError> {
    match result {
        Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

pub(super) fn full_or(map: &'static str, limit: u32, source: aya::maps::MapError) -> KernelError {
    match errno(&source) {
        Some(libc::E2BIG | libc::ENOSPC) => KernelError::Full { map, limit },
        Some(_) | None => KernelError::map(map, "insert", source),
    }
}
