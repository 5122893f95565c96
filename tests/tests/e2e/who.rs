//! `weir who`, and `weir explain` about somebody: who is it that talks?

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command},
};

use serde_json::Value;
use weir_tests::harness::{Agent, Attempts, Host, eventually};

use super::{closed_server, grant, granted_server, host, model};

/// A program that keeps one connection until it is dropped.
struct Talking(Child);

impl Talking {
    fn start(host: &Host, workload: &str, before: &[&str], server: SocketAddr) -> Self {
        let etc = host.path("etc");
        std::fs::create_dir_all(&etc).expect("a directory");
        let (ip, port) = (server.ip(), server.port());
        let script = format!("exec 3<>/dev/tcp/{ip}/{port}; read -r _ <&3");
        let talk = ["bash", "-c", &script];
        let line: Vec<_> = before
            .iter()
            .chain(&talk)
            .map(ToString::to_string)
            .collect();
        Self(host.workload(workload).start(&etc, &line, &[]))
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Accepts connections and keeps them. Its address is no other test's: all namespaces are looked
/// into.
fn silent_server(ip: &str) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
    address
}

/// The only one of `direction` that talks to the address now.
fn now(agent: &Agent, address: &str, direction: &str) -> Option<Value> {
    let found = agent.json(&["who", address]);
    let rows = found["now"].as_array().cloned().unwrap_or_default();
    let mut rows = rows.into_iter().filter(|row| row["direction"] == direction);
    let row = rows.next();
    assert_eq!(rows.next(), None, "{found}");
    row
}

#[test]
fn whoever_has_a_connection_is_told_by_either_end() {
    let host = host();
    let server = silent_server("127.11.0.1");
    let port = server.port();
    host.write_policy("p.yaml", &model("127.11.0.1/32", &port.to_string()));
    let agent = host.agent().mode("observe").start();
    let address = server.to_string();
    agent.weir(&["who", &address]).expect(1);

    let talking = Talking::start(&host, "other", &[], server);
    let other = format!("cgroup:{}", host.cgroup_path("other"));
    for asked in [&address, "model", &format!("[::ffff:127.11.0.1]:{port}")] {
        let row = eventually(asked, || now(&agent, asked, "out"));
        let told = (&row["identity"], &row["connections"], &row["comm"]);
        assert_eq!(
            told,
            (&other.as_str().into(), &1.into(), &"bash".into()),
            "{asked}"
        );
        assert_eq!(row["pid"], talking.0.id(), "{asked}");
    }
    let server = now(&agent, &address, "in").expect("the accepted end");
    assert_eq!(server["pid"], std::process::id());
    assert_eq!(server["identity"], Value::Null, "the test is not governed");

    drop(talking);
    eventually("its end", || {
        now(&agent, &address, "out").is_none().then_some(())
    });
    let before = &agent.json(&["who", &address])["recently"][0];
    let told = (&before["identity"], &before["verdict"], &before["attempts"]);
    assert_eq!(
        told,
        (&other.into(), &"allow".into(), &1.into()),
        "{before}"
    );
    agent.weir(&["who", &address]).expect(0);
}

#[test]
fn a_connection_in_another_network_namespace_is_found() {
    let host = host();
    host.write_policy("p.yaml", &model("127.12.0.1/32", "4443"));
    let agent = host.agent().mode("observe").start();
    let etc = host.path("etc");
    std::fs::create_dir_all(&etc).expect("a directory");
    let script = "ip link set lo up; exec python3 -c '
import socket
server = socket.create_server((\"127.12.0.1\", 4443))
client = socket.create_connection((\"127.12.0.1\", 4443))
server.accept()[0].recv(1)
'";
    if Command::new("python3").arg("-V").output().is_err() {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIP who: python3 is not installed").expect("written");
        return;
    }
    let line = ["unshare", "--net", "sh", "-c", script].map(ToOwned::to_owned);
    let _talking = Talking(host.workload("other").start(&etc, &line, &[]));
    let row = eventually("the connection", || now(&agent, "127.12.0.1:4443", "out"));
    let other = format!("cgroup:{}", host.cgroup_path("other"));
    assert_eq!(
        (&row["identity"], &row["comm"]),
        (&other.into(), &"python3".into())
    );
}

#[test]
fn refused_callers_are_remembered_by_address_and_by_name() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    assert_eq!(
        host.workload("other").connects(server, 3, 1),
        Attempts::all_refused(3)
    );
    let address = server.to_string();
    for asked in [address.as_str(), "127.0.0.1", "model"] {
        let found = eventually("three attempts", || {
            let found = agent.json(&["who", asked]);
            (found["recently"][0]["attempts"] == 3).then_some(found)
        });
        let row = &found["recently"][0];
        assert_eq!(
            (&row["verdict"], &row["endpoint"]),
            (&"deny".into(), &"model".into())
        );
        if asked == address {
            assert_eq!(found["now"], Value::Array(Vec::new()), "{found}");
        }
    }
    agent.weir(&["who", "192.0.2.1"]).expect(1);
    agent
        .weir(&["who", &format!("127.0.0.1:{}", server.port() ^ 1)])
        .expect(1);
    let unknown = agent.weir(&["who", "www.example.org"]).expect(2);
    assert!(
        unknown.stderr.contains("neither an endpoint nor a host"),
        "{unknown:?}"
    );
}

#[test]
fn explain_without_a_place_tells_who_it_is_and_what_it_may() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();
    let cgroup = host.cgroup_path("granted");
    let told = agent
        .weir(&["explain", "--cgroup", &cgroup])
        .expect(0)
        .stdout;
    for line in [
        &format!("who       cgroup:{cgroup} (cgroup {cgroup})\n"),
        "posture   deny without a grant (closed), in mode enforce, revision 1\n",
        "grant     a (active): model, until ",
        "may call  model (granted, by a)\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    let other = ["explain", "--cgroup", &host.cgroup_path("other")];
    let told = agent.weir(&other).expect(0).stdout;
    assert!(told.ends_with("may call  no model endpoint\n"), "{told}");
    assert_eq!(agent.json(&other)["may_call"], Value::Array(Vec::new()));

    let talking = Talking::start(&host, "granted", &[], server);
    let pid = talking.0.id().to_string();
    eventually("it is in its cgroup", || {
        let told = agent.weir(&["explain", "--pid", &pid]).stdout;
        told.contains(&format!("cgroup    {cgroup}\n"))
            .then_some(())
    });
    agent.weir(&["explain", "--pid", "4194304"]).expect(2);
    agent.weir(&["explain", "--event", "4711"]).expect(2);
}

#[test]
fn a_task_is_told_as_such() {
    let host = host();
    let server = silent_server("127.13.0.1");
    let policy = model("127.13.0.1/32", &server.port().to_string());
    let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
    host.write_policy("p.yaml", &(policy + &granted));
    let agent = host.agent().start();
    let run = agent.command_line(&[
        "run",
        "--endpoint",
        "model",
        "--purpose",
        "a test",
        "--ttl",
        "1m",
        "--",
    ]);
    let run: Vec<&str> = run.iter().map(String::as_str).collect();
    let _talking = Talking::start(&host, "other", &run, server);
    let row = eventually("the task", || now(&agent, "model", "out"));
    let identity = row["identity"].as_str().expect("a name");
    assert!(identity.starts_with("task:"), "{row}");
    let told = agent.json(&["explain", "--pid", &row["pid"].to_string()]);
    assert_eq!(told["who"]["identity"], identity);
    let id = identity.trim_start_matches("task:");
    assert_eq!(told["who"]["labels"][0]["value"], id);
    assert_eq!(told["may_call"][0]["rule"], format!("task-{id}"));
}
