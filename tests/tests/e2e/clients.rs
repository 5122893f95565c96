//! Programs as people use them: one name is a model endpoint, the other is not, and both are served
//! at the same address and port.

use std::{iter, net::UdpSocket, time::Duration};

use weir_tests::harness::{
    Absent, Agent, Answer, Client, Host, Site, eventually,
    site::{ADDRESS, ADDRESS_6, PROXY, Record},
};

use super::{grant, host, named_model};

/// Names of the endpoint `model`.
const MODEL: &str = "api.model.test";
const ALIAS: &str = "alias.model.test";
const MODEL_6: &str = "six.model.test";
/// Names that are nobody's endpoint.
const OTHER: &str = "www.other.test";
const OTHER_6: &str = "six.other.test";

/// Longest time between a refusal and the error that the caller reports, beyond what the same call
/// takes when it goes through.
const AT_ONCE: Duration = Duration::from_secs(2);

fn site(host: &Host) -> Site {
    let names = [MODEL, ALIAS, MODEL_6, OTHER, OTHER_6];
    let records = [
        Record::Address(MODEL, &[ADDRESS]),
        Record::Address("edge.cdn.test", &[ADDRESS]),
        Record::Alias(ALIAS, "edge.cdn.test"),
        Record::Address(MODEL_6, &[ADDRESS_6]),
        Record::Address(OTHER, &[ADDRESS]),
        Record::Address(OTHER_6, &[ADDRESS_6]),
    ];
    Site::new(host, &names, &records)
}

/// Only the cgroup `granted` may call the endpoint, which has names and no addresses.
fn agent(host: &Host, site: &Site) -> Agent {
    let model = named_model(&[MODEL, ALIAS, MODEL_6]);
    let granted = grant("a", &host.cgroup_path("granted"), "ttl: 1h");
    host.write_policy("p.yaml", &(model + &granted));
    host.agent().name_server(&site.name_server()).start()
}

/// A client, what it is given for a name, and the two names that it calls.
struct Way {
    client: Client,
    url: fn(&str) -> String,
    model: &'static str,
    other: &'static str,
}

impl Way {
    fn call(&self, host: &Host, site: &Site, workload: &str, name: &str) -> Answer {
        let url = (self.url)(name);
        self.client.call(&host.workload(workload), site, &url)
    }

    fn model(self, model: &'static str) -> Self {
        Self { model, ..self }
    }
}

fn https(client: Client) -> Way {
    Way {
        client,
        url: |name| format!("https://{name}/"),
        model: MODEL,
        other: OTHER,
    }
}

fn http(client: Client) -> Way {
    Way {
        url: |name| format!("http://{name}/"),
        ..https(client)
    }
}

fn curl(options: &[&str]) -> Result<Way, Absent> {
    Ok(https(Client::curl(options)))
}

/// A test for each way, and a list of all.
macro_rules! ways {
    ($($name:ident: $way:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let way: Result<Way, Absent> = $way;
                match way {
                    Ok(way) => check(&way),
                    Err(why) => println!("SKIP clients::{}: {why}", stringify!($name)),
                }
            }
        )*

        /// Those that can be run here.
        fn ways() -> Vec<(&'static str, Way)> {
            let mut ways = Vec::new();
            $(
                let way: Result<Way, Absent> = $way;
                ways.extend(way.ok().map(|way| (stringify!($name), way)));
            )*
            ways
        }
    };
}

ways! {
    curl_over_http_1: curl(&["--http1.1"]);
    curl_that_offers_http_2: Client::curl_with("HTTP2", &["--http2"]).map(https);
    curl_over_plain_http: Ok(http(Client::curl(&[])));
    curl_with_an_alias_of_the_name: curl(&[]).map(|way| way.model(ALIAS));
    curl_over_ipv6: curl(&[]).map(|way| Way { other: OTHER_6, ..way.model(MODEL_6) });
    curl_with_addresses_of_its_own: curl(&[
        "--resolve", &format!("{MODEL}:443:{ADDRESS}"),
        "--resolve", &format!("{OTHER}:443:{ADDRESS}"),
    ]);
    curl_that_connects_elsewhere: curl(&["--connect-to", &format!("::{ADDRESS}:443")]);
    curl_through_a_proxy: curl(&["--proxy", &format!("http://{PROXY}")]);
    curl_over_plain_http_through_a_proxy:
        Ok(http(Client::curl(&["--proxy", &format!("http://{PROXY}")])));
    curl_through_socks_5: curl(&["--socks5-hostname", PROXY]);
    curl_through_socks_5_with_a_password:
        curl(&["--socks5-hostname", PROXY, "--proxy-user", "me:secret"]);
    curl_through_socks_5_with_an_address: curl(&["--socks5", PROXY]);
    curl_through_socks_4a: curl(&["--socks4a", PROXY]);
    curl_through_socks_4: curl(&["--socks4", PROXY]);
    python_requests: Client::python("requests_get.py").map(https);
    python_httpx: Client::python("httpx_get.py").map(https);
    openai_sdk: Client::python("openai_chat.py").map(https);
    node_fetch: Client::node("fetch.mjs").map(https);
    node_https: Client::node("https.mjs").map(https);
    go_net_http: Client::go().map(https);
    openssl_s_client: Ok(https(Client::openssl()));
    chromium: Client::chromium(&[]).map(https);
}

/// The granted workload reaches both names, the other one only the ordinary one: the endpoint is
/// refused, with an error and at once.
fn check(way: &Way) {
    let host = host();
    let site = site(&host);
    let agent = agent(&host, &site);
    let Way { model, other, .. } = *way;
    for name in [other, model] {
        let answer = way.call(&host, &site, "granted", name);
        assert!(answer.is_from(name), "granted: {:?}", answer.ran);
    }
    let reached = || (site.log().n_for(model), site.proxy().n_for(model));
    let before = reached();

    let passed = way.call(&host, &site, "other", other);
    assert!(passed.is_from(other), "ordinary: {:?}", passed.ran);
    let refused = way.call(&host, &site, "other", model);
    assert!(!refused.is_from(model), "not refused: {:?}", refused.ran);
    let at_once = passed.ran.elapsed + AT_ONCE;
    assert!(refused.ran.elapsed < at_once, "late: {:?}", refused.ran);
    let again = way.call(&host, &site, "other", other);
    assert!(again.is_from(other), "ordinary, again: {:?}", again.ran);

    assert_eq!(reached(), before, "nothing reached server or proxy");
    let identity = format!("cgroup:{}", host.cgroup_path("other"));
    let fields = [
        ("identity", identity.as_str()),
        ("verdict", "deny"),
        ("reason", "no-grant"),
        ("endpoint", "model"),
    ];
    eventually("the event", || agent.events(&fields).pop());
}

/// Else a refusal would prove nothing.
#[test]
fn every_client_reaches_both_names_without_an_agent() {
    let host = host();
    let site = site(&host);
    for (name, way) in ways() {
        for asked in [way.other, way.model] {
            let before = site.log().n_for(asked);
            let answer = way.call(&host, &site, "other", asked);
            assert!(answer.is_from(asked), "{name}: {:?}", answer.ran);
            assert!(site.log().n_for(asked) > before, "{name}: {asked}");
        }
    }
}

/// A browser that is told to use QUIC: nothing that begins a connection leaves a workload that has
/// no grant, whatever the name.
#[test]
fn chromium_over_quic() {
    let options = [MODEL, OTHER].map(|name| format!("--origin-to-force-quic-on={name}:443"));
    let [model, other] = options.map(|option| Client::chromium(&[&option]));
    let (Ok(model), Ok(other)) = (model, other) else {
        println!("SKIP clients::chromium_over_quic: chromium is absent");
        return;
    };
    let host = host();
    let site = site(&host);
    let (socket, _) = host.udp_server(&format!("{ADDRESS}:443"));
    socket.set_nonblocking(true).expect("a mode");
    let try_both = || {
        for (client, name) in [(&model, MODEL), (&other, OTHER)] {
            let url = format!("https://{name}/");
            client.call(&host.workload("other"), &site, &url);
        }
        iter::from_fn(|| begins_quic(&socket))
            .filter(|begins| *begins)
            .count()
    };
    assert!(try_both() > 0, "without an agent");
    let _agent = agent(&host, &site);
    assert_eq!(try_both(), 0, "with an agent");
}

/// Whether the next datagram has a long header; nothing when there is none.
fn begins_quic(socket: &UdpSocket) -> Option<bool> {
    let mut buffer = [0; 2048];
    socket.recv(&mut buffer).ok()?;
    Some(buffer[0] & 0x80 != 0)
}
