//! Serves the API on a Unix socket, and metrics on an optional TCP port.
//!
//! Who calls is known from the socket's peer credentials, and what it may do from its groups; whoever
//! may open the socket may start tasks within its own rights.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, chown},
        net::UnixStream as StdUnixStream,
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{DefaultBodyLimit, connect_info::Connected},
    http::StatusCode,
    serve::IncomingStream,
};
use tokio::net::{TcpListener, UnixListener};
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer};
use tower_http::timeout::TimeoutLayer;

use super::{
    error::ApiError,
    metrics::MetricsSnapshot,
    routes,
    types::{
        Anomaly, AnomalyList, AnomalyQuery, ApplyResult, AuditExport, AuditExportQuery, AuditList,
        AuditQuery, AuditVerification, AuditVerifyQuery, CheckReport, ConnectionList,
        ConnectionQuery, DenyRequest, EndpointList, EndpointMatches, EventList, EventQuery,
        ExplainQuery, Explanation, Grant, GrantDecision, GrantHistory, GrantList, GrantRequest,
        GrantReviewList, IdentityList, IdentityRevocation, Mute, MuteList, MuteRequest, PolicyDiff,
        PolicyDocuments, PolicyView, Rehearsal, RehearsalRequest, Removal, Report, ReviewQuery,
        Rights, RightsQuery, Rule, RuleList, Status, Suggestion, SuggestionQuery, TaskEnded,
        TaskList, TaskRequest, TaskStarted, UsageQuery, UsageReport, WhoTalks,
    },
};

use crate::{
    host::{incarnation::Incarnation, peer::PeerProcess},
    policy::{By, Person, RoleRules},
};

/// Largest request: a policy file of some ten thousand grants.
const MAX_BODY: usize = 16 << 20;
const MAX_REQUESTS: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(30);
/// The owner's group may open the socket, nobody else.
const SOCKET_MODE: u32 = 0o660;

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    /// The user that its session was opened for, if any.
    pub login: Option<u32>,
    pub groups: Vec<u32>,
    /// `None` for one that has ended, or that the agent cannot see.
    pub process: Option<Incarnation>,
}

impl Peer {
    /// For the history of an object, and to tell one person from another.
    #[must_use]
    pub const fn by(&self) -> By {
        By::Person(Person {
            uid: self.uid,
            login: self.login,
        })
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        match stream.io().peer_cred() {
            Ok(credentials) => {
                let found = credentials.pid();
                let found = found.and_then(|pid| PeerProcess::of(stream.io(), pid));
                let own = std::iter::once(credentials.gid());
                let others = found.iter().flat_map(|found| found.groups.iter().copied());
                Self {
                    uid: credentials.uid(),
                    login: found.as_ref().and_then(|found| found.login),
                    groups: own.chain(others).collect(),
                    process: found.map(|found| found.process),
                }
            }
            // Nobody: such a peer may read and not write.
            Err(_) => Self {
                uid: u32::MAX,
                login: None,
                groups: Vec::new(),
                process: None,
            },
        }
    }
}

/// What the API needs of the agent to speak of anomalies.
#[async_trait]
pub trait AnomalyBackend {
    async fn anomalies(&self, query: AnomalyQuery) -> Result<AnomalyList, ApiError>;
    async fn anomaly(&self, id: i64) -> Result<Anomaly, ApiError>;
    async fn ack_anomaly(&self, id: i64, why: String, peer: Peer) -> Result<Anomaly, ApiError>;
    async fn mutes(&self) -> Result<MuteList, ApiError>;
    async fn mute(&self, request: MuteRequest, peer: Peer) -> Result<Mute, ApiError>;
    async fn unmute(&self, id: i64, peer: Peer) -> Result<(), ApiError>;
}

/// What the API needs of the agent.
#[async_trait]
pub trait Backend: AnomalyBackend + Send + Sync + 'static {
    /// Who may do what.
    fn roles(&self) -> &RoleRules;
    /// Takes note that somebody asked for what is not for it.
    async fn note_refusal(&self, peer: &Peer, what: &'static str, why: &str);
    async fn status(&self) -> Result<Status, ApiError>;
    async fn usage(&self, query: UsageQuery) -> Result<UsageReport, ApiError>;
    async fn events(&self, query: EventQuery) -> Result<EventList, ApiError>;
    async fn identities(&self) -> Result<IdentityList, ApiError>;
    async fn endpoints(&self) -> Result<EndpointList, ApiError>;
    async fn match_host(&self, host: String) -> Result<EndpointMatches, ApiError>;
    async fn explain(&self, query: ExplainQuery) -> Result<Explanation, ApiError>;
    async fn grants(&self, include_ended: bool) -> Result<GrantList, ApiError>;
    async fn issue_grant(&self, request: GrantRequest, peer: Peer) -> Result<Grant, ApiError>;
    async fn revoke_grant(
        &self,
        name: String,
        removal: Removal,
        peer: Peer,
    ) -> Result<Grant, ApiError>;
    async fn grant_history(&self, name: String) -> Result<GrantHistory, ApiError>;
    async fn approve_grant(
        &self,
        name: String,
        decision: GrantDecision,
        peer: Peer,
    ) -> Result<Grant, ApiError>;
    async fn reject_grant(
        &self,
        name: String,
        decision: GrantDecision,
        peer: Peer,
    ) -> Result<Grant, ApiError>;
    async fn denies(&self) -> Result<RuleList, ApiError>;
    async fn add_deny(&self, request: DenyRequest, peer: Peer) -> Result<Rule, ApiError>;
    async fn revoke_identity(
        &self,
        request: IdentityRevocation,
        peer: Peer,
    ) -> Result<Rule, ApiError>;
    async fn remove_deny(&self, name: String, removal: Removal, peer: Peer)
    -> Result<(), ApiError>;
    async fn policy(&self) -> Result<PolicyView, ApiError>;
    async fn check(&self, documents: PolicyDocuments) -> Result<CheckReport, ApiError>;
    async fn diff(&self, documents: PolicyDocuments) -> Result<PolicyDiff, ApiError>;
    async fn apply(&self, documents: PolicyDocuments, peer: Peer) -> Result<ApplyResult, ApiError>;
    async fn remove_object(
        &self,
        kind: String,
        name: String,
        removal: Removal,
        peer: Peer,
    ) -> Result<ApplyResult, ApiError>;
    async fn tasks(&self) -> Result<TaskList, ApiError>;
    async fn start_task(&self, request: TaskRequest, peer: Peer) -> Result<TaskStarted, ApiError>;
    async fn end_task(&self, id: String, peer: Peer) -> Result<TaskEnded, ApiError>;
    async fn connections(&self, query: ConnectionQuery) -> Result<ConnectionList, ApiError>;
    async fn who(&self, address: String) -> Result<WhoTalks, ApiError>;
    async fn rights(&self, query: RightsQuery) -> Result<Rights, ApiError>;
    async fn audit(&self, query: AuditQuery) -> Result<AuditList, ApiError>;
    async fn export_audit(&self, query: AuditExportQuery) -> Result<AuditExport, ApiError>;
    async fn verify_audit(&self, query: AuditVerifyQuery) -> Result<AuditVerification, ApiError>;
    async fn review_grants(&self, query: ReviewQuery) -> Result<GrantReviewList, ApiError>;
    async fn suggest_grant(&self, query: SuggestionQuery) -> Result<Suggestion, ApiError>;
    async fn rehearse(&self, request: RehearsalRequest) -> Result<Rehearsal, ApiError>;
    async fn report(&self, query: ReviewQuery) -> Result<Report, ApiError>;
    async fn metrics(&self) -> Result<MetricsSnapshot, ApiError>;
}

/// The backend as handlers see it.
pub type Shared = Arc<dyn Backend>;

/// Binds the socket, which members of `group` may open. One that nobody answers on is a leftover and is replaced.
///
/// # Errors
///
/// When another agent answers there, or the directory cannot be written.
pub fn bind(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent()
        && !directory.exists()
    {
        fs::create_dir_all(directory)?;
        // Who may pass is said by the socket itself.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is something that is no socket: choose another path",
            ));
        }
        Ok(_) | Err(_) => {}
    }
    match StdUnixStream::connect(path) {
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another agent is listening there",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
        // Nothing is there yet; anything else shows when binding.
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    if group.is_some() {
        chown(path, None, group).map_err(|error| {
            let message = "cannot give it to `socket_group`: let the agent be a member, as with \
                           SupplementaryGroups= in its unit";
            io::Error::new(error.kind(), message)
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Serves everything until `shutdown`.
///
/// # Errors
///
/// When accepting connections fails for good.
pub async fn serve(
    listener: UnixListener,
    backend: Shared,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = guarded(routes::all(backend)).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service)
        .with_graceful_shutdown(shutdown)
        .await
}

/// Serves `/metrics` and nothing else until `shutdown`.
///
/// # Errors
///
/// When accepting connections fails for good.
pub async fn serve_metrics(
    listener: TcpListener,
    backend: Shared,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, guarded(routes::metrics_only(backend)))
        .with_graceful_shutdown(shutdown)
        .await
}

fn guarded(router: Router) -> Router {
    router.layer(
        ServiceBuilder::new()
            .layer(GlobalConcurrencyLimitLayer::new(MAX_REQUESTS))
            .layer(TimeoutLayer::with_status_code(
                StatusCode::REQUEST_TIMEOUT,
                TIMEOUT,
            ))
            .layer(DefaultBodyLimit::max(MAX_BODY)),
    )
}

#[cfg(test)]
mod tests;
