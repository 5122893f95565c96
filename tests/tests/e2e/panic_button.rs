//! `weir grant revoke --identity X --all` while a workload is connected in every way that models are
//! used in, and goes on connecting, beside another one that does the same.

use std::{net::IpAddr, time::Duration};

use weir::host::clock::boot_ns;
use weir_tests::harness::{
    Agent, Host, eventually,
    traffic::{Kind, Report, Talking, Traffic},
};

use super::{grant, host, model};

/// How many connections of each kind each of the two has.
const EACH: u32 = 40;

const PRESSED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 1, 1));
const NEIGHBOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 1, 2));

/// The workload whose rights are taken, and its neighbour, whose right is of the same kind.
struct Stage {
    host: Host,
    traffic: Traffic,
    agent: Agent,
    pressed: Talking,
    neighbour: Talking,
}

impl Stage {
    fn new() -> Self {
        let host = host();
        let traffic = Traffic::serve(&host);
        let places = traffic.places();
        let tcp = [places.plain, places.tls, places.web_socket];
        let ports = tcp.iter().chain([&places.udp]).map(|at| at.port());
        let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
        let mut policy = model("127.0.0.1/32", &ports.join(", "));
        for cgroup in ["granted", "other"] {
            policy += &grant(cgroup, &host.cgroup_path(cgroup), "");
        }
        host.write_policy("p.yaml", &policy);
        let agent = host.agent().start();
        let cgroup = host.cgroup_path("granted");
        let whom = ["grant", "issue", "more", "--cgroup", &cgroup];
        let what = ["--endpoint", "model", "--purpose", "a test", "--ttl", "1h"];
        agent.weir(&[&whom[..], &what].concat()).expect(0);
        Self {
            pressed: host.workload("granted").talk(places, PRESSED, EACH),
            neighbour: host.workload("other").talk(places, NEIGHBOUR, EACH),
            host,
            traffic,
            agent,
        }
    }
}

fn is_live(report: &Report) -> bool {
    let kinds = report.kinds.values();
    kinds.map(|told| told.live).eq(Kind::ALL.map(|_| EACH))
}

#[test]
fn the_panic_button_ends_all_that_a_busy_workload_does_and_harms_no_neighbour() {
    let Stage {
        host,
        traffic,
        agent,
        pressed,
        neighbour,
    } = Stage::new();
    let identity = format!("cgroup:{}", host.cgroup_path("granted"));
    let revoke = ["grant", "revoke", "--identity", &identity];
    agent
        .weir(&[&revoke[..], &["--all", "--why", "leaked"]].concat())
        .expect(0);
    let returned_ns = boot_ns();

    // While the neighbour goes on, in both directions, over every single connection.
    let later_ns = returned_ns + Duration::from_millis(300).as_nanos() as u64;
    let kept = neighbour.arrived(later_ns);
    assert!(is_live(&kept), "{kept:#?}");
    for (kind, told) in &kept.kinds {
        assert!(told.stalest_ns > later_ns, "{kind:?}: {told:?}");
    }
    assert!(traffic.newest_ns(NEIGHBOUR) > later_ns);
    assert!(kept.tries.last_ok_ns > returned_ns, "{:?}", kept.tries);
    assert_eq!((kept.tries.refused, kept.tries.other), (0, 0));

    let over = pressed.over();
    for (kind, told) in &over.kinds {
        assert_eq!(
            (told.live, told.failed, told.ended),
            (0, EACH, 0),
            "each caller gets an error: {kind:?}: {told:?}"
        );
        // A socket without a peer has many: what it sends is refused, not what it gets.
        assert!(
            *kind == Kind::Udp || told.newest_ns <= returned_ns,
            "the model gets through after the command: {kind:?}: {told:?}"
        );
    }
    assert!(
        traffic.newest_ns(PRESSED) <= returned_ns,
        "the workload gets through after the command"
    );
    assert!(over.tries.ok > 0 && over.tries.refused > 0, "{over:?}");
    assert!(over.tries.last_ok_ns <= returned_ns, "{:?}", over.tries);
    assert_eq!(over.tries.other, 0);

    let ended = eventually("what the agent has ended", || {
        let refused = agent.json(&["status"])["refused"].clone();
        (refused["not_ended"] == 0 && refused["ended"].as_u64() > Some(0)).then_some(refused)
    });
    assert!(
        ended["ended"].as_u64() >= Some(u64::from(3 * EACH)),
        "{ended}"
    );
    agent.weir(&["audit", "verify"]).expect(0);
}
