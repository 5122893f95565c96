//! Names over the life of an agent: what holds when it is killed, in other modes, and without the
//! programs that see packets; and how it explains what it recognises.

use std::net::SocketAddr;

use weir_tests::harness::{
    Agent, Answer, Attempts, Client, Host, Site, eventually,
    site::{ADDRESS, Record},
};

use super::{host, named_model};

const MODEL: &str = "api.model.test";
const WILD: &str = "eu.wild.test";
const OTHER: &str = "www.other.test";
/// Exit codes of curl (its manual): could not connect, and ran out of time.
const COULD_NOT_CONNECT: i32 = 7;
const TIMED_OUT: i32 = 28;

/// A host whose workloads may not call `api.model.test` and `*.wild.test`.
struct Place {
    site: Site,
    host: Host,
}

impl Place {
    fn new() -> Self {
        let host = host();
        let records = [MODEL, WILD, OTHER].map(|name| Record::Address(name, &[ADDRESS]));
        let site = Site::new(&host, &[MODEL, WILD, OTHER], &records);
        host.write_policy("p.yaml", &named_model(&[MODEL, "\"*.wild.test\""]));
        Self { site, host }
    }

    fn start(&self, mode: &'static str) -> Agent {
        let agent = self.host.agent().mode(mode);
        agent.name_server(&self.site.name_server()).start()
    }

    fn curl(&self, name: &str, options: &[&str]) -> Answer {
        let workload = self.host.workload("other");
        Client::curl(options).call(&workload, &self.site, &format!("https://{name}/"))
    }

    fn connect(&self) -> Attempts {
        let address: SocketAddr = format!("{ADDRESS}:443").parse().expect("an address");
        self.host.workload("other").connect(address)
    }
}

#[test]
fn what_was_learnt_holds_without_the_agent_and_for_the_next_one() {
    let place = Place::new();
    let agent = place.start("enforce");
    assert_eq!(place.connect(), Attempts::all_ok(1));
    assert_eq!(place.curl(MODEL, &[]).ran.code, Some(COULD_NOT_CONNECT));
    assert_eq!(place.connect(), Attempts::all_refused(1));
    agent.kill();
    assert_eq!(place.connect(), Attempts::all_refused(1));
    let _agent = place.start("enforce");
    assert_eq!(place.connect(), Attempts::all_refused(1));
}

/// Anybody can let a name of theirs lead to any address.
#[test]
fn another_name_at_the_address_does_not_open_an_endpoint_that_shares_it_with_nobody() {
    let place = Place::new();
    let alone = named_model(&[MODEL]).replace("ports:", "shared: false, ports:");
    place.host.write_policy("p.yaml", &alone);
    let _agent = place.start("enforce");
    assert!(place.curl(OTHER, &[]).is_from(OTHER));
    assert_eq!(place.curl(MODEL, &[]).ran.code, Some(COULD_NOT_CONNECT));
    assert_eq!(place.curl(OTHER, &[]).ran.code, Some(COULD_NOT_CONNECT));
    assert_eq!(place.connect(), Attempts::all_refused(1));
}

/// Whoever owns a network namespace answers there as any resolver. What is told there is a hint: it
/// moves the decision to the name and refuses nobody else's connection.
#[test]
fn an_answer_in_another_network_cannot_refuse_an_address() {
    let place = Place::new();
    let _agent = place.start("enforce");
    let script = format!("{}/clients/spoof.py", env!("CARGO_MANIFEST_DIR"));
    let spoof = format!(
        "ip link set lo up && python3 {script} {} {MODEL} {ADDRESS}",
        place.site.name_server()
    );
    let program = ["unshare", "-n", "sh", "-c", &spoof].map(ToOwned::to_owned);
    let workload = place.host.workload("other");
    let ran = workload.run_program(place.site.etc(), &program, &[], "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(place.connect(), Attempts::all_ok(1));
    let resolved = |name: &str| format!("{name}:443:{ADDRESS}");
    let other = place.curl(OTHER, &["--resolve", &resolved(OTHER)]);
    assert!(other.is_from(OTHER));
    let model = place.curl(MODEL, &["--resolve", &resolved(MODEL)]);
    assert!(!model.is_from(MODEL));
}

/// An address is no name: a request for one means what is known to be there.
#[test]
fn a_request_for_the_address_is_a_request_for_what_is_known_there() {
    let place = Place::new();
    let _agent = place.start("enforce");
    let workload = place.host.workload("other");
    let by_address = || {
        let url = format!("http://{ADDRESS}/");
        Client::curl(&[])
            .call(&workload, &place.site, &url)
            .ran
            .code
    };
    place.curl(MODEL, &[]);
    place.curl(OTHER, &[]);
    let n_before = place.site.log().requests().len();
    assert_ne!(by_address(), Some(0));
    assert_eq!(place.site.log().requests().len(), n_before);
}

/// A network that a deny rule names for others says nothing about this workload: its names matter.
#[test]
fn a_network_that_concerns_others_hides_no_name() {
    let place = Place::new();
    let deny = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {{name: elsewhere}}
spec: {{subjects: [{{cgroup: {}}}], cidrs: [127.0.0.0/16], reason: a test}}
",
        place.host.cgroup_path("granted")
    );
    let policy = named_model(&[MODEL]) + &deny;
    place.host.write_policy("p.yaml", &policy);
    let _agent = place.start("enforce");
    let resolved = format!("{MODEL}:443:{ADDRESS}");
    assert!(!place.curl(MODEL, &["--resolve", &resolved]).is_from(MODEL));
    assert_eq!(place.site.log().n_for(MODEL), 0);
    assert!(place.curl(OTHER, &[]).is_from(OTHER));
}

#[test]
fn a_wildcard_learns_the_addresses_of_every_name_that_it_matches() {
    let place = Place::new();
    let _agent = place.start("enforce");
    assert_eq!(place.curl(WILD, &[]).ran.code, Some(COULD_NOT_CONNECT));
    assert_eq!(place.connect(), Attempts::all_refused(1));
}

#[test]
fn without_the_agent_a_refused_name_stays_cut_off() {
    let place = Place::new();
    let agent = place.start("enforce");
    agent.kill();
    let resolved = format!("{MODEL}:443:{ADDRESS}");
    let answer = place.curl(MODEL, &["--resolve", &resolved, "--max-time", "1"]);
    assert_eq!(answer.ran.code, Some(TIMED_OUT), "{:?}", answer.ran);
    assert_eq!(place.site.log().n_for(MODEL), 0);
    assert!(place.curl(OTHER, &[]).is_from(OTHER));
}

#[test]
fn shadow_mode_lets_a_name_pass_and_says_what_it_would_refuse() {
    let place = Place::new();
    let agent = place.start("shadow");
    assert!(place.curl(OTHER, &[]).is_from(OTHER));
    assert!(place.curl(MODEL, &[]).is_from(MODEL));
    eventually("its count", || {
        let count = agent.usage(
            "endpoint,reason",
            &["model", "no-grant"],
            "connections_would_deny",
        );
        (count == 1).then_some(())
    });
}

/// Names tell calls apart that have their address and port in common, and each has its own bytes.
#[test]
fn observe_mode_counts_by_name_at_a_shared_address() {
    let place = Place::new();
    let agent = place.start("observe");
    assert!(place.curl(OTHER, &[]).is_from(OTHER));
    for _ in 0..2 {
        assert!(place.curl(MODEL, &[]).is_from(MODEL));
        assert!(place.curl(OTHER, &[]).is_from(OTHER));
    }
    eventually("both connections with their bytes", || {
        let allowed = agent.usage("endpoint", &["model"], "connections_allowed");
        let bytes = agent.usage("endpoint", &["model"], "bytes_out");
        (allowed == 2 && bytes > 0).then_some(())
    });
    let all = agent.json(&["usage", "--by", "endpoint"]);
    assert_eq!(all["rows"].as_array().map(Vec::len), Some(1), "{all}");
}

#[test]
fn without_inspection_an_address_is_governed_as_a_whole_and_status_says_so() {
    let place = Place::new();
    let agent = place.host.agent().arg("--no-inspect").start();
    assert!(place.curl(MODEL, &[]).is_from(MODEL));
    let status = agent.json(&["status"]);
    let hooks = status["hooks"].as_array().expect("a list");
    let states: Vec<_> = ["egress", "ingress", "connect4"]
        .iter()
        .filter_map(|name| hooks.iter().find(|hook| hook["hook"] == **name))
        .filter_map(|hook| hook["state"].as_str())
        .collect();
    assert_eq!(states, ["unavailable", "unavailable", "created"]);
}

#[test]
fn explain_says_how_a_name_is_recognised_and_how_surely() {
    let place = Place::new();
    let agent = place.start("enforce");
    let who = place.host.cgroup_path("other");
    let certainty = |place: &[&str]| {
        let args = [&["explain", "--cgroup", &who], place, &["--json"]].concat();
        let output = agent.weir(&args);
        let answer: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        let endpoints = answer["target"]["endpoints"].as_array().cloned();
        let first = endpoints
            .unwrap_or_default()
            .first()
            .cloned()
            .unwrap_or_default();
        (
            answer["reason"].as_str().unwrap_or_default().to_owned(),
            first["certainty"].as_str().unwrap_or_default().to_owned(),
            first["recognised_by"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let address = format!("{ADDRESS}:443");
    let (reason, sure, by) = certainty(&["--host", WILD]);
    assert_eq!((reason.as_str(), sure.as_str()), ("no-grant", "by-name"));
    assert!(by.starts_with("host pattern *.wild.test; "), "{by}");
    let (reason, ..) = certainty(&["--host", OTHER]);
    assert_eq!(reason, "ungoverned");
    let (reason, ..) = certainty(&["--address", &address]);
    assert_eq!(reason, "ungoverned");
    place.curl(MODEL, &[]);
    let learnt = (
        "no-grant".into(),
        "certain".into(),
        "an answer of the DNS".into(),
    );
    assert_eq!(certainty(&["--address", &address]), learnt);
    place.curl(OTHER, &[]);
    let shared = (
        "no-grant".into(),
        "by-name".into(),
        "an answer of the DNS".into(),
    );
    assert_eq!(certainty(&["--address", &address]), shared);
}

#[test]
fn explain_says_of_an_event_what_the_first_packets_told() {
    let place = Place::new();
    let agent = place.start("enforce");
    place.curl(MODEL, &["--resolve", &format!("{MODEL}:443:{ADDRESS}")]);
    // An address is no name: curl sends none.
    let workload = place.host.workload("other");
    let url = format!("https://{ADDRESS}/");
    Client::curl(&[]).call(&workload, &place.site, &url);
    let explained = |reason: &str| {
        let events = eventually("the event", || {
            let events = agent.events(&[("reason", reason), ("kind", "connect")]);
            (!events.is_empty()).then_some(events)
        });
        let id = events[0]["id"].to_string();
        agent.weir(&["explain", "--event", &id]).expect(1).stdout
    };
    let by_name = explained("no-grant");
    assert!(by_name.contains("verdict   deny (no-grant)"), "{by_name}");
    assert!(by_name.contains("where     model (address"), "{by_name}");
    let without = explained("no-sni");
    assert!(without.contains("verdict   deny (no-sni)"), "{without}");
}

#[test]
fn status_counts_refused_connections_that_were_ended() {
    let place = Place::new();
    let agent = place.start("enforce");
    let resolved = format!("{MODEL}:443:{ADDRESS}");
    let answer = place.curl(MODEL, &["--resolve", &resolved]);
    assert!(!answer.is_from(MODEL));
    eventually("the count", || {
        let status = agent.json(&["status"]);
        (status["refused"]["ended"] == 1).then_some(())
    });
    let status = agent.json(&["status"]);
    let resolvers = status["resolvers"].as_array().expect("a list");
    assert!(resolvers.iter().any(|one| *one == place.site.name_server()));
}
