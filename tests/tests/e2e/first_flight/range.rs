//! Where flights are sent from, where they arrive, and who looks.

use std::{cell::RefCell, io::ErrorKind, net::UdpSocket, path::PathBuf, time::Duration};

use weir_tests::harness::{
    ANSWER, Agent, Host, Landing, Recorder, eventually,
    site::{ADDRESS, Dns, PROXY, Proxy, Record, etc},
};

use super::{Case, Expected, MODEL, OTHER};
use crate::e2e::{grant, host, named_model};

/// Longest time between the bytes and the error.
const AT_ONCE: Duration = Duration::from_secs(2);

pub(super) struct Range {
    host: Host,
    _dns: Dns,
    etc: PathBuf,
    recorder: Recorder,
    datagrams: UdpSocket,
    proxy: Proxy,
    /// What a workload asks for before each flight.
    questions: &'static [&'static str],
    agent: Option<Agent>,
    n_denials: RefCell<usize>,
}

/// What has arrived, of everything that there is.
#[derive(Debug, PartialEq, Eq)]
struct Arrived {
    flights: Vec<Vec<u8>>,
    long_headers: usize,
    model_at_proxy: usize,
}

impl Range {
    pub(super) fn new() -> Self {
        let host = host();
        allow_data_in_syn();
        let dns = Dns::start(&[
            Record::Address(MODEL, &[ADDRESS]),
            Record::Address(OTHER, &[ADDRESS]),
        ]);
        let (datagrams, _) = host.udp_server(&format!("{ADDRESS}:443"));
        datagrams.set_nonblocking(true).expect("a mode");
        Self {
            etc: etc(&host, dns.address()),
            _dns: dns,
            recorder: Recorder::start(&["127.0.0.20:443", "127.0.0.20:80"]),
            datagrams,
            proxy: Proxy::start(PROXY, ADDRESS.parse().expect("an address")),
            questions: &[MODEL, OTHER],
            agent: None,
            n_denials: RefCell::default(),
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

    /// Only `granted` may call the endpoint; `free` may call anything.
    pub(super) fn with_agent(mut self) -> Self {
        let free = format!(
            "---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: free}}
spec: {{subjects: [{{cgroup: {}}}], ungranted: allow}}
",
            self.host.make_cgroup("free")
        );
        let granted = grant("a", &self.host.cgroup_path("granted"), "ttl: 1h");
        let policy = named_model(&[MODEL]) + &free + &granted;
        self.host.write_policy("p.yaml", &policy);
        let dns = self._dns.address().to_string();
        self.agent = Some(self.host.agent().arg("--dns-server").arg(&dns).start());
        self
    }

    /// Sends the endpoint's name and the ordinary one, and wants both to arrive.
    pub(super) fn expect_through(&self, workload: &str, case: &Case) {
        for name in [MODEL, OTHER] {
            let before = self.arrived();
            let landing = self.fly(workload, case, name);
            let form = &case.form;
            assert!(landing.is_through(), "{form}, {name}: {landing:?}");
            let end = String::from_utf8_lossy(ANSWER);
            let is_answered = landing.answer.ends_with(&*end) || landing.answer.is_empty();
            assert!(is_answered, "{form}, {name}: {landing:?}");
            if !matches!(case.expected, Expected::Passes) {
                assert_ne!(self.arrived(), before, "{form}, {name}: nothing arrived");
            }
        }
    }

    /// What is wrong with what a workload without a grant gets.
    pub(super) fn judge(&self, case: &Case) -> Vec<String> {
        let model = self.outcome(case, MODEL);
        let other = self.outcome(case, OTHER);
        let reasons: (&[&str], &[&str]) = match &case.expected {
            Expected::ByName => (&["no-grant"], &["passed"]),
            Expected::ByNameOr(reason) => (&["no-grant", reason], &["passed", reason]),
            Expected::Refused(reason) => (&[reason], &[reason]),
            Expected::Passes => (&["passed"], &["passed"]),
        };
        [(MODEL, model, reasons.0), (OTHER, other, reasons.1)]
            .into_iter()
            .filter(|(_, outcome, expected)| !expected.contains(&outcome.as_str()))
            .map(|(name, outcome, expected)| {
                format!(
                    "{}: {name}: {outcome}, not {}",
                    case.form,
                    expected.join(" or ")
                )
            })
            .collect()
    }

    /// `passed`, the reason of the refusal, or what was wrong with either.
    fn outcome(&self, case: &Case, name: &str) -> String {
        let before = self.arrived();
        let landing = self.fly("other", case, name);
        let has_arrived = self.arrived() != before;
        let Some(error) = &landing.error else {
            return "passed".into();
        };
        if !matches!(error.as_str(), "ECONNABORTED" | "EPERM") || landing.elapsed() > AT_ONCE {
            return format!("the caller saw {error} after {:?}", landing.elapsed());
        }
        if has_arrived {
            return format!("{error}, and yet it arrived");
        }
        self.next_reason(&case.form)
    }

    /// Of the next refusal that is told.
    fn next_reason(&self, form: &str) -> String {
        let agent = self.agent.as_ref().expect("an agent");
        let mut n_denials = self.n_denials.borrow_mut();
        let denial = eventually(&format!("the event: {form}"), || {
            let denials = agent.events(&[("verdict", "deny")]);
            denials.into_iter().nth(*n_denials)
        });
        *n_denials += 1;
        denial["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn fly(&self, workload: &str, case: &Case, name: &str) -> Landing {
        let flight = (case.flight)(name);
        let workload = self.host.workload(workload);
        let mut landings = workload.fly(&self.etc, self.questions, &[flight]);
        landings.pop().expect("one landing")
    }

    fn arrived(&self) -> Arrived {
        Arrived {
            flights: self.recorder.complete(),
            long_headers: self.long_headers(),
            model_at_proxy: self.proxy.n_for(MODEL),
        }
    }

    /// New datagrams that begin a QUIC connection.
    fn long_headers(&self) -> usize {
        let mut buffer = [0; 2048];
        let mut n_found = 0;
        loop {
            match self.datagrams.recv(&mut buffer) {
                Ok(n) => n_found += usize::from(n > 0 && buffer[0] & 0x80 != 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return n_found,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Without a cookie from an earlier connection, at each listener of this network.
fn allow_data_in_syn() {
    let path = "/proc/sys/net/ipv4/tcp_fastopen";
    std::fs::write(path, "1543").expect("a setting of the test's network");
}
