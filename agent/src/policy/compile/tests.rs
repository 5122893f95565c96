//! Compiled entries against a naive reading of the objects, and the limits.

mod examples;
mod reference;
mod world;

use agent_common::{
    destination::Destination,
    verdict::{Decision, Reason, decide},
};
use ipnet::{IpNet, Ipv6Net};
use proptest::prelude::*;
use reference::{Said, at_address, at_endpoint, is_entitled};
use world::{ENDPOINTS, World, world};

use super::*;

fn compiler(set: &PolicySet, numbers: &Numbers, anchor: &ClockAnchor) -> Compiler {
    let selections = Arc::new(Selections::new(set));
    Compiler::new(set, selections, numbers, anchor).expect("compiles")
}

/// What the kernel does: the row with the longest prefix for the port, and one for every port.
fn decide_address(
    policy: &CompiledPolicy,
    identity: IdentityId,
    address: std::net::IpAddr,
    port: u16,
    now_ns: u64,
) -> Decision {
    let mapped = |net: IpNet| match net {
        IpNet::V6(net) => net,
        IpNet::V4(net) => {
            Ipv6Net::new_assert(net.network().to_ipv6_mapped(), net.prefix_len() + 96)
        }
    };
    let address = match address {
        std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
        std::net::IpAddr::V6(address) => address,
    };
    let decisions = [port, 0].map(|port| {
        let rows = policy.prefixes.iter().filter(|row| row.port == port);
        let covering = rows.filter(|row| mapped(row.net).contains(&address));
        match covering.max_by_key(|row| mapped(row.net).prefix_len()) {
            Some(longest) => decide(policy, identity, &longest.destination, now_ns),
            None => Decision::UNGOVERNED,
        }
    });
    decisions[0].or_stricter(decisions[1])
}

/// Whether the two agree; of several refusals any may be told.
fn agree(decision: Decision, said: &[Said]) -> bool {
    let refusals = said
        .iter()
        .filter(|said| !is_entitled(said))
        .collect::<Vec<_>>();
    let candidates = if refusals.is_empty() {
        said.iter().collect()
    } else {
        refusals
    };
    if decision.is_governed() {
        candidates.contains(&&(decision.reason(), decision.rule(), decision.is_in_shadow()))
    } else {
        said.is_empty()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_endpoint_is_decided_as_the_objects_say(world in world(4), later in 0..25_u64) {
        let World { set, numbers, identities, anchor } = &world;
        let policy = compile(set, numbers, identities, anchor).expect("compiles");
        let now = anchor.boot_ns + later * world::TICK_NS;
        for identity in world.all_identities() {
            for name in ENDPOINTS {
                let id = numbers.endpoints[name];
                let decision = decide(&policy, identity.id, &Destination::one(id), now);
                let said = at_endpoint(&world, &identity, name, later);
                prop_assert!(agree(decision, &[said]), "{name} {identity:?}: {decision:?}, {said:?}");
            }
        }
    }

    #[test]
    fn every_address_is_decided_as_the_objects_say(world in world(4), later in 0..25_u64) {
        let World { set, numbers, identities, anchor } = &world;
        let policy = compile(set, numbers, identities, anchor).expect("compiles");
        let now = anchor.boot_ns + later * world::TICK_NS;
        for identity in world.all_identities() {
            for (address, port) in world::addresses() {
                let decision = decide_address(&policy, identity.id, address, port, now);
                let said = at_address(&world, &identity, address, port, later);
                prop_assert!(
                    agree(decision, &said),
                    "{address} {port} {identity:?}: {decision:?}, {said:?}, {:?}", policy.prefixes
                );
            }
        }
    }

    #[test]
    fn an_overfull_address_is_as_strict_as_the_strictest_endpoint(
        world in world(2),
        later in 0..25_u64,
    ) {
        let World { set, numbers, identities, anchor } = &world;
        let policy = compile(set, numbers, identities, anchor).expect("compiles");
        let now = anchor.boot_ns + later * world::TICK_NS;
        for identity in world.all_identities() {
            let overflow = Destination::one(EndpointId::OVERFLOW);
            let decision = decide(&policy, identity.id, &overflow, now);
            let all = ENDPOINTS.iter().all(|name| is_entitled(&at_endpoint(&world, &identity, name, later)));
            prop_assert_eq!(decision.is_entitled(), all, "{:?}", identity);
        }
    }

    #[test]
    fn more_grants_than_windows_never_allow_more(world in world(12), later in 0..25_u64) {
        let World { set, numbers, identities, anchor } = &world;
        let policy = compile(set, numbers, identities, anchor).expect("compiles");
        let now = anchor.boot_ns + later * world::TICK_NS;
        let is_before_refill = policy.refill_at_ns.is_none_or(|refill| now < refill);
        for identity in world.all_identities() {
            for name in ENDPOINTS {
                let id = numbers.endpoints[name];
                let decision = decide(&policy, identity.id, &Destination::one(id), now);
                let said = at_endpoint(&world, &identity, name, later);
                let entitled = decision.is_governed() && decision.is_entitled();
                prop_assert!(!entitled || is_entitled(&said), "{decision:?}, {said:?}");
                prop_assert!(!is_before_refill || entitled == is_entitled(&said));
            }
        }
    }

    #[test]
    fn one_identity_compiles_to_the_same_entries(world in world(6)) {
        let World { set, numbers, identities, anchor } = &world;
        let policy = compile(set, numbers, identities, anchor).expect("compiles");
        let compiler = compiler(set, numbers, anchor);
        for identity in world.all_identities() {
            let alone = compiler.entries(&identity, anchor.boot_ns);
            let rules = policy.rules.iter().filter(|((id, _), _)| *id == identity.id);
            let together = rules.map(|((_, endpoint), entry)| (*endpoint, *entry));
            prop_assert_eq!(alone.rules, together.collect::<BTreeMap<_, _>>());
            prop_assert!(alone.refill_at_ns.is_none() || policy.refill_at_ns <= alone.refill_at_ns);
        }
    }

    #[test]
    fn what_was_prepared_before_says_the_same_later(world in world(6), later in 0..25_u64) {
        let World { set, numbers, anchor, .. } = &world;
        let ns = later * world::TICK_NS;
        let later = ClockAnchor {
            wall: anchor.wall + std::time::Duration::from_nanos(ns),
            boot_ns: anchor.boot_ns + ns,
        };
        let before = compiler(set, numbers, anchor);
        let anew = compiler(set, numbers, &later);
        for identity in world.all_identities() {
            let before = before.entries(&identity, later.boot_ns);
            prop_assert_eq!(before, anew.entries(&identity, later.boot_ns), "{:?}", identity);
        }
    }

    #[test]
    fn who_is_selected_alike_is_judged_alike(world in world(6)) {
        let World { set, numbers, identities, anchor } = &world;
        let selections = Selections::new(set);
        let compiler = compiler(set, numbers, anchor);
        let mut rules = BTreeMap::new();
        for identity in identities {
            let identity = Identity { id: IdentityId::from_raw(99), ..identity.clone() };
            let own = compiler.entries(&identity, anchor.boot_ns);
            let selection = selections.of(Some(&identity.labels));
            let alike = rules.entry(selection).or_insert_with(|| own.clone());
            prop_assert_eq!(&own, alike, "{:?}", identity);
        }
    }

    #[test]
    fn no_entry_says_what_the_kernel_would_find_anyway(world in world(6)) {
        let World { set, numbers, identities, anchor } = &world;
        let policy = compile(set, numbers, identities, anchor).expect("compiles");
        for ((identity, endpoint), entry) in &policy.rules {
            if *endpoint == EndpointId::UNNAMED {
                let unknown = policy.rules.get(&(IdentityId::UNKNOWN, *endpoint));
                prop_assert!(*identity == IdentityId::UNKNOWN || unknown != Some(entry));
                continue;
            }
            let others = if endpoint.is_denied_prefix() {
                vec![(IdentityId::UNKNOWN, *endpoint)]
            } else {
                vec![
                    (*identity, EndpointId::ANY),
                    (IdentityId::UNKNOWN, *endpoint),
                    (IdentityId::UNKNOWN, EndpointId::ANY),
                ]
            };
            let less_specific = others.into_iter().filter(|other| *other != (*identity, *endpoint));
            let found = less_specific.filter_map(|key| policy.rules.get(&key)).next();
            prop_assert!(*endpoint == EndpointId::ANY || found != Some(entry));
        }
    }
}

#[test]
fn without_objects_everything_is_allowed() {
    let world = World::empty();
    let policy = compile(&world.set, &world.numbers, &world.identities, &world.anchor);
    let policy = policy.expect("compiles");
    assert_eq!(policy.rules.len(), 1);
    assert_eq!(
        at_endpoint(&world, &world.identities[0], "a", 0).0,
        Reason::DefaultAllow
    );
}
