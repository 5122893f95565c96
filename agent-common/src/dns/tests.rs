use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{host::Octets, *};
use crate::{
    destination::EndpointId,
    name::{self, LabelKind, NameKey, NameNode, NameSet, NameTree},
    settings::Slot,
};

const QUESTION: &str = "api.model.test";
/// A compression pointer to the question's name.
const TO_QUESTION: [u8; 2] = [0xc0, 12];
const V4: [u8; 4] = [192, 0, 2, 1];

/// Knows `api.model.test` as 1, `*.other.test` as 2 and `third.test` as 3.
struct Tree(BTreeMap<NameKey, NameNode>);

impl NameTree for Tree {
    fn node(&self, key: &NameKey) -> Option<&NameNode> {
        self.0.get(key)
    }
}

fn tree() -> Tree {
    let node = |next, exact, below| {
        let set = |raw| {
            let mut set = NameSet::NONE;
            set.endpoints[0] = EndpointId::from_raw(raw);
            set
        };
        NameNode {
            next,
            kinds: 0,
            exact: set(exact),
            below: set(below),
        }
    };
    let key = |from, label| NameKey::new(from, LabelKind::Whole, name::hash(label), Slot::A);
    Tree(BTreeMap::from([
        (key(name::ROOT, "test"), node(2, 0, 0)),
        (key(2, "model"), node(3, 0, 0)),
        (key(2, "other"), node(0, 0, 2)),
        (key(2, "third"), node(0, 3, 0)),
        (key(3, "api"), node(0, 1, 0)),
    ]))
}

/// Each address, in order, with its time to live and the endpoints of the names.
type Learnt = Vec<(IpAddr, u32, Vec<u32>)>;

fn read(octets: &[u8]) -> (Learnt, Option<()>) {
    let tree = tree();
    let mut learnt = Learnt::new();
    let mut message = Octets::new(octets, &tree, |told| {
        let ids = told.sets.iter().map(|set| set.endpoints[0].to_raw());
        learnt.push((told.address.to_ip(), told.ttl, ids.collect()));
    });
    let outcome = answer(&mut message);
    (learnt, outcome)
}

fn check(octets: &[u8], addresses: &[(&str, &[u32])]) {
    let (learnt, outcome) = read(octets);
    let shown: Vec<_> = learnt
        .iter()
        .map(|(ip, _, ids)| (ip.to_string(), ids.as_slice()))
        .collect();
    let shown: Vec<_> = shown.iter().map(|(ip, ids)| (ip.as_str(), *ids)).collect();
    assert_eq!((shown.as_slice(), outcome), (addresses, Some(())));
}

fn plain(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(kind.to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
    out
}

fn a(owner: &[u8]) -> Vec<u8> {
    record(owner, kind::A, 300, &V4)
}

fn cname(owner: &str, target: &str) -> Vec<u8> {
    record(&plain(owner), kind::CNAME, 300, &plain(target))
}

fn reply_to(question: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 0x81, 0x80, 0, 1];
    out.extend((records.len() as u16).to_be_bytes());
    out.extend([0, 0, 0, 0]);
    out.extend(question);
    out.extend([0, 1, 0, 1]);
    out.extend(records.concat());
    out
}

fn reply(question: &str, records: &[Vec<u8>]) -> Vec<u8> {
    reply_to(&plain(question), records)
}

fn svcb(kind: u16, priority: u16, target: &str, parameters: &[(u16, &[u8])]) -> Vec<u8> {
    let mut data = priority.to_be_bytes().to_vec();
    data.extend(plain(target));
    for (key, value) in parameters {
        data.extend(key.to_be_bytes());
        data.extend((value.len() as u16).to_be_bytes());
        data.extend(*value);
    }
    record(&TO_QUESTION, kind, 300, &data)
}

#[test]
fn addresses_of_a_governed_name_are_learnt() {
    let v6 = record(&TO_QUESTION, kind::AAAA, 300, &[0x20; 16]);
    check(
        &reply(QUESTION, &[a(&TO_QUESTION), v6]),
        &[
            ("192.0.2.1", &[1]),
            ("2020:2020:2020:2020:2020:2020:2020:2020", &[1]),
        ],
    );
    check(
        &reply("ordinary.test", &[a(&TO_QUESTION)]),
        &[("192.0.2.1", &[])],
    );
}

#[test]
fn spelling_and_compression_do_not_hide_a_name() {
    check(
        &reply("aPi.MODEL.Test", &[a(&TO_QUESTION)]),
        &[("192.0.2.1", &[1])],
    );
    // An alias of `x`, followed by a pointer to what comes after the question's first label.
    let target = [&b"\x01x"[..], &[0xc0, 16]].concat();
    let alias = record(&TO_QUESTION, kind::CNAME, 300, &target);
    check(
        &reply("www.other.test", &[alias, a(&target)]),
        &[("192.0.2.1", &[2])],
    );
}

#[test]
fn an_alias_counts_wherever_it_stands() {
    let chain = [
        cname("start.test", "one.test"),
        cname("one.test", "two.test"),
        cname("two.test", QUESTION),
        a(&plain(QUESTION)),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let records = order.map(|index: usize| chain[index].clone());
        check(&reply("start.test", &records), &[("192.0.2.1", &[1])]);
    }
}

#[test]
fn two_governed_names_are_kept() {
    let records = [
        cname(QUESTION, "a.other.test"),
        cname("a.other.test", "third.test"),
        a(&plain("third.test")),
    ];
    check(&reply(QUESTION, &records), &[("192.0.2.1", &[1, 2])]);
}

#[test]
fn hints_are_addresses() {
    let two = [V4, [192, 0, 2, 2]].concat();
    for kind in [kind::HTTPS, kind::SVCB] {
        let parameters: &[(u16, &[u8])] = &[
            (1, b"\x02h2"),
            (IPV4_HINT, &two),
            (5, &[7; 40]),
            (IPV6_HINT, &[0x20; 16]),
        ];
        check(
            &reply(QUESTION, &[svcb(kind, 1, ".", parameters)]),
            &[
                ("192.0.2.1", &[1]),
                ("192.0.2.2", &[1]),
                ("2020:2020:2020:2020:2020:2020:2020:2020", &[1]),
            ],
        );
    }
    let named = svcb(kind::HTTPS, 1, "a.other.test", &[(IPV4_HINT, &V4)]);
    check(&reply("plain.test", &[named]), &[("192.0.2.1", &[2])]);
}

#[test]
fn an_alias_in_an_https_record_is_a_name_like_any() {
    let alias = svcb(kind::HTTPS, 0, QUESTION, &[]);
    let records = [alias, a(&plain(QUESTION))];
    check(&reply("start.test", &records), &[("192.0.2.1", &[1])]);
}

#[test]
fn hints_end_with_their_parameter_and_their_record() {
    let odd = svcb(kind::HTTPS, 1, ".", &[(IPV4_HINT, &[192, 0, 2, 1, 9, 9])]);
    check(&reply(QUESTION, &[odd]), &[("192.0.2.1", &[1])]);
    let many = svcb(kind::HTTPS, 1, ".", &[(IPV4_HINT, &V4.repeat(20))]);
    let (learnt, outcome) = read(&reply(QUESTION, &[many]));
    assert_eq!((learnt.len(), outcome), (MAX_HINTS as usize, Some(())));
}

#[test]
fn a_hint_that_its_record_does_not_hold_is_none() {
    // It claims four octets, of which the record has none; what follows is the next record.
    let mut short = svcb(kind::HTTPS, 1, ".", &[(IPV4_HINT, &V4)]);
    short.truncate(short.len() - 4);
    let len_at = 2 + 8;
    short[len_at + 1] -= 4;
    check(
        &reply(QUESTION, &[short, a(&TO_QUESTION)]),
        &[("192.0.2.1", &[1])],
    );
}

#[test]
fn records_without_data_hide_nothing() {
    for kind in [kind::CNAME, kind::HTTPS, kind::SVCB, kind::A, kind::AAAA] {
        for len in 0..3 {
            let empty = record(&TO_QUESTION, kind, 300, &vec![0; len]);
            let before = reply(QUESTION, &[empty.clone(), a(&TO_QUESTION)]);
            check(&before, &[("192.0.2.1", &[1])]);
            let after = reply(QUESTION, &[a(&TO_QUESTION), empty]);
            check(&after, &[("192.0.2.1", &[1])]);
        }
    }
}

#[test]
fn an_alias_without_data_does_not_borrow_the_next_name() {
    let empty = record(&TO_QUESTION, kind::CNAME, 300, &[]);
    let records = [empty, a(&plain("third.test"))];
    check(&reply("plain.test", &records), &[("192.0.2.1", &[])]);
}

#[test]
fn only_the_answer_section_counts() {
    let mut whole = reply(QUESTION, &[a(&TO_QUESTION)]);
    whole[11] = 2;
    whole.extend(record(&[0], 41, 0, &[0; 12]));
    whole.extend(record(&TO_QUESTION, kind::A, 300, &[192, 0, 2, 9]));
    check(&whole, &[("192.0.2.1", &[1])]);
}

#[test]
fn what_is_no_answer_is_nothing_to_read() {
    let whole = reply(QUESTION, &[a(&TO_QUESTION)]);
    for (at, octet) in [
        // A query, another operation, `SERVFAIL`, `NXDOMAIN`; no question, two; no answer.
        (2, 0x01),
        (2, 0xa9),
        (3, 0x82),
        (3, 0x83),
        (5, 0),
        (5, 2),
        (7, 0),
    ] {
        let mut other = whole.clone();
        other[at] = octet;
        check(&other, &[]);
    }
}

#[test]
fn a_truncated_answer_still_tells_what_it_has() {
    let mut whole = reply(QUESTION, &[a(&TO_QUESTION)]);
    whole[2] |= 2;
    check(&whole, &[("192.0.2.1", &[1])]);
}

#[test]
fn every_length_of_a_message_ends_in_peace() {
    let whole = reply(
        QUESTION,
        &[
            cname(QUESTION, "a.other.test"),
            svcb(kind::HTTPS, 1, "third.test", &[(IPV4_HINT, &V4)]),
            a(&TO_QUESTION),
        ],
    );
    assert_eq!(read(&whole).1, Some(()));
    for len in 0..whole.len() {
        let (learnt, outcome) = read(&whole[..len]);
        // Only of the last record's data can something be missing after an address was learnt.
        let n_learnt = usize::from(len >= whole.len() - V4.len());
        assert_eq!((learnt.len(), outcome), (n_learnt, None), "{len}");
    }
}

#[test]
fn loops_of_pointers_end() {
    for looped in [
        &[0xc0_u8, 12][..],
        &[0xc0, 14, 0xc0, 12],
        &[1, b'a', 0xc0, 12],
        &[0x80, 0],
        &[0x40],
    ] {
        let (learnt, outcome) = read(&reply_to(looped, &[a(&TO_QUESTION)]));
        assert_eq!((learnt.len(), outcome), (0, None), "{looped:?}");
    }
}

#[test]
fn many_addresses_are_all_learnt() {
    for n in [20, MAX_RECORDS as usize] {
        let (learnt, outcome) = read(&reply(QUESTION, &vec![a(&TO_QUESTION); n]));
        assert_eq!((learnt.len(), outcome), (n, Some(())));
    }
    let too_many = vec![a(&TO_QUESTION); MAX_RECORDS as usize + 1];
    let (learnt, outcome) = read(&reply(QUESTION, &too_many));
    assert_eq!((learnt.len(), outcome), (MAX_RECORDS as usize, None));
}

#[test]
fn long_labels_and_names_are_read() {
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}.{}.other.test", "b".repeat(48));
    assert_eq!(long.len(), 251);
    check(&reply(&long, &[a(&TO_QUESTION)]), &[("192.0.2.1", &[2])]);
    let deep = format!("{}other.test", "a.".repeat(46 - 1));
    check(&reply(&deep, &[a(&TO_QUESTION)]), &[("192.0.2.1", &[2])]);
    // More labels than are followed: given up on, and counted as unread.
    let deeper = format!("{}other.test", "a.".repeat(46));
    assert_eq!(read(&reply(&deeper, &[a(&TO_QUESTION)])), (vec![], None));
}

#[test]
fn times_to_live_are_bounded() {
    let records = [0, 300, u32::MAX].map(|ttl| record(&TO_QUESTION, kind::A, ttl, &V4));
    let (learnt, _) = read(&reply(QUESTION, &records));
    let ttls: Vec<_> = learnt.iter().map(|(_, ttl, _)| *ttl).collect();
    assert_eq!(ttls, [0, 300, u32::MAX]);
    let seconds = ttls.iter().map(|ttl| lifetime_ns(*ttl) / 1_000_000_000);
    assert_eq!(seconds.collect::<Vec<_>>(), [60, 300, 86_400]);
}

#[test]
fn addresses_are_normalised() {
    let mapped = Ipv4Addr::from(V4).to_ipv6_mapped().octets();
    let records = [mapped, Ipv6Addr::UNSPECIFIED.octets()]
        .map(|octets| record(&TO_QUESTION, kind::AAAA, 300, &octets));
    check(
        &reply(QUESTION, &records),
        &[("192.0.2.1", &[1]), ("::1", &[1])],
    );
}
