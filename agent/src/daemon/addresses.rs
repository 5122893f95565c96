//! Which addresses the endpoints have: answers of the resolver, kept a while beyond their time.
//!
//! Pure: answers and times come in, the wanted content of the address map goes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use agent_common::{
    address::Address,
    destination::{Destination, EndpointId},
};

/// How long an address stays after the resolver has stopped returning it: callers may still use
/// what they resolved before.
const GRACE: Duration = Duration::from_secs(1800);

/// All addresses of all hosts.
#[derive(Debug, Default)]
pub(super) struct AddressBook {
    /// Host → address → boot-clock instant at which it is dropped.
    hosts: BTreeMap<String, BTreeMap<IpAddr, u64>>,
}

/// What the address map should hold.
pub(super) type Wanted = BTreeMap<(Address, u16), Destination>;

/// Endpoint and ports of each host that is resolved.
pub(super) type HostUse = BTreeMap<String, BTreeSet<(EndpointId, u16)>>;

impl AddressBook {
    /// Takes over an answer; addresses that it no longer has stay for their grace.
    pub(super) fn learn(
        &mut self,
        host: &str,
        addresses: &BTreeSet<IpAddr>,
        ttl: Duration,
        now_ns: u64,
    ) {
        let until = now_ns.saturating_add((ttl + GRACE).as_nanos() as u64);
        let known = self.hosts.entry(host.to_owned()).or_default();
        for address in addresses {
            known.insert(*address, until);
        }
    }

    /// Drops what has outlived its grace.
    pub(super) fn expire(&mut self, now_ns: u64) {
        for addresses in self.hosts.values_mut() {
            // The last answer stays for ever if the resolver stays silent: a resolver that is
            // away must not open a door.
            let newest = addresses.values().max().copied();
            addresses.retain(|_, until| *until > now_ns || Some(*until) == newest);
        }
    }

    /// Names of the hosts that resolve to `address`.
    pub(super) fn hosts_of(&self, address: IpAddr) -> Vec<&str> {
        self.hosts
            .iter()
            .filter(|(_, addresses)| addresses.contains_key(&address))
            .map(|(host, _)| host.as_str())
            .collect()
    }

    pub(super) fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        self.hosts
            .get(host)
            .map(|addresses| addresses.keys().copied().collect())
            .unwrap_or_default()
    }

    /// The address map for `uses`; an address of several endpoints lists them all and has the
    /// `flags` of them all.
    pub(super) fn wanted(&self, uses: &HostUse, flags: &BTreeMap<EndpointId, u32>) -> Wanted {
        let mut sets: BTreeMap<(Address, u16), BTreeSet<EndpointId>> = BTreeMap::new();
        for (host, endpoints) in uses {
            let literal = host.parse::<IpAddr>().ok();
            let resolved = self.hosts.get(host).into_iter().flat_map(BTreeMap::keys);
            for ip in resolved.copied().chain(literal) {
                for (endpoint, port) in endpoints {
                    let key = (Address::from_ip(ip), *port);
                    sets.entry(key).or_default().insert(*endpoint);
                }
            }
        }
        sets.into_iter()
            .map(|(key, endpoints)| {
                let mut destination = Destination::of(endpoints.iter().copied());
                for endpoint in &endpoints {
                    destination.flags |= flags.get(endpoint).copied().unwrap_or(0);
                }
                (key, destination)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TTL: Duration = Duration::from_secs(60);

    fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    fn uses(rows: &[(&str, u32)]) -> HostUse {
        let mut uses = HostUse::new();
        for (host, endpoint) in rows {
            let endpoint = EndpointId::from_raw(*endpoint);
            uses.entry((*host).to_owned())
                .or_default()
                .insert((endpoint, 443));
        }
        uses
    }

    fn shown(wanted: &Wanted) -> Vec<(String, Vec<u32>)> {
        wanted
            .iter()
            .map(|((address, _), destination)| {
                let endpoints = destination.endpoints.iter().map(|id| id.to_raw());
                let endpoints = endpoints.filter(|id| *id != 0).collect();
                (address.to_ip().to_string(), endpoints)
            })
            .collect()
    }

    #[test]
    fn an_address_of_two_hosts_lists_both_endpoints() {
        let mut book = AddressBook::default();
        book.learn("a.example", &ips(&["192.0.2.1", "192.0.2.2"]), TTL, 0);
        book.learn("b.example", &ips(&["192.0.2.2"]), TTL, 0);
        let wanted = book.wanted(
            &uses(&[("a.example", 1), ("b.example", 2)]),
            &BTreeMap::new(),
        );
        assert_eq!(
            shown(&wanted),
            [
                ("192.0.2.1".to_owned(), vec![1]),
                ("192.0.2.2".to_owned(), vec![1, 2])
            ]
        );
        let found = book.hosts_of("192.0.2.2".parse().expect("an address"));
        assert_eq!(found, ["a.example", "b.example"]);
    }

    #[test]
    fn an_address_that_moved_away_stays_for_its_grace() {
        let mut book = AddressBook::default();
        book.learn("a.example", &ips(&["192.0.2.1"]), TTL, 0);
        book.learn("a.example", &ips(&["192.0.2.9"]), TTL, 60 * SECOND);
        book.expire(1_859 * SECOND);
        assert_eq!(book.addresses_of("a.example").len(), 2);
        book.expire(1_861 * SECOND);
        let left = book.addresses_of("a.example");
        assert_eq!(left, ["192.0.2.9".parse::<IpAddr>().expect("an address")]);
    }

    #[test]
    fn a_silent_resolver_forgets_nothing() {
        let mut book = AddressBook::default();
        book.learn("a.example", &ips(&["192.0.2.1"]), TTL, 0);
        book.expire(u64::MAX);
        assert_eq!(book.addresses_of("a.example").len(), 1);
    }

    #[test]
    fn a_host_that_is_an_address_needs_no_answer() {
        let book = AddressBook::default();
        let wanted = book.wanted(&uses(&[("10.1.2.3", 5)]), &BTreeMap::new());
        assert_eq!(shown(&wanted), [("10.1.2.3".to_owned(), vec![5])]);
    }
}
