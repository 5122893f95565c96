//! The kubelet of this node, asked again and again: it has no watch.

use std::{path::Path, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{Request, Uri, http::uri::Parts};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, Config, client::Body, core::ObjectList};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    PodInfo, Update,
    api::MAX_ANSWER,
    convert,
    reporter::{Reporter, client_reason},
};

const EVERY: Duration = Duration::from_secs(10);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(9);
const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Never ends.
pub(super) async fn run<F: Fn(Update)>(
    node: &str,
    url: &str,
    ca: Option<&Path>,
    insecure: bool,
    reporter: &mut Reporter<'_, F>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        ticks.tick().await;
        let asked = timeout(PATIENCE, connect_and_ask(node, url, ca, insecure)).await;
        match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(pods) => {
                if known.as_ref() != Some(&pods) {
                    reporter.tell(Update::Replaced(pods.clone()));
                    known = Some(pods);
                }
                reporter.connected();
            }
            Err(why) => reporter.away(&why),
        }
    }
}

async fn connect_and_ask(
    node: &str,
    url: &str,
    ca: Option<&Path>,
    insecure: bool,
) -> Result<Vec<PodInfo>, String> {
    let (config, path) = config(url, ca, insecure)?;
    let client = Client::try_from(config).map_err(|error| client_reason(&error))?;
    ask(&client, &path, node).await
}

pub(super) async fn ask(client: &Client, path: &str, node: &str) -> Result<Vec<PodInfo>, String> {
    let failed = |error: kube::Error| client_reason(&error);
    let request = Request::get(path).body(Body::empty());
    let request = request.map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(failed)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    if !status.is_success() {
        let message = String::from_utf8_lossy(&body).trim().to_owned();
        let status = kube::core::Status::failure(&message, "").with_code(status.as_u16());
        return Err(client_reason(&kube::Error::Api(status.boxed())));
    }
    let list: ObjectList<Pod> = serde_json::from_slice(&body)
        .map_err(|error| format!("the answer is not a list of pods: {error}"))?;
    let pods = list.items.into_iter().filter_map(convert::pod);
    // A kubelet has no other pods than its node's, but anything may answer.
    let is_here = |pod: &PodInfo| pod.node.as_deref().is_none_or(|name| name == node);
    Ok(pods.filter(is_here).collect())
}

/// The credentials are read anew each time: they are replaced while we run.
fn config(url: &str, ca: Option<&Path>, insecure: bool) -> Result<(Config, String), String> {
    let (server, path) = server_and_path(url)?;
    let is_encrypted = server.scheme_str() == Some("https");
    let mut config = Config::new(server);
    config.connect_timeout = Some(PATIENCE);
    config.default_retry = false;
    config.accept_invalid_certs = insecure;
    let cluster = Path::new(CREDENTIALS).join("ca.crt");
    let ca = ca.or_else(|| cluster.exists().then_some(cluster.as_path()));
    let ca = ca.filter(|_| is_encrypted && !insecure);
    if insecure || ca.is_some() {
        // Instead of the machine's own roots, which need not exist.
        config.root_cert = Some(Vec::new());
    }
    config.root_cert_file = ca.map(Path::to_owned);
    let token = Path::new(CREDENTIALS).join("token");
    // Never in the clear.
    if is_encrypted && token.exists() {
        config.auth_info.token_file = Some(token.display().to_string());
    }
    Ok((config, path))
}

fn server_and_path(url: &str) -> Result<(Uri, String), String> {
    let invalid = || format!("`{url}` is not a URL: write https://ADDRESS:10250/pods");
    let Parts {
        scheme,
        authority,
        path_and_query,
        ..
    } = url.parse::<Uri>().map_err(|_| invalid())?.into_parts();
    let path = path_and_query.filter(|path| path.path() != "/");
    let path = path.map_or_else(|| "/pods".to_owned(), |path| path.to_string());
    let mut server = Parts::default();
    server.scheme = Some(scheme.ok_or_else(invalid)?);
    server.authority = Some(authority.ok_or_else(invalid)?);
    server.path_and_query = Some("/".parse().map_err(|_| invalid())?);
    let server = Uri::from_parts(server).map_err(|_| invalid())?;
    Ok((server, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_leave_the_path_out() {
        let check = |url: &str, expected: Option<(&str, &str)>| {
            let found = server_and_path(url).ok();
            let found = found.map(|(server, path)| (server.to_string(), path));
            let expected = expected.map(|(server, path)| (server.to_owned(), path.to_owned()));
            assert_eq!(found, expected, "{url}");
        };
        let secure = Some(("https://127.0.0.1:10250/", "/pods"));
        check("https://127.0.0.1:10250", secure);
        check("https://127.0.0.1:10250/", secure);
        check("https://127.0.0.1:10250/pods", secure);
        check(
            "http://[::1]:10255/x/pods",
            Some(("http://[::1]:10255/", "/x/pods")),
        );
        check("127.0.0.1:10250", None);
        check("/pods", None);
        check("", None);
    }
}
