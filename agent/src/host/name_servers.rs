//! The resolvers that this host asks: from where every host has them written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use serde::Deserialize;

/// Where `nameserver` lines are (resolv.conf(5)): what programs ask, what systemd-resolved asks, and
/// what NetworkManager would write.
const FILES: [&str; 4] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/systemd/resolve/stub-resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

/// Where the kubelet is told which resolver its pods ask (`clusterDNS`).
const KUBELET: &str = "/var/lib/kubelet/config.yaml";

/// Stubs that may be there without being written down: systemd-resolved's two, and Docker's in each
/// container. Where they are not, anybody may listen, so that their answers are hints.
const STUBS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)),
];

/// How far the answers of a resolver are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// They decide at `connect()`.
    Full,
    /// They move decisions to the name.
    Hint,
}

/// The resolvers that are found, with those that the configuration adds. A file that is not there
/// names none.
#[must_use]
pub fn discover(configured: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, Trust> {
    let mut found = configured.clone();
    for file in FILES {
        if let Ok(text) = fs::read_to_string(Path::new(file)) {
            found.extend(name_servers(&text));
        }
    }
    if let Ok(text) = fs::read_to_string(KUBELET) {
        found.extend(cluster_dns(&text));
    }
    let stubs = STUBS.into_iter().map(|stub| (stub, Trust::Hint));
    let trusted = found.into_iter().map(|server| (server, Trust::Full));
    stubs.chain(trusted).collect()
}

/// The kubelet's own errors are its own to tell.
fn cluster_dns(text: &str) -> Vec<IpAddr> {
    #[derive(Default, Deserialize)]
    struct Kubelet {
        #[serde(default, rename = "clusterDNS")]
        cluster_dns: Vec<IpAddr>,
    }
    serde_saphyr::from_str::<Kubelet>(text)
        .unwrap_or_default()
        .cluster_dns
}

fn name_servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return None;
        }
        // A zone says on which interface, not who.
        let address = words.next()?.split('%').next()?;
        address.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_lines_name_a_server() {
        let text = "# nameserver 192.0.2.9\nsearch a.test\nnameserver 192.0.2.1\n\
                    nameserver\t2001:db8::1\nnameserver fe80::1%eth0 # here\nnameserver nonsense\n";
        let found: Vec<_> = name_servers(text).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["192.0.2.1", "2001:db8::1", "fe80::1"]);
    }

    #[test]
    fn the_kubelet_names_the_resolver_of_pods() {
        let text =
            "apiVersion: kubelet.config.k8s.io/v1beta1\nclusterDNS:\n- 10.96.0.10\n- fd00::a\n";
        let found: Vec<_> = cluster_dns(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.96.0.10", "fd00::a"]);
        assert!(cluster_dns("clusterDNS: nonsense").is_empty());
        assert!(cluster_dns("kind: KubeletConfiguration\n").is_empty());
    }

    #[test]
    fn what_is_configured_is_added_to_the_stubs() {
        let configured = BTreeSet::from([IpAddr::from([192, 0, 2, 1])]);
        let found = discover(&configured);
        assert_eq!(found.get(&IpAddr::from([192, 0, 2, 1])), Some(&Trust::Full));
        assert_eq!(
            found.get(&IpAddr::from([127, 0, 0, 11])),
            Some(&Trust::Hint)
        );
        let stub = BTreeSet::from([IpAddr::from([127, 0, 0, 11])]);
        let found = discover(&stub);
        assert_eq!(
            found.get(&IpAddr::from([127, 0, 0, 11])),
            Some(&Trust::Full)
        );
    }
}
