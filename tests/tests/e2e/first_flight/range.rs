//! Where flights are sent from, where they arrive, and who looks.

use std::{io::ErrorKind, net::UdpSocket, time::Duration};

use weir_tests::harness::{
    Agent, Flier, Host, Landing, Recorder, eventually,
    site::{ADDRESS, Dns, PROXY, Proxy, Record, etc},
};

use super::{Case, Expected, MODEL, OTHER};
use crate::e2e::{grant, host, named_model};

/// Longest time between the bytes and the error.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Fields are dropped in this order: whatever runs in the host's cgroups ends before the host.
pub(super) struct Range {
    agent: Option<Agent>,
    flier: Flier,
    dns: Dns,
    recorder: Recorder,
    datagrams: UdpSocket,
    n_long_headers: usize,
    proxy: Proxy,
    /// What a workload asks for before each flight.
    questions: &'static [&'static str],
    host: Host,
}

/// What has arrived, of everything that there is.
#[derive(Debug, PartialEq, Eq)]
struct Arrived {
    flights: Vec<Vec<u8>>,
    n_long_headers: usize,
    n_model_at_proxy: usize,
}

impl Range {
    pub(super) fn new() -> Self {
        let host = host();
        allow_data_in_syn();
        let dns = Dns::start(&[
            Record::Address(MODEL, &[ADDRESS]),
            Record::Address(OTHER, &[ADDRESS]),
        ]);
        let etc = etc(&host, dns.address());
        let (datagrams, _) = host.udp_server(&format!("{ADDRESS}:443"));
        datagrams.set_nonblocking(true).expect("a mode");
        Self {
            flier: Flier::start(&host.workload("granted"), &etc),
            dns,
            recorder: Recorder::start(&["127.0.0.20:443", "127.0.0.20:80"]),
            datagrams,
            n_long_headers: 0,
            proxy: Proxy::start(PROXY, ADDRESS.parse().expect("an address")),
            questions: &[MODEL, OTHER],
            agent: None,
            host,
        }
    }

    /// Nobody asks for a name.
    pub(super) fn without_questions(self) -> Self {
        Self {
            questions: &[],
            ..self
        }
    }

    /// Only `granted` may call the endpoint; `free` may call anything, and so may `trial`, whose
    /// posture is in shadow mode. Each of so many cases is
    /// judged with workloads of its own, so that the event of a refusal is known by its identity.
    pub(super) fn with_agent(mut self, n_cases: usize) -> Self {
        for number in 0..n_cases {
            for name in [MODEL, OTHER] {
                self.host.make_cgroup(&workload_of(number, name));
            }
        }
        let free = format!(
            "---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: free}}
spec: {{subjects: [{{cgroup: {}}}], ungranted: allow}}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: trial}}
spec: {{subjects: [{{cgroup: {}}}], ungranted: deny, mode: shadow}}
",
            self.host.make_cgroup("free"),
            self.host.make_cgroup("trial")
        );
        let granted = grant("a", &self.host.cgroup_path("granted"), "ttl: 1h");
        let policy = named_model(&[MODEL]) + &free + &granted;
        self.host.write_policy("p.yaml", &policy);
        let dns = self.dns.address().ip().to_string();
        self.agent = Some(self.host.agent().name_server(&dns).start());
        self
    }

    /// Sends the endpoint's name and the ordinary one, and wants both to arrive.
    pub(super) fn expect_through(&mut self, workload: &str, case: &Case) {
        for name in [MODEL, OTHER] {
            let before = self.arrived();
            let landing = self.fly(workload, case, name);
            let form = &case.form;
            assert!(landing.is_through(), "{form}, {name}: {landing:?}");
            if !matches!(case.expected, Expected::Passes) {
                assert_ne!(self.arrived(), before, "{form}, {name}: nothing arrived");
            }
        }
    }

    /// Waits until all of these are told as what enforcing would refuse to `workload`, and nothing
    /// was refused.
    pub(super) fn expect_told(&self, workload: &str, reasons: &[&str]) {
        let agent = self.agent.as_ref().expect("an agent");
        let identity = format!("cgroup:{}", self.host.cgroup_path(workload));
        let told = |verdict| agent.events(&[("verdict", verdict), ("identity", &identity)]);
        for reason in reasons {
            eventually(reason, || {
                let mut told = told("would-deny").into_iter();
                told.find(|event| event["reason"] == *reason)
            });
        }
        assert!(told("deny").is_empty());
    }

    /// What is wrong with what a workload without a grant gets.
    pub(super) fn judge(&mut self, number: usize, case: &Case) -> Vec<String> {
        let (model, other): (&[&str], &[&str]) = match &case.expected {
            Expected::ByName => (&["no-grant"], &["passed"]),
            Expected::ByNameOr(reason) => (&["no-grant", reason], &["passed", reason]),
            Expected::Refused(reason) => (&[reason], &[reason]),
            Expected::Passes => (&["passed"], &["passed"]),
        };
        let form = &case.form;
        let mut wrong = Vec::new();
        for (name, expected) in [(MODEL, model), (OTHER, other)] {
            let outcome = self.outcome(&workload_of(number, name), case, name);
            if !expected.contains(&outcome.as_str()) {
                let expected = expected.join(" or ");
                wrong.push(format!("{form}: {name}: {outcome}, not {expected}"));
            }
        }
        wrong
    }

    /// `passed`, the reason of the refusal, or what was wrong with either.
    fn outcome(&mut self, workload: &str, case: &Case, name: &str) -> String {
        let before = self.arrived();
        let landing = self.fly(workload, case, name);
        let has_arrived = self.arrived() != before;
        let Some(error) = &landing.error else {
            return "passed".into();
        };
        let elapsed = landing.elapsed();
        if !matches!(error.as_str(), "ECONNABORTED" | "EPERM") || elapsed > AT_ONCE {
            return format!("the caller saw {error} after {elapsed:?}");
        }
        if has_arrived {
            return format!("{error}, and yet it arrived");
        }
        self.reason(workload, &case.form)
    }

    fn reason(&self, workload: &str, form: &str) -> String {
        let agent = self.agent.as_ref().expect("an agent");
        let identity = format!("cgroup:{}", self.host.cgroup_path(workload));
        let fields = [("verdict", "deny"), ("identity", identity.as_str())];
        let what = format!("the event of `{form}`");
        let denial = eventually(&what, || agent.events(&fields).into_iter().next());
        denial["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn fly(&mut self, workload: &str, case: &Case, name: &str) -> Landing {
        let workload = self.host.workload(workload);
        let flight = (case.flight)(name);
        self.flier.fly(&workload, self.questions, &flight)
    }

    fn arrived(&mut self) -> Arrived {
        self.count_long_headers();
        Arrived {
            flights: self.recorder.complete(),
            n_long_headers: self.n_long_headers,
            n_model_at_proxy: self.proxy.n_for(MODEL),
        }
    }

    /// Datagrams that begin a QUIC connection.
    fn count_long_headers(&mut self) {
        let mut buffer = [0; 2048];
        loop {
            match self.datagrams.recv(&mut buffer) {
                Ok(n) => self.n_long_headers += usize::from(n > 0 && buffer[0] & 0x80 != 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn workload_of(number: usize, name: &str) -> String {
    format!("other-{number}-{}", name.replace('.', "-"))
}

/// Without a cookie from an earlier connection, at each listener of this network.
fn allow_data_in_syn() {
    let path = "/proc/sys/net/ipv4/tcp_fastopen";
    std::fs::write(path, "1543").expect("a setting of the test's network");
}
