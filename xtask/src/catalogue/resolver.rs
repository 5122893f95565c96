//! The table of resolvers that answer encrypted questions, of whom nobody on the host sees which.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context, Result, bail, ensure};

use super::{
    group::Group,
    row::{Plane, evidence, is_host},
};

pub(super) const TABLE: &str = "agent/data/encrypted_dns.tsv";

/// DNS over HTTPS and over TLS or QUIC. Port 53 is plain DNS, at the same addresses.
const PORTS: [u16; 2] = [443, 853];

/// One endpoint `encrypted-dns/PROVIDER` for each provider.
///
/// # Errors
/// If the table is malformed.
pub(super) fn read(table: &str) -> Result<BTreeMap<String, Group>> {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    ensure!(
        head == "provider\ttarget\tsource",
        "{TABLE}:1: unknown columns `{head}`"
    );
    let mut groups = BTreeMap::new();
    for (index, line) in lines.enumerate() {
        add(line, &mut groups).with_context(|| format!("{TABLE}:{}", index + 2))?;
    }
    Ok(groups)
}

fn add(line: &str, groups: &mut BTreeMap<String, Group>) -> Result<()> {
    let columns = line.split('\t').collect::<Vec<_>>();
    let [provider, target, source] = columns.as_slice() else {
        bail!(
            "three columns separated by tabs are needed, found {}",
            columns.len()
        );
    };
    let evidence = evidence(source);
    ensure!(!evidence.is_empty(), "`{source}` cannot be looked up");
    let group = groups
        .entry(format!("encrypted-dns/{provider}"))
        .or_insert_with(|| Group::new(provider, Plane::Resolve));
    group.ports.extend(PORTS);
    group.evidence.extend(evidence);
    if let Some(cidr) = cidr(target)? {
        group.cidrs.insert(cidr);
    } else {
        ensure!(
            is_host(target) && !target.contains('*'),
            "`{target}` is neither a host nor an address"
        );
        group.hosts.insert((*target).to_owned());
    }
    Ok(())
}

/// `8.8.8.8` as `8.8.8.8/32`; `None` if the text is no address.
fn cidr(text: &str) -> Result<Option<String>> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let Ok(address) = address.parse::<IpAddr>() else {
        return Ok(None);
    };
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = if length.is_empty() {
        full
    } else {
        length
            .parse::<u32>()
            .with_context(|| format!("read the length of `{text}`"))?
    };
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let is_network = (1..=full).contains(&length) && bits.checked_shl(length).unwrap_or(0) == 0;
    ensure!(is_network, "`{text}` is no network");
    Ok(Some(format!("{address}/{length}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_of_a_provider_become_one_endpoint_of_two_ports() {
        let groups = read(
            "provider\ttarget\tsource\n\
             acme\tdns.acme.org\ta/b:c\n\
             acme\t192.0.2.1\ta/b:c\n\
             acme\t2001:db8::/33\ta/b:d\n",
        )
        .expect("a table");
        let group = groups.get("encrypted-dns/acme").expect("one endpoint");
        assert_eq!(groups.len(), 1);
        assert_eq!(group.plane, Plane::Resolve);
        assert!(group.hosts.iter().eq(["dns.acme.org"]));
        assert!(group.cidrs.iter().eq(["192.0.2.1/32", "2001:db8::/33"]));
        assert!(group.ports.iter().eq(&PORTS));
        assert!(group.evidence.iter().eq(["a/b:c", "a/b:d"]));
    }

    fn check_error(row: &str, message: &str) {
        let error = read(&format!("provider\ttarget\tsource\n{row}\n")).expect_err(row);
        assert_eq!(error.root_cause().to_string(), message);
    }

    #[test]
    fn what_is_no_resolver_is_refused() {
        check_error(
            "a\tdns.a",
            "three columns separated by tabs are needed, found 2",
        );
        check_error("a\tdns.a\tRECALLED", "`RECALLED` cannot be looked up");
        check_error(
            "a\t*.a.org\tb/c",
            "`*.a.org` is neither a host nor an address",
        );
        check_error("a\t192.0.2.1/24\tb/c", "`192.0.2.1/24` is no network");
        check_error("a\t192.0.2.0/33\tb/c", "`192.0.2.0/33` is no network");
        check_error("a\t2001:db8::1/64\tb/c", "`2001:db8::1/64` is no network");
    }
}
