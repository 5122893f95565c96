//! Answers the API's questions from the daemon: wire types in, wire types out.

mod anomalies;
mod audit;
mod connections;
mod events;
mod explain;
mod grants;
mod metrics;
mod policy;
mod rehearsal;
mod report;
mod review;
mod rights;
mod subject;
mod tasks;
mod usage;
mod views;
mod who;

pub(crate) use self::{
    audit::{expected, verification},
    views::{endpoint, matches},
};

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    error::{ApiError, ErrorCode},
    metrics::MetricsSnapshot,
    server::{Backend, Peer},
    types::{
        ApplyResult, AuditExport, AuditExportQuery, AuditList, AuditQuery, AuditVerification,
        AuditVerifyQuery, CheckReport, ConnectionList, ConnectionQuery, DenyRequest, EndpointList,
        EndpointMatches, EventList, EventQuery, ExplainQuery, Explanation, Grant, GrantDecision,
        GrantHistory, GrantList, GrantRequest, GrantReviewList, IdentityList, IdentityRevocation,
        PolicyDiff, PolicyDocuments, PolicyView, Rehearsal, RehearsalRequest, Removal, Report,
        ReviewQuery, Rights, RightsQuery, Rule, RuleList, Status, Suggestion, SuggestionQuery,
        TaskEnded, TaskList, TaskRequest, TaskStarted, UsageQuery, UsageReport, WhoTalks,
    },
};
use crate::{
    daemon::{Author, Core, Handle, Stopped},
    error_chain,
    policy::{Kind, RoleRules},
};

/// The daemon behind the API.
#[derive(Clone)]
pub struct DaemonBackend {
    handle: Handle,
    roles: Arc<RoleRules>,
}

impl DaemonBackend {
    #[must_use]
    pub fn new(handle: Handle, roles: RoleRules) -> Self {
        Self {
            handle,
            roles: Arc::new(roles),
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        match self.handle.ask(question).await {
            Ok(answer) => answer,
            Err(Stopped) => Err(ApiError::new(ErrorCode::Unavailable, Stopped.to_string())),
        }
    }
}

impl DaemonBackend {
    /// As [`Self::ask`], for what changes the policy: not from a workload that is governed.
    async fn change<T: Send + 'static>(
        &self,
        peer: Peer,
        what: &'static str,
        question: impl FnOnce(&mut Core, &Author) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.ask(move |core| {
            let author = author(core, &peer);
            let checked = core.check_changer(peer.process, None);
            checked.map_err(|error| grants::refused(core, &author, what, &error.to_string()))?;
            question(core, &author)
        })
        .await
    }
}

/// Who asks, for the audit, and to tell one person from another.
fn author(core: &Core, peer: &Peer) -> Author {
    Author {
        actor: core.actor(peer.uid, peer.process),
        login: peer.login,
    }
}

/// Looks at the sockets of every network namespace: not where the agent's state waits.
async fn look<T: Send + 'static>(
    look: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    const WHAT: &str = "list sockets";
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| internal(WHAT, &error))?
        .map_err(|error| internal(WHAT, &error))
}

/// Something went wrong that the caller cannot help: the chain goes to the log.
fn internal(what: &str, error: &dyn std::error::Error) -> ApiError {
    tracing::error!(error = error_chain(error), what, "request failed");
    ApiError::new(
        ErrorCode::Internal,
        format!("cannot {what}: see the agent's log"),
    )
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, message)
}

#[async_trait]
impl Backend for DaemonBackend {
    fn roles(&self) -> &RoleRules {
        &self.roles
    }

    async fn note_refusal(&self, peer: &Peer, what: &'static str, why: &str) {
        let (peer, why) = (peer.clone(), why.to_owned());
        // An agent that is stopping has its log.
        let _ = self
            .handle
            .ask(move |core| core.note_refusal(&author(core, &peer), what, &why))
            .await;
    }

    async fn status(&self) -> Result<Status, ApiError> {
        self.ask(|core| {
            let view = core
                .status()
                .map_err(|error| internal("read the status", &error))?;
            Ok(views::status(view))
        })
        .await
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsageReport, ApiError> {
        usage::usage(self, query).await
    }

    async fn events(&self, query: EventQuery) -> Result<EventList, ApiError> {
        self.ask(move |core| events::events(core, &query)).await
    }

    async fn identities(&self) -> Result<IdentityList, ApiError> {
        self.ask(|core| views::identities(core)).await
    }

    async fn endpoints(&self) -> Result<EndpointList, ApiError> {
        self.ask(|core| {
            let endpoints = core.endpoints();
            let endpoints = endpoints
                .iter()
                .map(|(known, addresses)| endpoint(known, addresses));
            Ok(EndpointList {
                endpoints: endpoints.collect(),
            })
        })
        .await
    }

    async fn match_host(&self, host: String) -> Result<EndpointMatches, ApiError> {
        self.ask(move |core| Ok(matches(core.catalogue(), &host)))
            .await
    }

    async fn explain(&self, query: ExplainQuery) -> Result<Explanation, ApiError> {
        let question = explain::question(query)?;
        self.ask(move |core| explain::explain(core, question)).await
    }

    async fn grants(&self, include_ended: bool) -> Result<GrantList, ApiError> {
        self.ask(move |core| grants::list(core, include_ended))
            .await
    }

    async fn issue_grant(&self, request: GrantRequest, peer: Peer) -> Result<Grant, ApiError> {
        self.change(peer, "issue a grant", move |core, author| {
            grants::issue(core, &request, author)
        })
        .await
    }

    async fn revoke_grant(
        &self,
        name: String,
        removal: Removal,
        peer: Peer,
    ) -> Result<Grant, ApiError> {
        self.change(peer, "revoke a grant", move |core, author| {
            grants::revoke(core, &name, removal, author)
        })
        .await
    }

    async fn grant_history(&self, name: String) -> Result<GrantHistory, ApiError> {
        self.ask(move |core| grants::history(core, &name)).await
    }

    async fn approve_grant(
        &self,
        name: String,
        decision: GrantDecision,
        peer: Peer,
    ) -> Result<Grant, ApiError> {
        self.ask(move |core| grants::approve(core, name, decision, &peer))
            .await
    }

    async fn reject_grant(
        &self,
        name: String,
        decision: GrantDecision,
        peer: Peer,
    ) -> Result<Grant, ApiError> {
        self.ask(move |core| grants::reject(core, name, decision, &peer))
            .await
    }

    async fn denies(&self) -> Result<RuleList, ApiError> {
        self.ask(|core| {
            Ok(RuleList {
                denies: core.denies().into_iter().map(policy::rule).collect(),
            })
        })
        .await
    }

    async fn add_deny(&self, request: DenyRequest, peer: Peer) -> Result<Rule, ApiError> {
        let text = policy::deny_document(&request);
        self.change(peer, "add a deny rule", move |core, author| {
            policy::add_deny(core, &request.name, &text, author)
        })
        .await
    }

    async fn revoke_identity(
        &self,
        request: IdentityRevocation,
        peer: Peer,
    ) -> Result<Rule, ApiError> {
        self.change(peer, "revoke an identity", move |core, author| {
            let (name, text) = rights::refusal_of(core, &request)?;
            policy::add_deny(core, &name, &text, author)
        })
        .await
    }

    async fn remove_deny(
        &self,
        name: String,
        removal: Removal,
        peer: Peer,
    ) -> Result<(), ApiError> {
        self.change(peer, "remove a deny rule", move |core, author| {
            core.remove(Kind::EgressDeny, &name, author, removal.why)
                .map(drop)
                .map_err(policy::change_error)
        })
        .await
    }

    async fn policy(&self) -> Result<PolicyView, ApiError> {
        self.ask(|core| policy::view(core.policy())).await
    }

    async fn check(&self, documents: PolicyDocuments) -> Result<CheckReport, ApiError> {
        let texts = policy::texts(documents);
        self.ask(move |core| Ok(policy::check_report(core.check(&texts))))
            .await
    }

    async fn diff(&self, documents: PolicyDocuments) -> Result<PolicyDiff, ApiError> {
        policy::diff(self, documents).await
    }

    async fn apply(&self, documents: PolicyDocuments, peer: Peer) -> Result<ApplyResult, ApiError> {
        let texts = policy::texts(documents);
        self.change(peer, "apply policy", move |core, author| {
            core.apply(&texts, author)
                .map(policy::applied)
                .map_err(policy::change_error)
        })
        .await
    }

    async fn remove_object(
        &self,
        kind: String,
        name: String,
        removal: Removal,
        peer: Peer,
    ) -> Result<ApplyResult, ApiError> {
        let kind = policy::kind(&kind)?;
        self.change(peer, "remove policy", move |core, author| {
            core.remove(kind, &name, author, removal.why)
                .map(policy::applied)
                .map_err(policy::change_error)
        })
        .await
    }

    async fn tasks(&self) -> Result<TaskList, ApiError> {
        self.ask(|core| {
            Ok(TaskList {
                tasks: core.tasks().into_iter().map(tasks::task).collect(),
            })
        })
        .await
    }

    async fn start_task(&self, request: TaskRequest, peer: Peer) -> Result<TaskStarted, ApiError> {
        self.ask(move |core| tasks::start(core, request, &peer))
            .await
    }

    async fn end_task(&self, id: String, peer: Peer) -> Result<TaskEnded, ApiError> {
        self.ask(move |core| tasks::end(core, id, &peer)).await
    }

    async fn connections(&self, query: ConnectionQuery) -> Result<ConnectionList, ApiError> {
        connections::connections(self, query).await
    }

    async fn who(&self, address: String) -> Result<WhoTalks, ApiError> {
        who::who(self, address).await
    }

    async fn rights(&self, query: RightsQuery) -> Result<Rights, ApiError> {
        let subject = rights::subject(query)?;
        self.ask(move |core| rights::rights(core, subject)).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<AuditList, ApiError> {
        self.ask(|core| audit::list(core, query)).await
    }

    async fn export_audit(&self, query: AuditExportQuery) -> Result<AuditExport, ApiError> {
        self.ask(move |core| audit::export(core, &query)).await
    }

    async fn verify_audit(&self, query: AuditVerifyQuery) -> Result<AuditVerification, ApiError> {
        audit::verify(self, query).await
    }

    async fn review_grants(&self, query: ReviewQuery) -> Result<GrantReviewList, ApiError> {
        self.ask(move |core| review::list(core, &query)).await
    }

    async fn suggest_grant(&self, query: SuggestionQuery) -> Result<Suggestion, ApiError> {
        self.ask(move |core| review::suggest(core, &query)).await
    }

    async fn rehearse(&self, request: RehearsalRequest) -> Result<Rehearsal, ApiError> {
        rehearsal::rehearse(self, request).await
    }

    async fn report(&self, query: ReviewQuery) -> Result<Report, ApiError> {
        report::report(self, query).await
    }

    async fn metrics(&self) -> Result<MetricsSnapshot, ApiError> {
        metrics::metrics(self).await
    }
}
