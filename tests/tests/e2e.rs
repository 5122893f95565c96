//! End to end: the release binary, real sockets, real cgroups. Needs root.
//!
//! Run by `cargo xtask test`, which builds the binary and names it in `WEIR_BIN`.

mod e2e {
    mod accounting;
    mod anomalies;
    mod answers;
    mod audit;
    mod bad_input;
    mod budgets;
    mod calls;
    mod clients;
    mod connections;
    mod costs;
    mod enforcement;
    mod first_flight;
    mod foreign;
    mod grants;
    mod identities;
    mod kubernetes;
    mod least_privilege;
    mod lifecycle;
    mod limits;
    mod monitoring;
    mod names;
    mod objects;
    mod panic_button;
    mod policy;
    mod revocation;
    mod shadow;
    mod sockets;
    mod tasks;
    mod top;
    mod usage;
    mod who;

    use std::{net::SocketAddr, path::Path};

    use weir_tests::harness::Host;

    /// A host of its own for the calling test.
    pub(crate) fn host() -> Host {
        Host::new(Path::new(env!("CARGO_BIN_EXE_weir-client")))
    }

    /// An endpoint `model` at these networks and ports, and nothing allowed by default.
    pub(crate) fn model(cidrs: &str, ports: &str) -> String {
        format!(
            "apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: model}}
spec: {{provider: test, cidrs: [{cidrs}], ports: [{ports}]}}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: closed}}
spec: {{default: true, ungranted: deny}}
"
        )
    }

    /// An endpoint `model` that is known by its names alone, and nothing allowed by default.
    pub(crate) fn named_model(hosts: &[&str]) -> String {
        format!(
            "apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: model}}
spec: {{provider: test, hosts: [{}], ports: [80, 443]}}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: closed}}
spec: {{default: true, ungranted: deny}}
",
            hosts.join(", ")
        )
    }

    /// A grant of `model` for one cgroup.
    pub(crate) fn grant(name: &str, cgroup: &str, rest: &str) -> String {
        format!(
            "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: {name}}}
spec:
  subjects: [{{cgroup: {cgroup}}}]
  endpoints: [model]
  purpose: a test
  {rest}
"
        )
    }

    /// A TCP server that is the endpoint `model`: nobody may call it.
    pub(crate) fn closed_server(host: &Host) -> SocketAddr {
        let server = host.tcp_server("127.0.0.1:0", 0);
        host.write_policy("p.yaml", &model("127.0.0.1/32", &server.port().to_string()));
        server
    }

    /// A TCP server that is the endpoint `model`: only the cgroup `granted`, made here, may call it.
    pub(crate) fn granted_server(host: &Host) -> SocketAddr {
        let server = host.tcp_server("127.0.0.1:0", 0);
        let policy = model("127.0.0.1/32", &server.port().to_string());
        let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
        host.write_policy("p.yaml", &(policy + &granted));
        server
    }
}
