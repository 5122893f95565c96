//! `weir top`, in a terminal of its own.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
};

use super::{grant, host, model};

/// Ends with the test, whatever becomes of it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_live_view_runs_in_a_terminal_and_nowhere_else() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let port = server.port().to_string();
    let granted = grant("first", &host.cgroup_path("granted"), "");
    host.write_policy("p.yaml", &(model("127.0.0.0/8", &port) + &granted));
    let agent = host.agent().start();
    assert_eq!(host.workload("granted").connects(server, 3, 1).ok, 3);
    assert_eq!(host.workload("other").connect(server).refused, 1);

    let nowhere = agent.weir(&["top"]).expect(2).stderr;
    assert!(
        nowhere.contains("needs a terminal: use `weir usage`"),
        "{nowhere}"
    );

    let line = agent.command_line(&["top", "--interval", "1"]);
    let quoted: Vec<_> = line.iter().map(|word| format!("'{word}'")).collect();
    let inside = format!("stty cols 80 rows 24; exec {}", quoted.join(" "));
    let script = Command::new("script")
        .args(["-qec", &inside, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of util-linux, runs");
    let mut script = Ended(script);
    let mut keys = script.0.stdin.take().expect("its input");
    let mut screen = script.0.stdout.take().expect("its output");
    let mut terminal = vt100::Parser::new(24, 80, 0);
    let mut wait_for = |text: &str| {
        let mut bytes = [0; 4_096];
        // It draws five times a second, whether anything has changed or not.
        for _ in 0..200 {
            if terminal.screen().contents().contains(text) {
                return;
            }
            let n = screen.read(&mut bytes).expect("the screen");
            terminal.process(&bytes[..n]);
        }
        panic!("`{text}` was not drawn:\n{}", terminal.screen().contents());
    };
    wait_for("IDENTITY");
    keys.write_all(b"3").expect("a key");
    wait_for("no-grant");
    keys.write_all(b"\r").expect("a key");
    wait_for("newest events of");
    keys.write_all(b"q").expect("a key");
    assert!(script.0.wait().expect("it ends").success());
}
