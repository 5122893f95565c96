//! Asks a running agent over its Unix socket.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1, header::CONTENT_TYPE};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::net::UnixStream;

use super::{
    error::{ApiError, ErrorBody},
    types::{
        Anomaly, AnomalyAck, AnomalyList, AnomalyQuery, ApplyResult, AuditExport, AuditExportQuery,
        AuditList, AuditQuery, AuditVerification, AuditVerifyQuery, CheckReport, ConnectionList,
        ConnectionQuery, DenyRequest, EndpointList, EndpointMatches, EventList, EventQuery,
        ExplainQuery, Explanation, Grant, GrantDecision, GrantHistory, GrantList, GrantRequest,
        GrantReviewList, IdentityList, IdentityRevocation, Mute, MuteList, MuteRequest, PolicyDiff,
        PolicyDocuments, PolicyView, Rehearsal, RehearsalRequest, Removal, Report, ReviewQuery,
        Rights, RightsQuery, Rule, RuleList, Status, Suggestion, SuggestionQuery, TaskEnded,
        TaskList, TaskRequest, TaskStarted, UsageQuery, UsageReport, WhoQuery, WhoTalks,
    },
};

#[derive(Debug, Error)]
pub enum ClientError {
    #[error(
        "no agent is listening on `{path}`: start it with `weir agent`, or set WEIR_SOCKET to the \
         socket of the one that runs"
    )]
    NoAgent { path: String },
    #[error("not allowed to open `{path}`: run as root, or as a member of the socket's group")]
    Forbidden { path: String },
    #[error("connect to `{path}`")]
    Connect {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("talk to the agent")]
    Http(#[from] hyper::Error),
    #[error("form the request")]
    Request(#[from] hyper::http::Error),
    #[error("the agent's answer is not understood: is it another version?")]
    Answer(#[from] serde_json::Error),
    #[error("the agent refused: {status} {text}")]
    Refused {
        status: hyper::StatusCode,
        text: String,
    },
    #[error("{}", .0.message)]
    Api(ApiError),
}

/// One agent's socket. Each request has its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

type Answer<T> = Result<T, ClientError>;

impl Client {
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// # Errors
    ///
    /// When the agent cannot be reached or refuses. So for every request below.
    pub async fn status(&self) -> Answer<Status> {
        self.get("/v1/status", &()).await
    }

    pub async fn usage(&self, query: &UsageQuery) -> Answer<UsageReport> {
        self.get("/v1/usage", query).await
    }

    pub async fn events(&self, query: &EventQuery) -> Answer<EventList> {
        self.get("/v1/events", query).await
    }

    pub async fn identities(&self) -> Answer<IdentityList> {
        self.get("/v1/identities", &()).await
    }

    pub async fn endpoints(&self) -> Answer<EndpointList> {
        self.get("/v1/endpoints", &()).await
    }

    pub async fn match_host(&self, host: &str) -> Answer<EndpointMatches> {
        self.get("/v1/endpoints/match", &[("host", host)]).await
    }

    pub async fn explain(&self, query: &ExplainQuery) -> Answer<Explanation> {
        self.get("/v1/explain", query).await
    }

    pub async fn grants(&self, all: bool) -> Answer<GrantList> {
        self.get("/v1/grants", &[("all", all)]).await
    }

    pub async fn issue_grant(&self, request: &GrantRequest) -> Answer<Grant> {
        self.send(Method::POST, "/v1/grants", request).await
    }

    pub async fn revoke_grant(&self, name: &str, removal: &Removal) -> Answer<Grant> {
        let path = format!("/v1/grants/{}", escaped(name));
        self.send(Method::DELETE, &path, removal).await
    }

    pub async fn grant_history(&self, name: &str) -> Answer<GrantHistory> {
        let path = format!("/v1/grants/{}", escaped(name));
        self.get(&path, &()).await
    }

    pub async fn approve_grant(&self, name: &str, decision: &GrantDecision) -> Answer<Grant> {
        let path = format!("/v1/grants/{}/approve", escaped(name));
        self.send(Method::POST, &path, decision).await
    }

    pub async fn reject_grant(&self, name: &str, decision: &GrantDecision) -> Answer<Grant> {
        let path = format!("/v1/grants/{}/reject", escaped(name));
        self.send(Method::POST, &path, decision).await
    }

    pub async fn denies(&self) -> Answer<RuleList> {
        self.get("/v1/denies", &()).await
    }

    pub async fn add_deny(&self, request: &DenyRequest) -> Answer<Rule> {
        self.send(Method::POST, "/v1/denies", request).await
    }

    pub async fn revoke_identity(&self, request: &IdentityRevocation) -> Answer<Rule> {
        self.send(Method::POST, "/v1/identities/revoke", request)
            .await
    }

    pub async fn remove_deny(&self, name: &str, removal: &Removal) -> Answer<()> {
        let path = format!("/v1/denies/{}", escaped(name));
        let body = serde_json::to_vec(removal)?;
        self.request(Method::DELETE, &path, body).await.map(drop)
    }

    pub async fn policy(&self) -> Answer<PolicyView> {
        self.get("/v1/policy", &()).await
    }

    pub async fn check(&self, documents: &PolicyDocuments) -> Answer<CheckReport> {
        self.send(Method::POST, "/v1/policy/check", documents).await
    }

    pub async fn diff(&self, documents: &PolicyDocuments) -> Answer<PolicyDiff> {
        self.send(Method::POST, "/v1/policy/diff", documents).await
    }

    pub async fn apply(&self, documents: &PolicyDocuments) -> Answer<ApplyResult> {
        self.send(Method::POST, "/v1/policy/apply", documents).await
    }

    pub async fn remove_object(
        &self,
        kind: &str,
        name: &str,
        removal: &Removal,
    ) -> Answer<ApplyResult> {
        let path = format!("/v1/policy/{}/{}", escaped(kind), escaped(name));
        self.send(Method::DELETE, &path, removal).await
    }

    pub async fn connections(&self, query: &ConnectionQuery) -> Answer<ConnectionList> {
        self.get("/v1/connections", query).await
    }

    pub async fn who(&self, query: &WhoQuery) -> Answer<WhoTalks> {
        self.get("/v1/who", query).await
    }

    pub async fn rights(&self, query: &RightsQuery) -> Answer<Rights> {
        self.get("/v1/explain/who", query).await
    }

    pub async fn tasks(&self) -> Answer<TaskList> {
        self.get("/v1/tasks", &()).await
    }

    pub async fn start_task(&self, request: &TaskRequest) -> Answer<TaskStarted> {
        self.send(Method::POST, "/v1/tasks", request).await
    }

    pub async fn end_task(&self, id: &str) -> Answer<TaskEnded> {
        let path = format!("/v1/tasks/{}", escaped(id));
        self.send(Method::DELETE, &path, &()).await
    }

    pub async fn audit(&self, query: &AuditQuery) -> Answer<AuditList> {
        self.get("/v1/audit", query).await
    }

    pub async fn export_audit(&self, query: &AuditExportQuery) -> Answer<AuditExport> {
        self.get("/v1/audit/export", query).await
    }

    pub async fn verify_audit(&self, query: &AuditVerifyQuery) -> Answer<AuditVerification> {
        self.get("/v1/audit/verify", query).await
    }

    pub async fn review_grants(&self, query: &ReviewQuery) -> Answer<GrantReviewList> {
        self.get("/v1/review/grants", query).await
    }

    pub async fn rehearse(&self, request: &RehearsalRequest) -> Answer<Rehearsal> {
        let path = "/v1/review/enforcement";
        self.send(Method::POST, path, request).await
    }

    pub async fn suggest_grant(&self, query: &SuggestionQuery) -> Answer<Suggestion> {
        self.get("/v1/review/suggestion", query).await
    }

    pub async fn anomalies(&self, query: &AnomalyQuery) -> Answer<AnomalyList> {
        self.get("/v1/anomalies", query).await
    }

    pub async fn anomaly(&self, id: i64) -> Answer<Anomaly> {
        self.get(&format!("/v1/anomalies/{id}"), &()).await
    }

    pub async fn ack_anomaly(&self, id: i64, ack: &AnomalyAck) -> Answer<Anomaly> {
        let path = format!("/v1/anomalies/{id}/ack");
        self.send(Method::POST, &path, ack).await
    }

    pub async fn mutes(&self) -> Answer<MuteList> {
        self.get("/v1/mutes", &()).await
    }

    pub async fn mute(&self, request: &MuteRequest) -> Answer<Mute> {
        self.send(Method::POST, "/v1/mutes", request).await
    }

    pub async fn unmute(&self, id: i64) -> Answer<()> {
        let path = format!("/v1/mutes/{id}");
        self.request(Method::DELETE, &path, Vec::new())
            .await
            .map(drop)
    }

    pub async fn report(&self, query: &ReviewQuery) -> Answer<Report> {
        self.get("/v1/report", query).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Answer<T> {
        // Every query is a flat structure of texts and numbers, which always serialises.
        let query = serde_html_form::to_string(query).unwrap_or_default();
        let path = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        };
        let answer = self.request(Method::GET, &path, Vec::new()).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Answer<T> {
        let body = serde_json::to_vec(body)?;
        let answer = self.request(method, path, body).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Answer<Bytes> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "weir")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        // It carries the exchange and ends with it; what goes wrong shows in the exchange.
        tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(answer);
        }
        match serde_json::from_slice(&answer) {
            Ok(ErrorBody { error }) => Err(ClientError::Api(error)),
            // What the server says before a route is reached: too large, too slow.
            Err(_) => Err(ClientError::Refused {
                status,
                text: String::from_utf8_lossy(&answer).into_owned(),
            }),
        }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        let path = self.socket.display().to_string();
        let kind = source.kind();
        if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
            return ClientError::NoAgent { path };
        }
        if kind == io::ErrorKind::PermissionDenied {
            return ClientError::Forbidden { path };
        }
        ClientError::Connect { path, source }
    }
}

/// A name as one segment of a path.
fn escaped(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}
