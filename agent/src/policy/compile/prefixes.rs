//! Rows of the longest-prefix map.
//!
//! The kernel finds one row for an address and a port, the one with the longest prefix, so each
//! row lists the endpoints of all shorter prefixes around it. Rows for every port are searched
//! separately.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    abi::MAX_PREFIXES,
    destination::{Destination, ENDPOINTS_PER_ADDRESS, EndpointId},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::numbers::{CompileError, Numbers, number};
use crate::policy::{
    Kind, PolicySet,
    set::{prefix_name, prefixes_of},
};

/// One row for `PREFIXES`; the caller maps IPv4 into IPv6.
///
/// A destination without endpoints is a hole: nobody governs what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixRow {
    pub net: IpNet,
    /// [`agent_common::destination::ANY_PORT`] stands for every port.
    pub port: u16,
    pub destination: Destination,
}

type Nets = BTreeMap<IpNet, BTreeSet<EndpointId>>;

const ALL_V4: IpNet = IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0));
/// Where [`ALL_V4`] stands among IPv6 prefixes.
const MAPPED: Ipv6Net =
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

pub(super) fn rows(set: &PolicySet, numbers: &Numbers) -> Result<Vec<PrefixRow>, CompileError> {
    let mut by_port = BTreeMap::<u16, Nets>::new();
    let mut add = |net: IpNet, port: u16, endpoint: EndpointId| {
        by_port
            .entry(port)
            .or_default()
            .entry(net)
            .or_default()
            .insert(endpoint);
    };
    for endpoint in set.catalogue.iter() {
        let id = number(&numbers.endpoints, Kind::ModelEndpoint, &endpoint.name)?;
        for net in &endpoint.cidrs {
            endpoint.ports.iter().for_each(|port| add(*net, *port, id));
        }
    }
    for (net, port) in set.denies.values().flat_map(prefixes_of) {
        add(
            net,
            port,
            number(&numbers.prefixes, Kind::EgressDeny, &prefix_name(net, port))?,
        );
    }
    let mut rows = Vec::new();
    for (port, nets) in by_port {
        let nets = with_hole_for_v4(nets);
        for (net, endpoints) in inherited(&nets) {
            rows.push(row(net, port, &endpoints, numbers)?);
        }
    }
    if rows.len() > MAX_PREFIXES as usize {
        return Err(CompileError::TooManyPrefixes { needed: rows.len() });
    }
    Ok(rows)
}

/// Keeps a short IPv6 prefix, such as `::/0`, from meaning IPv4 as well.
fn with_hole_for_v4(mut nets: Nets) -> Nets {
    let surrounds_v4 = |net: &IpNet| matches!(net, IpNet::V6(net) if net.contains(&MAPPED));
    if nets.keys().any(surrounds_v4) {
        nets.entry(ALL_V4).or_default();
    }
    nets
}

/// Each prefix with its own endpoints and those of the prefixes around it.
fn inherited(nets: &Nets) -> Vec<(IpNet, BTreeSet<EndpointId>)> {
    let mut all = Vec::<(IpNet, BTreeSet<EndpointId>)>::new();
    // Ordered by address, then length: what surrounds a prefix comes before it.
    let mut around = Vec::<usize>::new();
    for (net, own) in nets {
        while around
            .pop_if(|index| {
                !all.get(*index)
                    .is_some_and(|(outer, _)| outer.contains(net))
            })
            .is_some()
        {}
        let outer = around.last().and_then(|index| all.get(*index));
        let mut endpoints = outer.map_or_else(BTreeSet::new, |(_, endpoints)| endpoints.clone());
        endpoints.extend(own);
        around.push(all.len());
        all.push((*net, endpoints));
    }
    all
}

fn row(
    net: IpNet,
    port: u16,
    endpoints: &BTreeSet<EndpointId>,
    numbers: &Numbers,
) -> Result<PrefixRow, CompileError> {
    if endpoints.len() > ENDPOINTS_PER_ADDRESS {
        let named = numbers.endpoints.iter().chain(&numbers.prefixes);
        let names = named
            .filter(|(_, id)| endpoints.contains(id))
            .map(|(name, _)| name.clone());
        return Err(CompileError::TooManyOverlaps {
            net,
            port,
            names: names.collect(),
        });
    }
    Ok(PrefixRow {
        net,
        port,
        destination: Destination::of(endpoints.iter().copied()),
    })
}
