//! Rights that go while connections live: both directions are cut off, callers get an error, others
//! are left alone.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use weir_tests::harness::{Agent, Attempts, Host, enter_network, eventually};

use super::{grant, host, model, named_model};

/// A model that streams: an octet each few milliseconds to each of its callers, whose own it counts.
pub(super) struct Stream {
    pub(super) address: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Stream {
    pub(super) fn serve(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let received = Arc::new(AtomicU64::new(0));
        let count = received.clone();
        thread::spawn(move || {
            listener
                .set_nonblocking(true)
                .expect("a listener that does not wait");
            let mut callers = Vec::new();
            loop {
                while let Ok((caller, _)) = listener.accept() {
                    caller
                        .set_nonblocking(true)
                        .expect("a caller that does not wait");
                    callers.push(caller);
                }
                for caller in &mut callers {
                    // The caller may be gone.
                    let _ = caller.write(b"y");
                    if let Ok(n) = caller.read(&mut [0; 4096]) {
                        count.fetch_add(n as u64, Ordering::Relaxed);
                    }
                }
                thread::park_timeout(Duration::from_millis(2));
            }
        });
        Self { address, received }
    }

    /// Whether anything arrives.
    fn is_fed(&self) -> bool {
        let before = self.received.load(Ordering::Relaxed);
        thread::park_timeout(Duration::from_millis(100));
        self.received.load(Ordering::Relaxed) > before
    }
}

/// Two workloads that may call the model, and one connection of each a thread could hold.
fn streaming(host: &Host) -> Stream {
    let stream = Stream::serve("127.0.0.1:0");
    host.make_cgroup("second");
    let port = stream.address.port().to_string();
    host.write_policy(
        "p.yaml",
        &(model("127.0.0.1/32", &port) + &grant("second", &host.cgroup_path("second"), "")),
    );
    stream
}

/// The grant `first` of `granted`.
fn issue(agent: &Agent, host: &Host, ttl: &str) {
    let cgroup = host.cgroup_path("granted");
    let whom = ["grant", "issue", "first", "--cgroup", &cgroup];
    let what = ["--endpoint", "model", "--purpose", "a test", "--ttl", ttl];
    agent.weir(&[&whom[..], &what].concat()).expect(0);
}

/// Waits until the agent has ended so many connections.
fn await_ended(agent: &Agent, count: u32) {
    eventually("the end of all", || {
        let refused = &agent.json(&["status"])["refused"];
        assert_eq!(refused["not_ended"], 0, "{refused}");
        (refused["ended"].as_u64() >= Some(u64::from(count))).then_some(())
    });
}

#[test]
fn a_revoked_grant_ends_its_connections_and_no_others() {
    const EACH: u32 = 100;
    let host = host();
    let stream = streaming(&host);
    let agent = host.agent().start();
    issue(&agent, &host, "1h");
    let ended = host.workload("granted").hold(stream.address, EACH);
    let kept = host.workload("second").hold(stream.address, EACH);
    agent
        .weir(&["grant", "revoke", "first", "--why", "a test"])
        .expect(0);
    await_ended(&agent, EACH);
    assert_eq!(ended.stop(), Attempts::all_refused(EACH));
    assert!(stream.is_fed());
    assert_eq!(kept.stop(), Attempts::all_ok(EACH));
    let cut = eventually("the events", || {
        let cut = agent.events(&[("kind", "cut")]);
        (!cut.is_empty()).then_some(cut)
    });
    assert!(
        cut.iter().all(|event| event["reason"] == "no-grant"),
        "{cut:?}"
    );
}

#[test]
fn a_revocation_reaches_every_network_namespace() {
    const EACH: u32 = 20;
    let host = host();
    let port = 4_443;
    host.write_policy("p.yaml", &model("127.0.0.1/32", &port.to_string()));
    let agent = host.agent().start();
    issue(&agent, &host, "1h");
    let hold = || {
        let stream = Stream::serve(&format!("127.0.0.1:{port}"));
        let held = host.workload("granted").hold(stream.address, EACH);
        (stream, held)
    };
    let (_stream, here) = hold();
    // A thread has a namespace of its own, and so has what it starts.
    let elsewhere = || {
        enter_network();
        hold()
    };
    let elsewhere = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(elsewhere));
        threads.map(|thread| thread.join().expect("connections"))
    });
    agent
        .weir(&["grant", "revoke", "first", "--why", "a test"])
        .expect(0);
    await_ended(&agent, 3 * EACH);
    assert_eq!(here.stop(), Attempts::all_refused(EACH));
    for (_stream, held) in elsewhere {
        assert_eq!(held.stop(), Attempts::all_refused(EACH));
    }
}

#[test]
fn a_dead_agent_ends_no_connection_but_nothing_passes_after_the_end_of_its_grant() {
    let host = host();
    let stream = streaming(&host);
    let agent = host.agent().start();
    issue(&agent, &host, "2s");
    let held = host.workload("granted").hold(stream.address, 3);
    assert!(stream.is_fed());
    agent.kill();
    thread::park_timeout(Duration::from_secs(2));
    assert!(!stream.is_fed(), "octets pass after the end of the grant");
    // Its callers learn it from the next agent.
    let agent = host.agent().start();
    await_ended(&agent, 3);
    assert_eq!(held.stop(), Attempts::all_refused(3));
}

#[test]
fn a_grant_that_ends_ends_its_connections() {
    let host = host();
    let stream = streaming(&host);
    let agent = host.agent().start();
    issue(&agent, &host, "1s");
    let held = host.workload("granted").hold(stream.address, 20);
    await_ended(&agent, 20);
    assert_eq!(held.stop(), Attempts::all_refused(20));
}

#[test]
fn a_new_deny_rule_ends_connections_to_its_network_that_nobody_governed() {
    let host = host();
    let stream = Stream::serve("127.0.0.9:0");
    host.write_policy("p.yaml", &named_model(&["api.model.test"]));
    let agent = host.agent().arg("--no-inspect").start();
    let held = host.workload("other").hold(stream.address, 5);
    host.write_policy(
        "deny.yaml",
        "apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {name: lab}
spec: {subjects: [{any: true}], cidrs: [127.0.0.9/32], reason: a test}
",
    );
    await_ended(&agent, 5);
    assert_eq!(held.stop(), Attempts::all_refused(5));
}

#[test]
fn the_panic_button_takes_every_right_of_an_identity_from_files_too() {
    const EACH: u32 = 50;
    let host = host();
    let stream = streaming(&host);
    let agent = host.agent().start();
    issue(&agent, &host, "1h");
    let kept = host.workload("granted").hold(stream.address, EACH);
    let ended = host.workload("second").hold(stream.address, EACH);
    let identity = format!("cgroup:{}", host.cgroup_path("second"));
    let revoke = ["grant", "revoke", "--identity", &identity];
    let said = agent.weir(&[&revoke[..], &["--all", "--why", "a test"]].concat());
    let said = said.expect(0).stdout;
    assert_eq!(
        host.workload("second").connect(stream.address),
        Attempts::all_refused(1)
    );
    await_ended(&agent, EACH);
    assert_eq!(ended.stop(), Attempts::all_refused(EACH));
    assert_eq!(kept.stop(), Attempts::all_ok(EACH));
    // What it says takes it back.
    let undo = said.split('`').nth(1).expect("a command").to_owned();
    let undo: Vec<&str> = undo.split(' ').skip(1).collect();
    agent.weir(&undo).expect(0);
    assert_eq!(
        host.workload("second").connect(stream.address),
        Attempts::all_ok(1)
    );
}
