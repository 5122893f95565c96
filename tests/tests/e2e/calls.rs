//! Calls as people make them: how far is the count from what the server has got?

use weir_tests::harness::{
    Absent, Agent, Client, Host, Site, eventually,
    site::{Model, Record},
};

use super::{grant, host, named_model};

const NAME: &str = "api.model.test";
const ADDRESS: &str = "127.0.0.21";
/// Calls by each client.
const N: u64 = 50;
/// Largest error that is accepted, in hundredths.
const TOLERANCE: u64 = 3;

/// A client that makes [`N`] calls, and where.
struct Way {
    name: &'static str,
    client: Result<Client, Absent>,
    url: String,
}

fn way(name: &'static str, client: Result<Client, Absent>) -> Way {
    let url = format!("https://{NAME}/");
    Way { name, client, url }
}

fn plain(name: &'static str, client: Result<Client, Absent>) -> Way {
    let url = format!("http://{NAME}/");
    Way { name, client, url }
}

/// curl makes a call for each URL that this stands for.
fn each(way: Way) -> Way {
    let url = format!("{}v1/chat/completions?n=[1-{N}]", way.url);
    Way { url, ..way }
}

fn python(library: &str) -> Result<Client, Absent> {
    Client::python("calls.py").map(|client| client.with(&[library, &N.to_string()]))
}

fn node(library: &str) -> Result<Client, Absent> {
    Client::node("calls.mjs").map(|client| client.with(&[library, &N.to_string()]))
}

fn go(version: &str) -> Result<Client, Absent> {
    Client::go_that_calls().map(|client| client.with(&[version, &N.to_string()]))
}

fn curl(options: &[&str]) -> Result<Client, Absent> {
    let question = r#"{"model": "m", "messages": [{"role": "user", "content": "hello?"}]}"#;
    let fixed = ["--data", question, "--output", "/dev/null"];
    Client::curl_with("HTTP2", &[&fixed[..], options].concat())
}

/// One call after the other, on one connection; `apart`, each on its own.
fn ways() -> Vec<Way> {
    vec![
        each(way("curl-1", curl(&["--http1.1"]))),
        each(way("curl-2", curl(&["--http2"]))),
        way("requests", python("requests")),
        way("requests-apart", python("requests-apart")),
        way("httpx-1", python("httpx")),
        way("httpx-2", python("httpx-2")),
        way("openai", python("openai")),
        way("node-fetch", node("fetch")),
        way("node-http2", node("http2")),
        way("go-1", go("1")),
        way("go-2", go("2")),
        each(plain("plain-curl", curl(&["--http1.1"]))),
        plain("plain-requests", python("requests")),
        plain("plain-openai", python("openai")),
        plain("plain-node", node("fetch")),
        plain("plain-go", go("1")),
    ]
}

fn site(host: &Host) -> (Site, Model) {
    let site = Site::new(host, &[NAME], &[Record::Address(NAME, &[ADDRESS])]);
    let model = site.serve_model(ADDRESS);
    (site, model)
}

fn agent(host: &Host, site: &Site, workloads: &[&str]) -> Agent {
    let grants = workloads
        .iter()
        .map(|name| grant(name, &host.cgroup_path(name), "ttl: 1h"));
    let policy = named_model(&[NAME]) + &grants.collect::<String>();
    host.write_policy("p.yaml", &policy);
    host.agent().name_server(&site.name_server()).start()
}

/// What is counted of a workload, and how.
fn counted(agent: &Agent, host: &Host, workload: &str) -> (u64, String) {
    let identity = format!("cgroup:{}", host.cgroup_path(workload));
    eventually("the counts", || {
        let report = agent.json(&["usage", "--by", "identity"]);
        let rows = report["rows"].as_array()?.clone();
        let row = rows.iter().find(|row| row["key"][0] == identity.as_str())?;
        let quality = row["calls_quality"].as_str()?.to_owned();
        Some((row["calls"].as_u64()?, quality))
    })
}

#[test]
fn calls_of_real_clients_one_after_the_other_are_counted() {
    let host = host();
    let (site, model) = site(&host);
    let ways = ways();
    let names: Vec<_> = ways.iter().map(|way| way.name).collect();
    let agent = agent(&host, &site, &names);
    let mut wrong = Vec::new();
    for Way { name, client, url } in &ways {
        let client = match client {
            Ok(client) => client,
            Err(why) => {
                println!("SKIP calls::{name}: {why}");
                continue;
            }
        };
        let before = model.n_requests();
        let answer = client.call(&host.workload(name), &site, url);
        assert_eq!(answer.ran.code, Some(0), "{name}: {:?}", answer.ran);
        let made = model.n_requests() - before;
        let (calls, quality) = counted(&agent, &host, name);
        println!("{name}: {calls} of {made} calls, {quality}");
        if calls.abs_diff(made) * 100 > made * TOLERANCE || quality != "inferred" {
            wrong.push((name, calls, made, quality));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn calls_at_the_same_time_are_a_lower_bound() {
    let host = host();
    let (site, model) = site(&host);
    let client = match python("httpx-2-at-once") {
        Ok(client) => client,
        Err(why) => return println!("SKIP calls::calls_at_the_same_time: {why}"),
    };
    let agent = agent(&host, &site, &["several"]);
    let url = format!("https://{NAME}/");
    let answer = client.call(&host.workload("several"), &site, &url);
    assert_eq!(answer.ran.code, Some(0), "{:?}", answer.ran);
    let (calls, quality) = counted(&agent, &host, "several");
    println!(
        "at once: {calls} of {} calls, {quality}",
        model.n_requests()
    );
    assert_eq!((model.n_requests(), quality.as_str()), (N, "lower-bound"));
    assert!((1..=N).contains(&calls), "{calls}");
}
