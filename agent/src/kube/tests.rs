//! What the API server and the kubelet may answer, recorded, broken and cut off.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http_body_util::StreamBody;
use hyper::{Request, Response, body::Frame};
use kube::client::{Body, ClientBuilder};
use kube::runtime::watcher::DefaultBackoff;
use tokio::sync::{Notify, mpsc};

use super::{api, kubelet, *};

const LIST_1_20: &str = include_str!("tests/list-1.20.json");
const LIST_1_36: &str = include_str!("tests/list-1.36.json");
const KUBELET: &str = include_str!("tests/kubelet.json");

const EMPTY: &str =
    r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[]}"#;
const FORBIDDEN: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
    "message":"pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" at the cluster scope",
    "reason":"Forbidden","details":{"kind":"pods"},"code":403}"#;
const UNAUTHORIZED: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
    "message":"Unauthorized","reason":"Unauthorized","code":401}"#;
const EXPIRED: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 9 (20)","reason":"Expired","code":410}"#;

/// One answer of a scripted server.
enum Reply {
    Answer(u16, String),
    /// The lines of a watch, and how it ends.
    Watch(Vec<String>, End),
    /// No answer at all.
    HangUp,
}

#[derive(Clone, Copy)]
enum End {
    /// As a server ends it when its time is over.
    Close,
    Break,
    Never,
}

type AnswerBody = StreamBody<BoxStream<'static, Result<Frame<Bytes>, io::Error>>>;

impl Reply {
    fn into_response(self) -> Result<Response<AnswerBody>, io::Error> {
        let (code, lines, end) = match self {
            Self::Answer(code, body) => (code, vec![body], End::Close),
            Self::Watch(lines, end) => {
                let line = |line: String| format!("{line}\n");
                (200, lines.into_iter().map(line).collect(), end)
            }
            Self::HangUp => return Err(io::Error::other("connection refused")),
        };
        let lines = stream::iter(lines).map(|line| Ok(Frame::data(Bytes::from(line))));
        let body = match end {
            End::Close => lines.boxed(),
            End::Break => lines
                .chain(stream::iter([Err(io::Error::other("connection reset"))]))
                .boxed(),
            End::Never => lines.chain(stream::pending()).boxed(),
        };
        let response = Response::builder().status(code);
        response
            .body(StreamBody::new(body))
            .map_err(io::Error::other)
    }
}

/// Answers each request with the next reply, and with nothing when there are none left.
#[derive(Clone)]
struct Server {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            requests: Arc::default(),
        }
    }

    fn client(&self, answered: &Arc<Notify>) -> kube::Client {
        let Self { replies, requests } = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let asked = request.uri().to_string();
            requests.lock().expect("requests").push(asked);
            let reply = replies.lock().expect("replies").pop_front();
            async move {
                match reply {
                    Some(reply) => reply.into_response(),
                    None => std::future::pending().await,
                }
            }
        });
        api::noting(ClientBuilder::new(service, "default"), Arc::clone(answered))
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }

    /// The first `count` updates that following this server brings.
    async fn updates(&self, count: usize) -> Vec<Update> {
        let (sender, mut updates) = mpsc::unbounded_channel();
        let report = move |update| sender.send(update).expect("the test listens");
        let answered = Arc::new(Notify::new());
        let follow = async {
            let client = self.client(&answered);
            let mut reporter = Reporter::new(&report);
            let mut backoff = DefaultBackoff::default();
            api::follow("n1", client, &answered, &mut reporter, &mut backoff).await;
            std::future::pending::<()>().await;
        };
        let mut told = Vec::new();
        let listen = async {
            while told.len() < count {
                told.push(updates.recv().await.expect("an update"));
            }
        };
        tokio::select! {
            () = follow => {}
            () = listen => {}
        }
        told
    }
}

fn list(body: &str) -> Reply {
    Reply::Answer(200, body.to_owned())
}

fn event(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

fn bare(name: &str, version: u32, labels: &str) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"team","uid":"uid-{name}","resourceVersion":"{version}","labels":{{{labels}}}}},"spec":{{"containers":[],"nodeName":"n1"}},"status":{{"phase":"Pending"}}}}"#
    )
}

fn bookmark(version: u32) -> String {
    let object = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"resourceVersion":"{version}","creationTimestamp":null}},"spec":{{"containers":null}},"status":{{}}}}"#
    );
    event("BOOKMARK", &object)
}

/// Updates in short: `+name`, `-uid`, `=names`, `on`, `off why`.
fn short(updates: &[Update]) -> Vec<String> {
    updates
        .iter()
        .map(|update| match update {
            Update::Replaced(pods) => {
                let names: Vec<_> = pods.iter().map(|pod| pod.name.as_str()).collect();
                format!("={}", names.join(","))
            }
            Update::Applied(pod) => format!("+{}", pod.name),
            Update::Deleted(uid) => format!("-{uid}"),
            Update::Connected => "on".to_owned(),
            Update::Away { why, .. } => format!("off {why}"),
        })
        .collect()
}

fn container(digit: char, name: &str, image: &str) -> ContainerInfo {
    ContainerInfo {
        id: digit.to_string().repeat(64),
        name: name.to_owned(),
        image: image.to_owned(),
    }
}

fn owner(kind: &str, name: &str) -> Option<Owner> {
    Some(Owner {
        kind: kind.to_owned(),
        name: name.to_owned(),
    })
}

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn static_pod() -> PodInfo {
    PodInfo {
        uid: "9d3c1b7e0f2a4d5c6b7a8e9f00112233".to_owned(),
        namespace: "kube-system".to_owned(),
        name: "etcd-n1".to_owned(),
        labels: strings(&[("component", "etcd")]),
        service_account: None,
        owner: None,
        containers: vec![container('e', "etcd", "registry.example/etcd:3.6")],
        node: Some("n1".to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_an_old_server_is_understood() {
    let server = Server::new([list(LIST_1_20)]);
    let told = server.updates(2).await;
    let expected = PodInfo {
        uid: "5ae793b7-0c86-4b9e-8865-97d0e4617cd1".to_owned(),
        namespace: "team".to_owned(),
        name: "api-7d9f8b6c5d-x2x4z".to_owned(),
        labels: strings(&[("app", "api"), ("pod-template-hash", "7d9f8b6c5d")]),
        service_account: Some("reader".to_owned()),
        owner: owner("Deployment", "api"),
        containers: vec![
            container('a', "migrate", "registry.example/migrate:1"),
            container('b', "main", "registry.example/api:7"),
        ],
        node: Some("n1".to_owned()),
    };
    assert_eq!(told, [Update::Replaced(vec![expected]), Update::Connected]);
    let requests = server.requests();
    let first = requests.first().expect("a request");
    assert!(
        first.starts_with("/api/v1/pods?") && first.contains("fieldSelector=spec.nodeName%3Dn1"),
        "{first}"
    );
    assert!(!first.contains("sendInitialEvents"), "{first}");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_a_new_server_is_understood() {
    let told = Server::new([list(LIST_1_36)]).updates(2).await;
    let nightly = PodInfo {
        uid: "0d9c7f0e-3f0b-4c86-9d7c-8f6f2d3b1a11".to_owned(),
        namespace: "batch".to_owned(),
        name: "nightly-29123400-4kq2p".to_owned(),
        labels: strings(&[
            (
                "batch.kubernetes.io/controller-uid",
                "aa0e8400-e29b-41d4-a716-446655440000",
            ),
            ("batch.kubernetes.io/job-name", "nightly-29123400"),
            ("controller-uid", "aa0e8400-e29b-41d4-a716-446655440000"),
            ("job-name", "nightly-29123400"),
        ]),
        service_account: Some("nightly".to_owned()),
        owner: owner("CronJob", "nightly"),
        containers: vec![
            container('c', "proxy", "registry.example/proxy:3"),
            container('d', "main", "registry.example/nightly@sha256:11"),
        ],
        node: Some("n1".to_owned()),
    };
    assert_eq!(
        told,
        [
            Update::Replaced(vec![nightly, static_pod()]),
            Update::Connected
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_its_last_bookmark() {
    let events = vec![
        event("ADDED", &bare("a", 10, "")),
        event("MODIFIED", &bare("a", 11, r#""tier":"web""#)),
        event("ADDED", &bare("b", 12, "")),
        event("DELETED", &bare("a", 13, "")),
        bookmark(40),
    ];
    let more = vec![event("ADDED", &bare("c", 41, ""))];
    let server = Server::new([
        list(EMPTY),
        Reply::Watch(events, End::Close),
        Reply::Watch(more, End::Never),
    ]);
    let told = server.updates(7).await;
    assert_eq!(short(&told), ["=", "on", "+a", "+a", "+b", "-uid-a", "+c"]);
    let Some(Update::Applied(pod)) = told.get(3) else {
        panic!("{told:?}");
    };
    assert_eq!(pod.labels, strings(&[("tier", "web")]));
    let requests = server.requests();
    let is_watch_from = |index: usize, version: &str| {
        let request = requests.get(index).expect("a request");
        assert!(
            request.contains("watch=true")
                && request.contains("allowWatchBookmarks=true")
                && request.ends_with(&format!("resourceVersion={version}")),
            "{request}"
        );
    };
    is_watch_from(1, "9");
    is_watch_from(2, "40");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_forgotten_is_asked_for_everything_again() {
    let list_of = |name: &str, version: u32| {
        let pod = bare(name, version, "");
        list(&EMPTY.replace("[]", &format!("[{pod}]")))
    };
    let server = Server::new([
        list_of("a", 5),
        Reply::Watch(vec![event("ERROR", EXPIRED)], End::Close),
        list_of("b", 20),
        Reply::Watch(Vec::new(), End::Never),
    ]);
    // It was there all the time.
    assert_eq!(short(&server.updates(3).await), ["=a", "on", "=b"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_version_begins_anew() {
    let server = Server::new([list(EMPTY), Reply::Answer(410, EXPIRED.to_owned())]);
    let answered = Arc::new(Notify::new());
    let report = |_| {};
    let mut reporter = Reporter::new(&report);
    let mut backoff = DefaultBackoff::default();
    let client = server.client(&answered);
    api::follow("n1", client, &answered, &mut reporter, &mut backoff).await;
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_goes_on_where_it_was() {
    let server = Server::new([
        list(EMPTY),
        Reply::Watch(vec![event("ADDED", &bare("a", 10, ""))], End::Break),
        Reply::HangUp,
        Reply::HangUp,
        Reply::Watch(Vec::new(), End::Never),
    ]);
    let told = server.updates(6).await;
    assert_eq!(
        short(&told),
        [
            "=",
            "on",
            "+a",
            "off connection reset",
            "off connection refused",
            "on"
        ]
    );
    let [
        ..,
        Update::Away { since, .. },
        Update::Away { since: still, .. },
        _,
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    assert_eq!(since, still);
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|one| !one.contains("watch="))
            .count(),
        1,
        "it is not listed again"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_a_server_answers_the_next_good_answer_counts() {
    let forbidden = "off not allowed (pods is forbidden: User \"x\" cannot list resource \"pods\" \
                     in API group \"\" at the cluster scope): bind a role that may get, list and \
                     watch pods";
    let not_pods = "off the answer is not a list of pods";
    for (reply, why) in [
        (Reply::Answer(403, FORBIDDEN.to_owned()), forbidden),
        (
            Reply::Answer(403, "<html>proxy</html>".to_owned()),
            "off not allowed",
        ),
        (Reply::Answer(500, String::new()), "off answered 500"),
        (
            Reply::Answer(429, "slow down".to_owned()),
            "off answered 429",
        ),
        (list("<html>"), not_pods),
        (list(""), not_pods),
        (list("{}"), not_pods),
        (list(r#"{"items":[{"metadata":7}]}"#), not_pods),
        (list(&LIST_1_20[..2000]), not_pods),
        (
            list(r#"{"kind":"PodList","metadata":{},"items":[]}"#),
            "off the answer has no resourceVersion",
        ),
        (Reply::HangUp, "off connection refused"),
    ] {
        let server = Server::new([reply, list(EMPTY)]);
        let told = short(&server.updates(3).await);
        assert!(
            told.first().is_some_and(|one| one.starts_with(why)),
            "{told:?}"
        );
        assert_eq!(
            told.get(1..),
            Some(["=".to_owned(), "on".to_owned()].as_slice())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_within_a_watch_changes_nothing_that_is_known() {
    for line in [
        "<html>",
        r#"{"type":"ADDED","object":{"metadata":7}}"#,
        r#"{"type":"TURNED","object":{}}"#,
    ] {
        let server = Server::new([
            list(EMPTY),
            Reply::Watch(vec![line.to_owned()], End::Close),
            Reply::Watch(vec![event("ADDED", &bare("a", 10, ""))], End::Never),
        ]);
        let told = short(&server.updates(5).await);
        let [listed, on, off, again, added] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(
            [listed, on, again, added],
            ["=", "on", "on", "+a"],
            "{line}"
        );
        assert!(off.starts_with("off "), "{line}: {off}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_without_a_uid_or_a_name_are_left_out() {
    let nameless = r#"{"metadata":{"uid":"1"},"spec":{"containers":[]}}"#;
    let without_uid = r#"{"metadata":{"name":"a","namespace":"b"},"spec":{"containers":[]}}"#;
    let items = format!("[{nameless},{without_uid},{{\"metadata\":{{}}}}]");
    let server = Server::new([list(&EMPTY.replace("[]", &items))]);
    assert_eq!(short(&server.updates(2).await), ["=", "on"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_given_up() {
    let chunk = " ".repeat(1 << 20);
    let endless = vec![chunk; (api::MAX_ANSWER >> 20) + 1];
    let server = Server::new([Reply::Watch(endless, End::Close), list(EMPTY)]);
    let told = short(&server.updates(3).await);
    assert_eq!(told, ["off length limit exceeded", "=", "on"]);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_accepted_are_read_again() {
    let server = Server::new([Reply::Answer(401, UNAUTHORIZED.to_owned())]);
    let told = short(&server.updates(1).await);
    assert_eq!(told, ["off the credentials are not accepted: Unauthorized"]);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kubeconfig_that_cannot_be_read_is_tried_for_ever() {
    let (sender, mut updates) = mpsc::unbounded_channel();
    let report = move |update| sender.send(update).expect("the test listens");
    let options = Options {
        node: "n1".to_owned(),
        source: Source::Api {
            kubeconfig: Some("/nonexistent/kubeconfig".into()),
        },
    };
    let follow = tokio::time::timeout(std::time::Duration::from_secs(600), run(options, report));
    follow.await.expect_err("it never ends");
    let Some(Update::Away { why, .. }) = updates.recv().await else {
        panic!("it is away");
    };
    assert!(why.starts_with("/nonexistent/kubeconfig: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_tells_its_pods_and_nobody_elses() {
    let server = Server::new([
        list(KUBELET),
        Reply::Answer(
            403,
            "Forbidden (user=x, verb=get, resource=nodes, subresource=proxy)".into(),
        ),
        list("<html>"),
        list(r#"{"kind":"PodList","metadata":{},"items":null}"#),
        Reply::HangUp,
        list(r#"{"kind":"PodList","metadata":{},"items":[]}"#),
    ]);
    let client = server.client(&Arc::default());
    let ask = || kubelet::ask(&client, "/pods", "n1");
    let db = PodInfo {
        uid: "11111111-2222-4333-8444-555555555555".to_owned(),
        namespace: "team".to_owned(),
        name: "db-0".to_owned(),
        labels: strings(&[
            ("app", "db"),
            ("statefulset.kubernetes.io/pod-name", "db-0"),
        ]),
        service_account: Some("default".to_owned()),
        owner: owner("StatefulSet", "db"),
        containers: Vec::new(),
        node: Some("n1".to_owned()),
    };
    assert_eq!(ask().await, Ok(vec![static_pod(), db]));
    let refused = ask().await.expect_err("forbidden");
    assert!(
        refused.starts_with("not allowed (Forbidden (user=x"),
        "{refused}"
    );
    let garbage = ask().await.expect_err("garbage");
    assert!(
        garbage.starts_with("the answer is not a list of pods"),
        "{garbage}"
    );
    let null = ask().await;
    assert!(null.is_err() || null == Ok(Vec::new()), "{null:?}");
    assert_eq!(ask().await, Err("connection refused".to_owned()));
    assert_eq!(ask().await, Ok(Vec::new()));
    assert_eq!(server.requests().first().map(String::as_str), Some("/pods"));
}
