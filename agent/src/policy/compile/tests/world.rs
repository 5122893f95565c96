//! A small world with every kind of rule, generated.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use agent_common::{
    destination::EndpointId,
    identity::IdentityId,
    policy::{Posture, RuleId},
    settings::Mode,
};
use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    endpoint::{Catalogue, Endpoint, Plane, Risk, Source},
    identity::{Identity, Labels, LocalUser},
    policy::{
        ClockAnchor, EgressDeny, End, InvocationGrant, Limits, NamePattern, Numbers, Parts,
        PolicySet, PostureRule, PostureScope, Response, Span, Subject, UserSelector, Validity,
        set::Grant,
    },
};

pub(super) const ENDPOINTS: [&str; 5] = ["a", "a/x", "b", "c", "m"];
pub(super) const TICK_NS: u64 = 1_000_000_000;
const BOOT_TICKS: u64 = 1_000;

#[derive(Debug)]
pub(super) struct World {
    pub set: PolicySet,
    pub numbers: Numbers,
    pub identities: Vec<Identity>,
    pub anchor: ClockAnchor,
}

impl World {
    pub(super) fn empty() -> Self {
        let mut set = PolicySet::default();
        set.catalogue = catalogue();
        Self::new(set)
    }

    pub(super) fn new(set: PolicySet) -> Self {
        let anchor = ClockAnchor {
            wall: instant(0),
            boot_ns: BOOT_TICKS * TICK_NS,
        };
        let numbers = number(&set);
        Self {
            set,
            numbers,
            identities: identities(),
            anchor,
        }
    }

    pub(super) fn all_identities(&self) -> Vec<Identity> {
        let unknown = Identity {
            id: IdentityId::UNKNOWN,
            labels: Labels::default().into(),
        };
        let mut all = self.identities.clone();
        all.push(unknown);
        all
    }
}

/// `ticks` after the anchor.
pub(super) fn instant(ticks: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + ticks)
}

/// Numbers in reverse order, so that nothing can depend on the order of numbers.
pub(super) fn number(set: &PolicySet) -> Numbers {
    let mut numbers = Numbers::default();
    let all = |names: Vec<String>| {
        (1..)
            .zip(names.into_iter().rev())
            .collect::<Vec<(u32, _)>>()
    };
    let owned = |name: &str| name.to_owned();
    for (raw, name) in all(set.grant_names().map(owned).collect()) {
        numbers.grants.insert(name, RuleId::from_raw(raw));
    }
    for (raw, name) in all(set.deny_names().map(owned).collect()) {
        numbers.denies.insert(name, RuleId::from_raw(raw + 1000));
    }
    for (raw, name) in all(set.endpoint_names().map(owned).collect()) {
        numbers.endpoints.insert(name, EndpointId::from_raw(raw));
    }
    for (raw, name) in all(set.prefix_names().into_iter().collect()) {
        numbers
            .prefixes
            .insert(name, EndpointId::from_raw(EndpointId::FIRST_PREFIX + raw));
    }
    numbers
}

pub(super) fn catalogue() -> Catalogue {
    let endpoint = |name: &str, provider: &str, plane, cidrs: &[&str], ports: &[u16]| Endpoint {
        name: name.to_owned(),
        provider: provider.to_owned(),
        plane,
        hosts: Vec::new(),
        cidrs: cidrs
            .iter()
            .map(|net| net.parse().expect("a prefix"))
            .collect(),
        ports: ports.to_vec(),
        risk: Risk::default(),
        shared: false,
        exclusive: false,
        source: Source::Api,
    };
    Catalogue::new([
        endpoint("a", "p", Plane::Invoke, &["10.0.0.0/8"], &[443]),
        endpoint(
            "a/x",
            "p",
            Plane::Invoke,
            &["10.1.0.0/16", "::/0"],
            &[443, 0],
        ),
        endpoint("b", "q", Plane::Invoke, &[], &[443]),
        endpoint("c", "q", Plane::Manage, &["fc00::/7"], &[0]),
        endpoint("m", "p", Plane::Manage, &[], &[443]),
    ])
}

fn identities() -> Vec<Identity> {
    let container = "c".repeat(64);
    let paths = [
        "/s.slice/u1.service".to_owned(),
        "/s.slice/u2.service/child".to_owned(),
        "/t.slice".to_owned(),
        format!("/s.slice/docker-{container}.scope"),
        "/kubepods/pod6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b/x".to_owned(),
    ];
    let mut labels: Vec<_> = paths
        .iter()
        .map(|path| Labels::from_cgroup_path(path))
        .collect();
    labels.extend(narrower_identities());
    let identity = |(raw, labels): (u32, Labels)| Identity {
        id: IdentityId::from_raw(raw),
        labels: labels.into(),
    };
    (1..).zip(labels).map(identity).collect()
}

/// Of which more is known than a path says.
fn narrower_identities() -> Vec<Labels> {
    let text = |text: &str| Some(text.to_owned());
    let unit = Labels::from_cgroup_path("/s.slice/u2.service");
    let bob = LocalUser {
        uid: 7,
        name: text("bob"),
    };
    let pod = Labels {
        container: text("c1"),
        container_name: text("web"),
        image: text("ghcr.io/x/web:1"),
        pod: text("6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b"),
        namespace: text("shop"),
        service_account: text("api"),
        pod_labels: [("app".to_owned(), "x".to_owned())].into(),
        ..Labels::default()
    };
    vec![
        Labels {
            exe: text("/bin/x"),
            ..unit.clone()
        },
        Labels {
            exe: text("/bin/x"),
            user: Some(bob),
            ..unit.clone()
        },
        Labels {
            task: text("t"),
            ..unit
        },
        Labels::from_cgroup_path("/s.slice/user@7.service/u1.service"),
        Labels {
            is_unresolved: true,
            service_account: text("other"),
            ..pod.clone()
        },
        pod,
    ]
}

pub(super) fn addresses() -> Vec<(IpAddr, u16)> {
    let v4 = [[10, 1, 2, 3], [10, 2, 0, 1], [192, 0, 2, 1]]
        .map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = [0xfc00, 0x2001].map(|first| IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 1)));
    let all = v4.into_iter().chain(v6);
    all.flat_map(|address| [443, 80].map(|port| (address, port)))
        .collect()
}

fn subject() -> impl Strategy<Value = Subject> {
    let unit = |text: &str| Parts {
        unit: Some(NamePattern::new(text)),
        ..Parts::default()
    };
    let slice = |text: &str| Parts {
        slice: Some(NamePattern::new(text)),
        ..Parts::default()
    };
    let cgroup = |text: &str| Parts {
        cgroup: Some(text.to_owned()),
        ..Parts::default()
    };
    let pod = Some("6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b".to_owned());
    let parts = vec![
        unit("u1.service"),
        unit("u*.service"),
        slice("s.slice"),
        slice("*.slice"),
        cgroup("/s.slice"),
        cgroup("/"),
        Parts {
            container: Some("c".repeat(64)),
            ..Parts::default()
        },
        Parts {
            pod,
            ..Parts::default()
        },
        Parts {
            slice: slice("s.slice").slice,
            ..unit("u2.service")
        },
        Parts {
            cgroup: Some("/t.slice".to_owned()),
            ..unit("u1.service")
        },
    ];
    let parts = parts
        .into_iter()
        .chain(narrower_parts())
        .collect::<Vec<_>>();
    prop_oneof![1 => Just(Subject::Any), 4 => select(parts).prop_map(|parts| Subject::Parts(Arc::new(parts)))]
}

fn narrower_parts() -> Vec<Parts> {
    let text = |text: &str| Some(text.to_owned());
    let pattern = |text: &str| Some(NamePattern::new(text));
    let none = Parts::default;
    vec![
        Parts {
            user_unit: pattern("u1.service"),
            ..none()
        },
        Parts {
            container_name: pattern("web"),
            ..none()
        },
        Parts {
            image: pattern("ghcr.io/x/*"),
            ..none()
        },
        Parts {
            namespace: text("shop"),
            ..none()
        },
        Parts {
            namespace: text("shop"),
            service_account: text("api"),
            ..none()
        },
        Parts {
            pod_labels: [("app".to_owned(), "x".to_owned())].into(),
            ..none()
        },
        Parts {
            task: text("t"),
            ..none()
        },
        Parts {
            exe: text("/bin/x"),
            ..none()
        },
        Parts {
            exe: text("/bin/x"),
            user: Some(UserSelector::Name("bob".to_owned())),
            ..none()
        },
        Parts {
            unit: pattern("u2.service"),
            user: Some(UserSelector::Uid(7)),
            ..none()
        },
    ]
}

fn selectors() -> impl Strategy<Value = Vec<String>> {
    vec(select(vec!["*", "a", "a/x", "p", "q", "b", "c", "m"]), 1..3)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn planes() -> impl Strategy<Value = BTreeSet<Plane>> {
    let sets = vec![
        vec![Plane::Invoke],
        vec![Plane::Manage],
        Plane::ALL.to_vec(),
    ];
    select(sets).prop_map(BTreeSet::from_iter)
}

fn grant() -> impl Strategy<Value = Grant> {
    let times = (option::of(-10..20_i64), option::of(1..15_i64));
    (vec(subject(), 1..3), selectors(), planes(), times).prop_map(
        |(subjects, endpoints, planes, times)| {
            let (start, length) = times;
            let span = Span {
                not_before: start.map(instant),
                not_after: length.map(|length| instant(start.unwrap_or(-5) + length)),
            };
            let validity = Validity {
                not_before: span.not_before,
                end: span.not_after.map_or(End::Never, End::At),
            };
            let grant = InvocationGrant {
                subjects,
                endpoints,
                planes,
                purpose: "x".to_owned(),
                ticket: None,
                validity,
                limits: Limits::default(),
                requires_approval: false,
                gateway: false,
                on_anomaly: Response::Notify,
            };
            Grant {
                grant,
                span,
                is_over: false,
                digest: String::new(),
                needs: Vec::new(),
            }
        },
    )
}

fn deny() -> impl Strategy<Value = EgressDeny> {
    let nets = [
        "10.0.0.0/8",
        "10.1.2.0/24",
        "0.0.0.0/0",
        "::/0",
        "fc00::/8",
        "192.0.2.1/32",
    ];
    let nets = nets.map(|net| net.parse().expect("a prefix"));
    let cidrs = vec(select(nets.to_vec()), 0..2);
    let ports = select(vec![vec![0], vec![443], vec![80, 443]]).prop_map(BTreeSet::from_iter);
    let endpoints = prop_oneof![Just(Vec::new()), selectors()];
    (vec(subject(), 1..3), endpoints, planes(), cidrs, ports).prop_map(
        |(subjects, endpoints, planes, cidrs, ports)| EgressDeny {
            subjects,
            endpoints,
            planes,
            cidrs,
            ports,
            reason: "x".to_owned(),
        },
    )
}

fn posture() -> impl Strategy<Value = PostureRule> {
    let ungranted = select(vec![Posture::Allow, Posture::Deny]);
    let unresolved = option::of(select(vec![Posture::Allow, Posture::Deny]));
    let mode = select(Mode::ALL.to_vec());
    let parts = (vec(subject(), 1..3), mode, ungranted, unresolved);
    parts.prop_map(|(subjects, mode, ungranted, unresolved)| PostureRule {
        scope: PostureScope::Subjects(subjects),
        mode,
        ungranted,
        undecidable: None,
        quic: None,
        foreign_sockets: None,
        raw_sockets: None,
        unresolved,
    })
}

pub(super) fn world(max_grants: usize) -> impl Strategy<Value = World> {
    let default = option::of(select(vec![Posture::Allow, Posture::Deny]));
    (
        vec(grant(), 0..=max_grants),
        vec(deny(), 0..3),
        vec(posture(), 0..3),
        default,
    )
        .prop_map(|(grants, denies, postures, default)| {
            let mut world = World::empty();
            let set = &mut world.set;
            set.grants = named("g", grants);
            set.denies = named("d", denies);
            set.postures = named("p", postures);
            if let Some(ungranted) = default {
                let rule = PostureRule {
                    scope: PostureScope::Default,
                    mode: Mode::Enforce,
                    ungranted,
                    undecidable: None,
                    quic: None,
                    foreign_sockets: None,
                    raw_sockets: None,
                    unresolved: None,
                };
                set.postures.insert("default".to_owned(), rule);
            }
            World::new(world.set)
        })
}

fn named<T>(prefix: &str, items: Vec<T>) -> std::collections::BTreeMap<String, T> {
    let names = (0..).map(|index| format!("{prefix}{index:03}"));
    names.zip(items).collect()
}
