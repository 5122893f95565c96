//! Both ends of a socket: the workload that made it and the one that uses it. One test for each row
//! of `docs/coverage.md`.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    thread,
};

use weir_tests::harness::{Agent, Host, eventually};

use super::{grant, host, model};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/foreign.py");

/// How the socket changes hands.
#[derive(Clone, Copy, Debug)]
enum Way {
    Inherited,
    Joined,
    Passed,
    Fetched,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Inherited => "inherited",
            Self::Joined => "joined",
            Self::Passed => "passed",
            Self::Fetched => "fetched",
        }
    }
}

/// Where it is made and where it is used: `granted` and `second` may call the model, `other` may
/// not.
struct Between {
    maker: &'static str,
    caller: &'static str,
}

const INTO: Between = Between {
    maker: "other",
    caller: "granted",
};
const OUT_OF: Between = Between {
    maker: "granted",
    caller: "other",
};
const ENTITLED: Between = Between {
    maker: "granted",
    caller: "second",
};

/// Answers with what it is sent.
fn echo_servers(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let datagrams = UdpSocket::bind(address).expect("a socket");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    // The client may be gone.
                    let _ = stream.write_all(&buffer[..n]);
                }
            });
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((n, from)) = datagrams.recv_from(&mut buffer) {
            let _ = datagrams.send_to(&buffer[..n], from);
        }
    });
    address
}

struct Stage {
    host: Host,
    server: SocketAddr,
    elsewhere: SocketAddr,
}

impl Stage {
    /// `posture` is what it says of foreign sockets, `settings` the agent's.
    fn new(posture: &str, settings: &str) -> Self {
        let host = host();
        let server = echo_servers("127.8.0.1:4443");
        let mut policy = model("127.8.0.1/32, 127.8.0.3/32", "4443").replace(
            "ungranted: deny",
            &format!("ungranted: deny, foreignSockets: {posture}"),
        );
        for cgroup in ["granted", "second"] {
            policy += &grant(cgroup, &host.make_cgroup(cgroup), "ttl: 1h");
        }
        host.make_cgroup("granted/child");
        host.write_policy("p.yaml", &policy);
        fs::create_dir_all(host.path("etc")).expect("a directory");
        fs::write(host.path("weir.toml"), settings).expect("settings");
        let elsewhere = echo_servers("127.8.0.2:0");
        Self {
            host,
            server,
            elsewhere,
        }
    }

    /// How a use ended: see the script.
    fn run(&self, between: &Between, way: Way, what: &str) -> String {
        let cgroup = |name: &str| self.host.cgroup().join(name).display().to_string();
        let line = [
            "python3".to_owned(),
            SCRIPT.to_owned(),
            way.name().to_owned(),
            what.to_owned(),
            cgroup(between.maker),
            cgroup(between.caller),
            self.server.to_string(),
            self.elsewhere.to_string(),
        ];
        let maker = self.host.workload(between.maker);
        let ran = maker.run_program(&self.host.path("etc"), &line, &[], "");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout.trim().to_owned()
    }

    fn identity(&self, cgroup: &str) -> String {
        format!("cgroup:{}", self.host.cgroup_path(cgroup))
    }

    /// Waits for the events that name both of the newest use.
    fn both_are_named(&self, agent: &Agent, between: &Between, verdict: &str, told: &mut usize) {
        let (maker, caller) = (self.identity(between.maker), self.identity(between.caller));
        let by_caller = [("identity", caller.as_str()), ("verdict", verdict)];
        let of_maker = [
            ("kind", "foreign"),
            ("identity", &maker),
            ("verdict", verdict),
        ];
        let now = eventually("the maker's event", || {
            let found = agent.events(&of_maker).len();
            (found > *told).then_some(found)
        });
        *told = now;
        eventually("the caller's event", || {
            let found = agent.events(&by_caller).into_iter();
            let decided = found.filter(|event| event["endpoint"] == "model");
            (decided.filter(|event| event["kind"] != "foreign").count() >= now).then_some(())
        });
    }
}

/// What is done, and how an enforcing agent ends it.
type Use = (Way, &'static str, &'static [&'static str]);

/// An observing agent lets all of it through, an enforcing one none; both name both workloads.
fn check(settings: &str, between: &Between, reason: &str, uses: &[Use]) {
    let stage = Stage::new("allow", settings);
    for mode in ["observe", "enforce"] {
        let agent = stage.host.agent().mode(mode).start();
        let observes = mode == "observe";
        let verdict = if observes { "allow" } else { "deny" };
        let mut told = agent
            .events(&[("kind", "foreign"), ("verdict", verdict)])
            .len();
        for (way, what, refused) in uses {
            let expected: &[&str] = if observes { &["through"] } else { refused };
            let found = stage.run(between, *way, what);
            assert!(
                expected.contains(&found.as_str()),
                "{mode} {way:?} {what}: {found}"
            );
            stage.both_are_named(&agent, between, verdict, &mut told);
        }
        let of_reason = agent.events(&[("reason", reason), ("verdict", verdict)]);
        assert!(of_reason.len() >= uses.len(), "{of_reason:?}");
        agent.stop();
    }
}

const EPERM: &[&str] = &["EPERM"];

#[test]
fn a_socket_from_outside_that_is_inherited() {
    check(
        "",
        &INTO,
        "foreign-socket",
        &[(Way::Inherited, "connect", EPERM)],
    );
}

#[test]
fn a_socket_that_is_older_than_its_process_is_here() {
    check(
        "",
        &INTO,
        "foreign-socket",
        &[(Way::Joined, "connect", EPERM)],
    );
}

#[test]
fn a_socket_that_is_passed_over_a_unix_socket() {
    check(
        "",
        &INTO,
        "foreign-socket",
        &[(Way::Passed, "connect", EPERM)],
    );
}

#[test]
fn a_socket_that_is_fetched_from_another_process() {
    check(
        "",
        &INTO,
        "foreign-socket",
        &[(Way::Fetched, "connect", EPERM)],
    );
}

#[test]
fn a_connected_socket_that_is_connected_anew() {
    check(
        "",
        &INTO,
        "foreign-socket",
        &[(Way::Passed, "reconnect", EPERM)],
    );
}

#[test]
fn a_socket_that_opens_fast() {
    check(
        "",
        &INTO,
        "foreign-socket",
        &[(Way::Passed, "fast-open", EPERM)],
    );
}

#[test]
fn a_datagram_of_a_socket_from_outside() {
    let uses: [Use; 2] = [
        (Way::Passed, "sendto", EPERM),
        (Way::Joined, "connect-udp", EPERM),
    ];
    check("", &INTO, "foreign-socket", &uses);
}

#[test]
fn a_socket_of_several_paths() {
    if !Path::new("/proc/sys/net/mptcp/enabled").exists() {
        skip("the kernel has no MPTCP");
        return;
    }
    check(
        "",
        &INTO,
        "foreign-socket",
        &[(Way::Passed, "connect-mptcp", EPERM)],
    );
}

#[test]
fn a_socket_that_is_made_here_and_used_outside() {
    // An allowed datagram is told with the first of its row.
    let uses: [Use; 5] = [
        (Way::Passed, "sendto", EPERM),
        (Way::Inherited, "connect", EPERM),
        (Way::Joined, "connect", EPERM),
        (Way::Passed, "connect", EPERM),
        (Way::Fetched, "connect", EPERM),
    ];
    check("", &OUT_OF, "no-grant", &uses);
}

#[test]
fn posture_decides_where_both_are_entitled() {
    for (posture, connects, reason) in [
        ("allow", "through", "granted"),
        ("deny", "EPERM", "foreign-socket"),
    ] {
        let stage = Stage::new(posture, "");
        let agent = stage.host.agent().start();
        assert_eq!(stage.run(&ENTITLED, Way::Passed, "connect"), connects);
        let verdict = if connects == "through" {
            "allow"
        } else {
            "deny"
        };
        stage.both_are_named(&agent, &ENTITLED, verdict, &mut 0);
        assert!(!agent.events(&[("reason", reason)]).is_empty());
    }
}

#[test]
fn another_cgroup_of_the_same_identity_is_nobody_else() {
    let stage = Stage::new("deny", WATCH);
    let parent = stage.host.cgroup_path("granted");
    let settings = format!("{WATCH}cgroup_parents = [{parent:?}]\n");
    let agent = stage.host.agent().config(&settings).start();
    // Made after the agent has started and named by nobody yet, or a part of the workload: judged
    // as what it is below.
    for what in ["connect", "send"] {
        let between = Between {
            maker: "granted/a.service",
            caller: "granted/a.service/child",
        };
        fs::create_dir_all(stage.host.cgroup().join(between.caller)).expect("a cgroup");
        assert_eq!(stage.run(&between, Way::Joined, what), "through");
    }
    assert!(agent.events(&[("kind", "foreign")]).is_empty());
}

/// Sees data on connections that exist already.
const WATCH: &str = "watch_sends = true\n";

/// The connection ends with the first data: by an error, or by silence where it cannot be ended.
const ENDED: &[&str] = &["ECONNABORTED", "ECONNRESET", "EPIPE"];

/// False, and says so, where the kernel has no such tracepoint.
fn can_watch() -> bool {
    let btf = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let name = b"btf_trace_sock_send_length\0";
    let has = btf.windows(name.len()).any(|found| found == name);
    if !has {
        skip("the kernel has no tracepoint sock_send_length (6.3)");
    }
    has
}

fn skip(why: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIP foreign: {why}").expect("written");
}

#[test]
fn without_watching_data_on_a_connection_from_elsewhere_is_not_seen() {
    let stage = Stage::new("deny", "");
    let agent = stage.host.agent().start();
    assert_eq!(stage.run(&OUT_OF, Way::Passed, "send"), "through");
    assert!(agent.events(&[("kind", "foreign")]).is_empty());
    let hooks = agent.json(&["status"])["hooks"].clone();
    let mut hooks = hooks.as_array().expect("a list").iter();
    assert!(hooks.all(|hook| hook["hook"] != "foreign_send"));
}

#[test]
fn a_connection_that_is_handed_on_ends_with_its_first_data() {
    if can_watch() {
        let uses: [Use; 4] = [
            (Way::Inherited, "send", ENDED),
            (Way::Joined, "send", ENDED),
            (Way::Passed, "send", ENDED),
            (Way::Fetched, "send", ENDED),
        ];
        check(WATCH, &OUT_OF, "no-grant", &uses);
    }
}

#[test]
fn datagrams_and_spliced_data_of_a_connected_socket_end_it() {
    if can_watch() {
        let uses: [Use; 2] = [
            (Way::Passed, "splice", ENDED),
            (
                Way::Passed,
                "send-udp",
                &["ECONNABORTED", "EPERM", "EDESTADDRREQ"],
            ),
        ];
        check(WATCH, &OUT_OF, "no-grant", &uses);
    }
}

#[test]
fn a_connection_of_a_listener_from_elsewhere() {
    if can_watch() {
        check(
            WATCH,
            &OUT_OF,
            "no-grant",
            &[(Way::Passed, "accept", ENDED)],
        );
    }
}

#[test]
fn a_connection_between_two_that_are_entitled() {
    if !can_watch() {
        return;
    }
    let stage = Stage::new("allow", WATCH);
    let agent = stage.host.agent().start();
    assert_eq!(stage.run(&ENTITLED, Way::Passed, "send"), "through");
    stage.both_are_named(&agent, &ENTITLED, "allow", &mut 0);
    let hooks = agent.json(&["status"])["hooks"].clone();
    let mut hooks = hooks.as_array().expect("a list").iter();
    let hook = hooks.find(|hook| hook["hook"] == "foreign_send");
    assert_eq!(hook.expect("listed")["state"], "created");
    let sends = agent.events(&[("kind", "send")]);
    assert_eq!(sends.len(), 1, "once for a socket and its user: {sends:?}");
}
