//! A machine in a container, whose units are parts of it and nobody else.

use weir_tests::harness::{Machine, Unit, eventually};

use super::{grant_for, host, live};

#[test]
fn units_of_a_machine_are_parts_of_it() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let text = format!(
        "[Service]
ExecStart=/busybox nc {} {}
Restart=always
RestartSec=100ms
[Unit]
StartLimitIntervalSec=0
",
        server.ip(),
        server.port()
    );
    let unit = Unit {
        name: "caller.service",
        text: &text,
    };
    let policy = super::model("127.0.0.1/32", &server.port().to_string());
    let of_host = grant_for(&["systemd: {unit: caller.service}".to_owned()]);
    host.write_policy("p.yaml", &(policy.clone() + &of_host));
    host.make_cgroup("machine.slice/machine-guest.scope");
    let machine = match Machine::boot(&host, "machine.slice/machine-guest.scope", &unit) {
        Ok(machine) => machine,
        Err(why) => {
            println!("SKIP identities::machines::units_of_a_machine_are_parts_of_it: {why}");
            return;
        }
    };
    let agent = host.agent().start();

    // A unit of that name on the host may; this one is not it.
    let part = "unit:machine-guest.scope/caller.service";
    let of_part = |verdict| [("verdict", verdict), ("identity", part)];
    eventually("a refusal", || agent.events(&of_part("deny")).pop());
    assert!(agent.events(&[("verdict", "allow")]).is_empty());
    for name in ["init.scope", "systemd-journald.service"] {
        let name = format!("unit:machine-guest.scope/{name}");
        eventually(&name, || live(&agent).contains(&name).then_some(()));
    }
    let tree = agent.weir(&["identities", "--tree"]).expect(0).stdout;
    assert!(tree.contains("caller.service"), "{tree}");

    let of_machine = grant_for(&["systemd: {unit: machine-guest.scope}".to_owned()]);
    host.write_policy("p.yaml", &(policy + &of_machine));
    eventually("a call", || agent.events(&of_part("allow")).pop());
    drop(machine);
}
