//! What is unusual: in recorded counts, and while it happens.

use std::{fmt::Write as _, fs, time::Duration};

use serde_json::Value;
use weir_tests::harness::{Agent, Receiver, eventually_within};

use super::{grant, host, model};

/// The minute that has begun when an agent starts, the one that is counted, and some.
const TWO_MINUTES: Duration = Duration::from_secs(150);

const BEGIN: i64 = 1_750_032_000;
const DAY: i64 = 1_440;

#[test]
fn a_runaway_loop_in_recorded_counts_is_one_alert_that_says_why() {
    let host = host();
    let [input, output] = ["calls.csv", "scores.csv"].map(|name| host.path(name));
    let loop_begins = 7 * DAY + 600;
    let mut rows = String::from("series,metric,timestamp,value\n");
    for minute in 0..8 * DAY {
        let is_loop = (loop_begins..loop_begins + 30).contains(&minute);
        let value = if is_loop { 300 } else { 4 + minute * 7919 % 5 };
        writeln!(rows, "svc,calls,{},{value}", BEGIN + 60 * minute).expect("a string");
    }
    fs::write(&input, &rows).expect("written");
    let [input, output] = [input, output].map(|path| path.display().to_string());
    let replay = [
        "anomalies",
        "replay",
        "--input",
        &input,
        "--output",
        &output,
    ];
    let told = host.weir(&replay).expect(0).stdout;
    let at = (BEGIN + 60 * loop_begins).to_string();
    assert!(
        told.starts_with(&format!("{at} svc: 300 in one step, expected ")),
        "{told}"
    );
    let scores = fs::read_to_string(&output).expect("scores");
    assert_eq!(scores.lines().count(), rows.lines().count());
    let alerts: Vec<_> = scores.lines().filter(|row| row.ends_with(",1")).collect();
    assert!(
        matches!(alerts[..], [alert] if alert.starts_with(&format!("svc,{at},"))),
        "{alerts:?}"
    );

    fs::write(&input, "timestamp,value\n1,2\nx,3\n").expect("written");
    let wrong = host.weir(&replay).expect(2).stderr;
    assert!(
        wrong.contains(&format!("`{input}` line 3, timestamp `x`")),
        "{wrong}"
    );
    let kept = fs::read_to_string(&output).expect("the former scores");
    assert_eq!(kept, scores);
}

fn list(agent: &Agent, args: &[&str]) -> Vec<Value> {
    let args: Vec<_> = ["anomalies", "list"].iter().chain(args).copied().collect();
    let anomalies = agent.json(&args)["anomalies"].clone();
    anomalies.as_array().cloned().unwrap_or_default()
}

fn webhook(name: &str, format: &str, receiver: &Receiver) -> String {
    format!(
        "[[anomalies.webhooks]]\nname = \"{name}\"\nformat = \"{format}\"\nurl = \"{}\"\n",
        receiver.url()
    )
}

#[test]
fn a_runaway_loop_is_told_once_with_the_reason_and_is_not_forgotten() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let port = server.port().to_string();
    let granted = grant("first", &host.cgroup_path("granted"), "");
    host.write_policy("p.yaml", &(model("127.0.0.0/8", &port) + &granted));
    // One is down at first, the other does not understand.
    let [json, alertmanager] = [&[503, 500][..], &[400]].map(Receiver::start);
    let config = webhook("json", "json", &json) + &webhook("am", "alertmanager", &alertmanager);
    let agent = host.agent().config(&config).start();
    let muted = [
        "anomalies",
        "mute",
        "--kind",
        "refused-storm",
        "--why",
        "a test",
    ];
    assert_eq!(agent.weir(&muted).expect(0).stderr, "");
    let runaway = host.workload("granted").busy(server);
    let refused = host.workload("other").busy(server);

    let told = eventually_within(TWO_MINUTES, "a notice", || json.bodies().pop());
    let [notice] = told.as_array().map_or(&[][..], Vec::as_slice) else {
        panic!("{told}");
    };
    assert_eq!(notice["kind"], "unusual-volume");
    assert_eq!(notice["endpoint"], "model");
    let summary = notice["summary"].as_str().expect("a sentence");
    assert!(
        summary.contains(" calls model unusually often: ") && summary.contains(" in a minute, "),
        "{summary}"
    );
    let id = notice["id"].to_string();
    let all = eventually_within(TWO_MINUTES, "both kinds", || {
        Some(list(&agent, &["--all"])).filter(|all| all.len() == 2)
    });
    let storm = all.iter().find(|one| one["kind"] == "refused-storm");
    let storm = storm.unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(storm["muted"], true);
    assert_eq!(list(&agent, &["--open"]).len(), 1);
    let shown = agent.weir(&["anomalies", "show", &id]).expect(0).stdout;
    assert!(shown.contains(summary), "{shown}");
    let log = agent.log();
    assert!(log.contains("not told of anomalies"), "{log}");
    assert!(log.contains("answered 400"), "{log}");
    assert_eq!(alertmanager.bodies(), Vec::<Value>::new());

    // It is the same episode for the next agent.
    let before = list(&agent, &[])[0]["last_seen"].clone();
    agent.kill();
    let agent = host.agent().start();
    eventually_within(TWO_MINUTES, "another look", || {
        (list(&agent, &[]).first()?["last_seen"] != before).then_some(())
    });
    assert_eq!(list(&agent, &["--all"]).len(), 2);
    assert_eq!(json.bodies().len(), 1);
    runaway.stop();
    refused.stop();

    let ack = ["anomalies", "ack", &id, "--why", "a test"];
    agent.weir(&ack).expect(0);
    assert_eq!(list(&agent, &[]), Vec::<Value>::new());
    let records = agent.json(&["audit", "list"])["records"].to_string();
    for action in ["anomaly-found", "anomaly-acknowledged", "anomaly-muted"] {
        assert!(records.contains(action), "{action}: {records}");
    }
}

#[test]
fn who_calls_unusually_often_is_refused_if_its_grant_says_so() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let other = host.tcp_server("127.0.0.1:0", 0);
    let gateway =
        model("127.0.0.0/8", &other.port().to_string()).replace("name: model", "name: gate");
    let gateway = gateway.split("---").next().unwrap_or_default();
    let of = |name: &str, rest: &str| grant(name, &host.cgroup_path(name), rest);
    let policy = [
        gateway.to_owned() + "---\n",
        model("127.0.0.0/8", &server.port().to_string()),
        of("suspended", "onAnomaly: suspend"),
        of("throttled", "onAnomaly: throttle"),
        of("bypassing", ""),
        of("through", "gateway: true")
            .replace("[model]", "[gate]")
            .replace(&host.cgroup_path("through"), &host.cgroup_path("bypassing")),
    ];
    host.write_policy("p.yaml", &policy.concat());
    let config = "[anomalies]\nthrottle = \"10s\"\n";
    let agent = host.agent().config(config).start();
    let busy = ["suspended", "throttled"].map(|name| host.workload(name).busy(server));
    let bypassing = host.workload("bypassing");
    assert_eq!(bypassing.connect(other).ok, 1);
    // The minute in which the agent starts is not looked at, and an anomaly is there before what is
    // done about it.
    let found = |kind: &str, is_it: &dyn Fn(&Value) -> bool| -> Value {
        eventually_within(TWO_MINUTES, kind, || {
            bypassing.connect(server);
            let mut all = list(&agent, &["--kind", kind]).into_iter();
            all.find(is_it)
        })
    };
    let bypass = found("bypasses-gateway", &|_| true);
    assert_eq!(bypass["endpoint"], "model");
    let rule = |name: &str| {
        let anomaly = found("unusual-volume", &|one| {
            one["identity"].to_string().contains(name) && !one["response"].is_null()
        });
        let response = anomaly["response"].to_string();
        let rule = response.split('`').nth(1).map(str::to_owned);
        rule.unwrap_or_else(|| panic!("{response}"))
    };
    let [suspended, throttled] = ["suspended", "throttled"].map(rule);
    busy.into_iter().for_each(|running| {
        running.stop();
    });
    let refused = |name: &str| host.workload(name).connect(server).refused == 1;
    assert!(refused("suspended"));
    eventually_within(TWO_MINUTES, "the throttled one is let through", || {
        (!refused("throttled")).then_some(())
    });
    assert!(refused("suspended"));
    agent.weir(&["deny", "remove", &suspended]).expect(0);
    assert!(!refused("suspended"));
    let records = agent.json(&["audit", "list", "--name", &throttled])["records"].to_string();
    for action in ["deny-added", "deny-removed"] {
        assert!(records.contains(action), "{action}: {records}");
    }
}

#[test]
fn mistakes_about_anomalies_say_what_to_do() {
    let host = host();
    let agent = host.agent().start();
    let refused = |args: &[&str], told: &str| {
        let stderr = agent.weir(args).expect(2).stderr;
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    };
    refused(
        &["anomalies", "show", "7"],
        "no anomaly 7; `weir anomalies list --all`",
    );
    let ack = ["anomalies", "ack", "7", "--why", "x"];
    refused(&ack, "no anomaly 7");
    refused(&["anomalies", "mute", "--end", "7"], "no mute 7; ");
    let mute = ["anomalies", "mute", "--endpoint", "openai"];
    refused(&mute, "say why");
    let long_ago = [&mute[..], &["--why", "x", "--for=-1h"]].concat();
    refused(&long_ago, "over already");
    let strange = ["anomalies", "list", "--identity", "nobody"];
    refused(&strange, "`nobody`");
    drop(agent);

    let failed = host
        .agent()
        .config("[[anomalies.webhooks]]\nname = \"ops\"\nurl = \"ftp://x/\"\n")
        .fail();
    assert!(
        failed
            .stderr
            .contains("anomalies.webhooks: url of `ops` is not of the form http"),
        "{failed:?}"
    );
    let agent = host
        .agent()
        .config("[anomalies]\nenabled = false\n")
        .start();
    let told = agent.weir(&["anomalies", "list"]).expect(0).stdout;
    assert!(told.contains("does not look for anomalies"), "{told}");
}
