//! Answers of the DNS, against `hickory-proto`.

use std::{collections::BTreeSet, sync::LazyLock};

use agent_common::{
    address::Address,
    dns::{self, MAX_RECORDS, host::Octets},
};
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData,
        rdata::svcb::{SVCB, SvcParamValue},
    },
};

use crate::{
    endpoint::{HostPattern, is_meant},
    tree::{Tree, endpoints},
};

/// Patterns that the kernel knows exactly, so that finding too much is a finding.
static PATTERNS: LazyLock<Vec<HostPattern>> = LazyLock::new(|| {
    ["api.model.test", "*.other.test", "b.*.cloud.test", "a.test"]
        .iter()
        .filter_map(|text| HostPattern::parse(text).ok())
        .collect()
});

static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::of(&PATTERNS));

/// Names of one answer that the kernel keeps.
const MAX_GOVERNED: usize = dns::host::MAX_SETS;

struct Told {
    address: Address,
    endpoints: BTreeSet<u32>,
}

/// An address is learnt only if it is in the answer, and only for endpoints whose names are; and
/// all addresses of an answer to a governed name are learnt, within the kernel's limits.
///
/// # Panics
/// If not.
pub fn check(octets: &[u8]) {
    let mut told = Vec::new();
    let mut message = Octets::new(octets, &*TREE, |one| {
        told.push(Told {
            address: one.address,
            endpoints: one.sets.iter().flat_map(endpoints).collect(),
        });
    });
    let outcome = dns::answer(&mut message);
    let Ok(reference) = Message::from_vec(octets) else {
        return;
    };
    let reference = Reference::of(&reference);
    for Told { address, endpoints } in &told {
        assert!(
            reference.addresses.contains(address) || reference.hints.contains(address),
            "{address:?} is nowhere in {reference:?}"
        );
        assert!(
            endpoints.is_subset(&reference.endpoints(usize::MAX)),
            "{endpoints:?} are more than those of {reference:?}"
        );
    }
    if !reference.is_answer {
        assert!(told.is_empty(), "{reference:?} is no answer");
        return;
    }
    if outcome.is_none() {
        let n_pointers = octets.iter().filter(|octet| **octet >= 0xc0).count();
        assert!(
            reference.n_records > MAX_RECORDS as usize || reference.n_labels + n_pointers > 24,
            "{reference:?} was not read"
        );
        return;
    }
    let expected = reference.endpoints(MAX_GOVERNED);
    for address in &reference.addresses {
        let mut same = told.iter().filter(|one| one.address == *address);
        assert!(
            same.any(|one| expected.is_subset(&one.endpoints)),
            "{address:?} with {expected:?} of {reference:?} is not learnt"
        );
    }
}

#[derive(Debug, Default)]
struct Reference {
    is_answer: bool,
    n_records: usize,
    /// Labels of the longest name.
    n_labels: usize,
    /// What the question and each alias stand for, in order; nothing for an ordinary name.
    named: Vec<BTreeSet<u32>>,
    addresses: BTreeSet<Address>,
    hints: BTreeSet<Address>,
}

impl Reference {
    fn of(message: &Message) -> Self {
        let metadata = &message.metadata;
        let mut reference = Self {
            // Only the four bits of the header: EDNS adds others.
            is_answer: metadata.message_type == MessageType::Response
                && metadata.op_code == OpCode::Query
                && metadata.response_code.low() == ResponseCode::NoError.low()
                && message.queries.len() == 1,
            n_records: message.answers.len(),
            ..Self::default()
        };
        for query in &message.queries {
            reference.name(query.name());
        }
        for record in &message.answers {
            reference.n_labels = reference.n_labels.max(record.name.iter().count());
            match &record.data {
                RData::A(address) => reference.address(address.0.into()),
                RData::AAAA(address) => reference.address(address.0.into()),
                RData::CNAME(target) => reference.name(&target.0),
                RData::HTTPS(service) => reference.service(&service.0),
                RData::SVCB(service) => reference.service(service),
                _ => {}
            }
        }
        reference
    }

    fn address(&mut self, ip: std::net::IpAddr) {
        self.addresses.insert(Address::from_ip(ip));
    }

    fn name(&mut self, name: &Name) {
        self.n_labels = self.n_labels.max(name.iter().count());
        // A dot inside of a label is none between two.
        let labels = name.iter().map(|label| {
            let octets = label.iter().map(|octet| char::from(*octet));
            octets.collect::<String>().replace('.', "?")
        });
        let host = labels.collect::<Vec<_>>().join(".");
        let numbered = PATTERNS.iter().zip(1..);
        let meant = numbered.filter(|(pattern, _)| is_meant(pattern, &host));
        self.named.push(meant.map(|(_, number)| number).collect());
    }

    fn service(&mut self, service: &SVCB) {
        if !service.target_name.is_root() {
            self.name(&service.target_name);
        }
        for (_, value) in &service.svc_params {
            match value {
                SvcParamValue::Ipv4Hint(list) => {
                    let all = list.0.iter().map(|one| Address::from_ip(one.0.into()));
                    self.hints.extend(all);
                }
                SvcParamValue::Ipv6Hint(list) => {
                    let all = list.0.iter().map(|one| Address::from_ip(one.0.into()));
                    self.hints.extend(all);
                }
                _ => {}
            }
        }
    }

    /// Of the first `n` governed names.
    fn endpoints(&self, n: usize) -> BTreeSet<u32> {
        let governed = self.named.iter().filter(|set| !set.is_empty());
        governed.take(n).flatten().copied().collect()
    }
}
