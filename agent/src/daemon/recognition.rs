//! How a name or an address is recognised, and how certain that is.

use std::net::SocketAddr;

use agent_common::{
    address::Address,
    destination::{Destination, EndpointId},
    learned::Learned,
};

use super::{Core, Place};
use crate::host::clock::now;

/// One endpoint that a name or an address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    pub endpoint: String,
    /// As a sentence that follows "recognised by".
    pub how: String,
    pub certainty: Certainty,
}

/// When and how surely the endpoint is told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// At `connect()`, by the address.
    Certain,
    /// By the name in the first packets, or already at `connect()` once the address is known.
    ByName,
    /// The address does not tell, and names are not looked at: the strictest reading holds.
    SharedAddress,
    /// Not before an address is known.
    NotYet,
}

impl Certainty {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::ByName => "by-name",
            Self::SharedAddress => "shared-address",
            Self::NotYet => "not-yet",
        }
    }
}

impl Core {
    pub(super) fn recognise(&self, place: &Place) -> Vec<Recognised> {
        match place {
            Place::Endpoint(name) => vec![Recognised {
                endpoint: name.clone(),
                how: "its name".to_owned(),
                certainty: Certainty::Certain,
            }],
            Place::Host(host) => self.recognise_host(host),
            Place::Address(address) => self.recognise_address(*address),
        }
    }

    fn inspects(&self) -> bool {
        self.inspection.is_ok()
    }

    fn recognise_host(&self, host: &str) -> Vec<Recognised> {
        let catalogue = self.running.revision.set.catalogue();
        let matches = catalogue.match_host(host);
        let n_addresses = self.book.addresses_of(host).len();
        let several = matches.len() > 1;
        let describe =
            |shared: bool| {
                match (self.inspects(), n_addresses) {
            (true, _) if shared => (
                "; its addresses serve other names, too, so the first packets decide".to_owned(),
                Certainty::ByName,
            ),
            (true, 0) => (
                "; the kernel learns its addresses from answers of the DNS, and else the first \
                 packets decide"
                    .to_owned(),
                Certainty::ByName,
            ),
            (false, 0) => (
                "; no address is known yet, so the kernel lets it pass".to_owned(),
                Certainty::NotYet,
            ),
            (inspects, known) => {
                let certainty = match (shared || several, inspects) {
                    (true, true) => Certainty::ByName,
                    (true, false) => Certainty::SharedAddress,
                    (false, _) => Certainty::Certain,
                };
                let plural = if known == 1 { "address is" } else { "addresses are" };
                (format!("; {known} {plural} known"), certainty)
            }
        }
            };
        matches
            .iter()
            .map(|found| {
                let (more, certainty) = describe(found.endpoint.shared);
                Recognised {
                    endpoint: found.endpoint.name.clone(),
                    how: format!("host pattern {}{more}", found.pattern.as_str()),
                    certainty,
                }
            })
            .collect()
    }

    /// What the kernel's tables have for an address.
    fn recognise_address(&self, address: SocketAddr) -> Vec<Recognised> {
        let hosts = self.book.hosts_of(address.ip());
        let destinations = self.destinations(address);
        let learned = self.learned(address);
        let flags = self.learned_flags(address);
        let is_alone = flags & Learned::EXCLUSIVE != 0
            || destinations
                .iter()
                .any(|destination| destination.flags & Destination::EXCLUSIVE != 0);
        let is_ordinary = !is_alone
            && self
                .maps
                .learned
                .is_ordinary(Address::from_ip(address.ip()), now().boot_ns);
        let mut ids: Vec<EndpointId> = Vec::new();
        let known = destinations.iter().flat_map(endpoints_of);
        for id in known.chain(learned.iter().copied()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let by_address = destinations
            .iter()
            .any(|destination| destination.flags & Destination::BY_ADDRESS != 0);
        let is_shared = !by_address
            && (ids.len() > 1
                || is_ordinary
                || flags & (Learned::SHARED | Learned::OVERFLOW) != 0
                || destinations
                    .iter()
                    .any(|destination| destination.flags & Destination::SHARED != 0));
        let certainty = match (is_shared, self.inspects()) {
            (false, _) => Certainty::Certain,
            (true, true) => Certainty::ByName,
            (true, false) => Certainty::SharedAddress,
        };
        ids.into_iter()
            .filter_map(|id| {
                let how = if by_address {
                    "a network that the policy names".to_owned()
                } else if learned.contains(&id) {
                    "an answer of the DNS".to_owned()
                } else if hosts.is_empty() {
                    "a network that the policy names".to_owned()
                } else {
                    format!("the address of {}", hosts.join(", "))
                };
                Some(Recognised {
                    endpoint: self.endpoint_name(id)?,
                    how,
                    certainty,
                })
            })
            .collect()
    }

    /// The endpoints that answers of the DNS have told for an address and port.
    pub(super) fn learned(&self, address: SocketAddr) -> Vec<EndpointId> {
        let known = self.learned_at(address).into_iter();
        known.map(|learned| learned.endpoint).collect()
    }

    fn learned_flags(&self, address: SocketAddr) -> u16 {
        let known = self.learned_at(address).into_iter();
        known.fold(0, |flags, learned| flags | learned.flags)
    }

    fn learned_at(&self, address: SocketAddr) -> Vec<Learned> {
        if !self.inspects() {
            return Vec::new();
        }
        let key = Address::from_ip(address.ip());
        let port = address.port().to_be();
        let mut known = self.maps.learned.at(key, now().boot_ns);
        known.retain(|learned| learned.port == 0 || learned.port == port);
        known
    }

    pub(super) fn endpoint_name(&self, id: EndpointId) -> Option<String> {
        let numbers = &self.running.revision.numbers;
        numbers
            .endpoints
            .iter()
            .find(|(_, known)| **known == id)
            .map(|(name, _)| name.clone())
    }
}

fn endpoints_of(destination: &Destination) -> impl Iterator<Item = EndpointId> {
    destination
        .endpoints
        .into_iter()
        .filter(|endpoint| *endpoint != EndpointId::ANY && !endpoint.is_denied_prefix())
}
