//! Cgroups with names that nobody has vouched for.

use weir_tests::harness::Attempts;

use super::{grant_for, host, model};

#[test]
fn a_name_counts_only_where_systemd_or_a_runtime_puts_it() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let granted = grant_for(&["systemd: {unit: granted.service}".to_owned()]);
    host.write_policy("p.yaml", &(policy + &granted));
    let path = host.make_cgroup("batch/granted.service");
    let pretender = host.workload("batch/granted.service");
    let agent = host.agent().start();
    assert_eq!(pretender.connect(server), Attempts::all_refused(1));
    let told = agent.json(&["explain", "--cgroup", &path, "--endpoint", "model"]);
    assert_eq!(told["who"]["identity"], format!("cgroup:{path}"), "{told}");
    agent.stop();

    let parent = host.cgroup_path("batch");
    let config = format!("cgroup_parents = [{parent:?}]\n");
    let agent = host.agent().config(&config).start();
    assert_eq!(pretender.connect(server), Attempts::all_ok(1));
    agent.stop();

    let wrong = host.agent().config("cgroup_parents = [\"batch\"]\n").fail();
    let said = "weir.toml:1:18: `batch` is no directory below the cgroup mount";
    assert!(wrong.stderr.contains(said), "{}", wrong.stderr);
}
