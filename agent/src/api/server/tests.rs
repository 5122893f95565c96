//! Real requests over a real socket.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
};

use super::*;
use crate::api::{
    client::{Client, ClientError},
    error::ErrorCode,
    types::{PolicyFile, UsageKey},
};

/// As without a configuration.
static ROLES: std::sync::LazyLock<RoleRules> = std::sync::LazyLock::new(RoleRules::default);

/// Answers what the tests ask and refuses the rest.
struct Fake;

fn refuse<T>() -> Result<T, ApiError> {
    let details = vec!["spec.ttl: too long".to_owned()];
    Err(ApiError::new(ErrorCode::InvalidPolicy, "the policy has mistakes").with_details(details))
}

#[async_trait]
impl AnomalyBackend for Fake {
    async fn anomalies(&self, _: AnomalyQuery) -> Result<AnomalyList, ApiError> {
        refuse()
    }
    async fn anomaly(&self, _: i64) -> Result<Anomaly, ApiError> {
        refuse()
    }
    async fn ack_anomaly(&self, _: i64, _: String, _: Peer) -> Result<Anomaly, ApiError> {
        refuse()
    }
    async fn mutes(&self) -> Result<MuteList, ApiError> {
        refuse()
    }
    async fn mute(&self, _: MuteRequest, _: Peer) -> Result<Mute, ApiError> {
        refuse()
    }
    async fn unmute(&self, _: i64, _: Peer) -> Result<(), ApiError> {
        refuse()
    }
}

#[async_trait]
impl Backend for Fake {
    fn roles(&self) -> &RoleRules {
        &ROLES
    }
    async fn note_refusal(&self, _: &Peer, _: &'static str, _: &str) {}
    async fn status(&self) -> Result<Status, ApiError> {
        refuse()
    }
    async fn usage(&self, query: UsageQuery) -> Result<UsageReport, ApiError> {
        Ok(UsageReport {
            next: Some(query.filter.join(" ")),
            by: vec![UsageKey::Identity],
            since: query.since,
            until: Timestamp::UNIX_EPOCH,
            covered_since: None,
            covered_until: None,
            minutes_since: None,
            hours_since: None,
            days_since: None,
            counted_minutes: None,
            intervals: Vec::new(),
            other: None,
            rows: Vec::new(),
            lost_events: 3,
        })
    }
    async fn events(&self, _: EventQuery) -> Result<EventList, ApiError> {
        refuse()
    }
    async fn identities(&self) -> Result<IdentityList, ApiError> {
        refuse()
    }
    async fn endpoints(&self) -> Result<EndpointList, ApiError> {
        refuse()
    }
    async fn match_host(&self, host: String) -> Result<EndpointMatches, ApiError> {
        Ok(EndpointMatches {
            host,
            matches: Vec::new(),
            similar: Vec::new(),
        })
    }
    async fn explain(&self, _: ExplainQuery) -> Result<Explanation, ApiError> {
        refuse()
    }
    async fn grants(&self, _: bool) -> Result<GrantList, ApiError> {
        refuse()
    }
    async fn issue_grant(&self, _: GrantRequest, _: Peer) -> Result<Grant, ApiError> {
        refuse()
    }
    async fn revoke_grant(
        &self,
        name: String,
        removal: Removal,
        peer: Peer,
    ) -> Result<Grant, ApiError> {
        let told = format!("{name} {:?} {}", removal.why, peer.by());
        Err(ApiError::new(ErrorCode::NotFound, told))
    }
    async fn grant_history(&self, _: String) -> Result<GrantHistory, ApiError> {
        refuse()
    }
    async fn approve_grant(&self, _: String, _: GrantDecision, _: Peer) -> Result<Grant, ApiError> {
        refuse()
    }
    async fn reject_grant(&self, _: String, _: GrantDecision, _: Peer) -> Result<Grant, ApiError> {
        refuse()
    }
    async fn denies(&self) -> Result<RuleList, ApiError> {
        refuse()
    }
    async fn add_deny(&self, _: DenyRequest, _: Peer) -> Result<Rule, ApiError> {
        refuse()
    }
    async fn revoke_identity(&self, _: IdentityRevocation, _: Peer) -> Result<Rule, ApiError> {
        refuse()
    }
    async fn remove_deny(&self, _: String, _: Removal, _: Peer) -> Result<(), ApiError> {
        Ok(())
    }
    async fn policy(&self) -> Result<PolicyView, ApiError> {
        refuse()
    }
    async fn check(&self, documents: PolicyDocuments) -> Result<CheckReport, ApiError> {
        Ok(CheckReport {
            objects: documents.files.len() as u64,
            ..CheckReport::default()
        })
    }
    async fn diff(&self, _: PolicyDocuments) -> Result<PolicyDiff, ApiError> {
        refuse()
    }
    async fn apply(&self, _: PolicyDocuments, _: Peer) -> Result<ApplyResult, ApiError> {
        refuse()
    }
    async fn remove_object(
        &self,
        _: String,
        _: String,
        _: Removal,
        _: Peer,
    ) -> Result<ApplyResult, ApiError> {
        refuse()
    }
    async fn tasks(&self) -> Result<TaskList, ApiError> {
        refuse()
    }
    async fn start_task(&self, _: TaskRequest, peer: Peer) -> Result<TaskStarted, ApiError> {
        let told = format!("{:?}", peer.process.map(|process| process.pid));
        Err(ApiError::new(ErrorCode::BadRequest, told))
    }
    async fn end_task(&self, id: String, _: Peer) -> Result<TaskEnded, ApiError> {
        Ok(TaskEnded {
            id,
            processes_left: 2,
        })
    }
    async fn connections(&self, _: ConnectionQuery) -> Result<ConnectionList, ApiError> {
        refuse()
    }
    async fn who(&self, _: String) -> Result<WhoTalks, ApiError> {
        refuse()
    }
    async fn rights(&self, _: RightsQuery) -> Result<Rights, ApiError> {
        refuse()
    }
    async fn audit(&self, _: AuditQuery) -> Result<AuditList, ApiError> {
        refuse()
    }
    async fn export_audit(&self, _: AuditExportQuery) -> Result<AuditExport, ApiError> {
        refuse()
    }
    async fn verify_audit(&self, _: AuditVerifyQuery) -> Result<AuditVerification, ApiError> {
        refuse()
    }
    async fn review_grants(&self, _: ReviewQuery) -> Result<GrantReviewList, ApiError> {
        refuse()
    }
    async fn rehearse(&self, _: RehearsalRequest) -> Result<Rehearsal, ApiError> {
        refuse()
    }
    async fn suggest_grant(&self, _: SuggestionQuery) -> Result<Suggestion, ApiError> {
        refuse()
    }
    async fn report(&self, _: ReviewQuery) -> Result<Report, ApiError> {
        refuse()
    }
    async fn metrics(&self) -> Result<MetricsSnapshot, ApiError> {
        Ok(MetricsSnapshot::default())
    }
}

struct Server {
    _directory: TempDir,
    socket: PathBuf,
    _stop: oneshot::Sender<()>,
}

fn server() -> Server {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("weir.sock");
    let listener = bind(&socket, None).expect("a listener");
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, Arc::new(Fake), async {
        let _ = stopped.await;
    }));
    Server {
        _directory: directory,
        socket,
        _stop: stop,
    }
}

/// Status line and body of a request written by hand.
async fn raw(server: &Server, head: &str, body: &str) -> (String, String) {
    let mut stream = UnixStream::connect(&server.socket)
        .await
        .expect("a connection");
    let request = format!(
        "{head} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (
        head.lines().next().unwrap_or_default().to_owned(),
        body.to_owned(),
    )
}

#[tokio::test]
async fn queries_and_bodies_arrive_and_answers_come_back() {
    let server = server();
    let client = Client::new(&server.socket);
    let since = Timestamp::from_second(1_000).expect("a time");
    let query = UsageQuery {
        since: Some(since),
        filter: vec!["pod=a b&c".to_owned(), "pod=*=".to_owned()],
        ..UsageQuery::default()
    };
    let report = client.usage(&query).await.expect("a report");
    assert_eq!(report.next.as_deref(), Some("pod=a b&c pod=*="));
    assert_eq!((report.since, report.lost_events), (Some(since), 3));
    let matches = client.match_host("a b&c.example").await.expect("matches");
    assert_eq!(matches.host, "a b&c.example");
    let file = PolicyFile {
        file: "x".to_owned(),
        text: "y".repeat(3 << 20),
    };
    let documents = PolicyDocuments {
        files: vec![file],
        whole: false,
    };
    assert_eq!(client.check(&documents).await.expect("a report").objects, 1);
    client
        .remove_deny("x", &Removal::default())
        .await
        .expect("removed");
}

#[tokio::test]
async fn a_refusal_keeps_code_message_and_details() {
    let server = server();
    let client = Client::new(&server.socket);
    let Err(ClientError::Api(error)) = client.policy().await else {
        panic!("refused by the backend");
    };
    assert_eq!(error.code, ErrorCode::InvalidPolicy);
    assert_eq!(error.message, "the policy has mistakes");
    assert_eq!(error.details, ["spec.ttl: too long"]);
    let removal = Removal {
        why: Some("w".to_owned()),
    };
    let error = client
        .revoke_grant("a/b", &removal)
        .await
        .expect_err("refused");
    let user = if nix::unistd::Uid::effective().is_root() {
        "a/b Some(\"w\") root"
    } else {
        "may read but not change anything"
    };
    assert!(error.to_string().contains(user), "{error}");
}

#[tokio::test]
async fn bad_requests_have_a_json_answer() {
    let server = server();
    let (status, body) = raw(&server, "GET /nowhere", "").await;
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert!(body.contains("\"code\":\"not-found\""), "{body}");
    let (status, body) = raw(&server, "POST /v1/policy/check", "{\"files\": 1}").await;
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert!(body.contains("\"code\":\"bad-request\""), "{body}");
    for (head, status) in [
        ("GET /v1/usage?since=yesterday", "HTTP/1.1 400 Bad Request"),
        ("GET /v1/endpoints/match", "HTTP/1.1 400 Bad Request"),
        ("PUT /v1/status", "HTTP/1.1 405 Method Not Allowed"),
    ] {
        let (found, body) = raw(&server, head, "").await;
        assert_eq!(found, status, "{head}");
        assert!(body.contains("\"code\":\"bad-request\""), "{head}: {body}");
    }
}

#[tokio::test]
async fn a_caller_who_says_nothing_holds_nobody_up() {
    let server = server();
    let mut silent = UnixStream::connect(&server.socket)
        .await
        .expect("a connection");
    silent
        .write_all(b"GET /v1/us")
        .await
        .expect("half a request");
    let client = Client::new(&server.socket);
    client
        .usage(&UsageQuery::default())
        .await
        .expect("a report");
}

#[tokio::test]
async fn a_leftover_socket_is_replaced_and_a_live_one_is_not() {
    let server = server();
    let error = bind(&server.socket, None).expect_err("somebody listens");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let leftover = server.socket.with_file_name("leftover.sock");
    drop(std::os::unix::net::UnixListener::bind(&leftover).expect("a socket"));
    bind(&leftover, None).expect("replaced");
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_removed() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("precious");
    fs::write(&path, "text").expect("a file");
    let error = bind(&path, None).expect_err("something is there");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "text");
}

#[tokio::test]
async fn every_route_is_in_the_served_document() {
    let server = server();
    let (status, body) = raw(&server, "GET /v1/openapi.json", "").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let document: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let found: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    let expected = BTreeSet::from([
        "/v1/anomalies",
        "/v1/anomalies/{id}",
        "/v1/anomalies/{id}/ack",
        "/v1/mutes",
        "/v1/mutes/{id}",
        "/v1/audit",
        "/v1/audit/export",
        "/v1/audit/verify",
        "/v1/connections",
        "/v1/review/enforcement",
        "/v1/review/grants",
        "/v1/report",
        "/v1/review/suggestion",
        "/v1/status",
        "/v1/usage",
        "/v1/events",
        "/v1/identities",
        "/v1/identities/revoke",
        "/v1/endpoints",
        "/v1/endpoints/match",
        "/v1/explain",
        "/v1/explain/who",
        "/v1/grants",
        "/v1/grants/{name}",
        "/v1/grants/{name}/approve",
        "/v1/grants/{name}/reject",
        "/v1/denies",
        "/v1/denies/{name}",
        "/v1/policy",
        "/v1/policy/check",
        "/v1/policy/diff",
        "/v1/policy/apply",
        "/v1/policy/{kind}/{name}",
        "/v1/tasks",
        "/v1/tasks/{id}",
        "/v1/who",
    ]);
    assert_eq!(found, expected);
    assert!(
        document["components"]["schemas"]["Status"].is_object(),
        "{body}"
    );
}

#[tokio::test]
async fn a_task_is_asked_for_by_a_process() {
    let server = server();
    let client = Client::new(&server.socket);
    let request = TaskRequest {
        endpoints: vec!["openai".to_owned()],
        planes: Vec::new(),
        purpose: "x".to_owned(),
        ttl: "1m".to_owned(),
        limits: BTreeMap::new(),
        cgroup: None,
    };
    let refused = client.start_task(&request).await.expect_err("refused");
    let told = format!("{:?}", Some(std::process::id()));
    assert_eq!(refused.to_string(), told);
    let ended = client.end_task("a/b").await.expect("ended");
    assert_eq!((ended.id.as_str(), ended.processes_left), ("a/b", 2));
}

#[tokio::test]
async fn without_an_agent_the_client_says_so() {
    let directory = TempDir::new().expect("a directory");
    let client = Client::new(&directory.path().join("absent.sock"));
    let error = client.status().await.expect_err("nobody listens");
    assert!(matches!(error, ClientError::NoAgent { .. }), "{error}");
}
