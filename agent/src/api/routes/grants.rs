//! Grants: who has asked for which, who has approved it, and what became of it.

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, Path, State},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Asked, Body, asked, body, may_change, removal};
use crate::{
    api::{
        error::ErrorBody,
        server::{Peer, Shared},
        types::{
            Grant, GrantDecision, GrantHistory, GrantList, GrantRequest, IdentityRevocation,
            Removal, Rule,
        },
    },
    policy::Role,
};

pub(super) fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, issue))
        .routes(routes!(history, revoke))
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(revoke_identity))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct GrantQuery {
    /// Also grants that have ended, were revoked or rejected.
    #[serde(default)]
    all: bool,
}

/// Grants by name.
#[utoipa::path(
    get, path = "/v1/grants", operation_id = "list_grants", params(GrantQuery),
    responses((status = OK, body = GrantList))
)]
async fn list(State(backend): State<Shared>, query: Asked<GrantQuery>) -> Answer<GrantList> {
    backend.grants(asked(query)?.all).await.map(Json)
}

/// Issues a grant, or asks for it if it needs approval.
#[utoipa::path(
    post, path = "/v1/grants", operation_id = "issue_grant", request_body = GrantRequest,
    responses(
        (status = OK, body = Grant),
        (status = FORBIDDEN, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
        (status = UNPROCESSABLE_ENTITY, body = ErrorBody),
    )
)]
async fn issue(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Body<GrantRequest>,
) -> Answer<Grant> {
    may_change(&backend, &peer, Role::Operator, "issue a grant").await?;
    backend.issue_grant(body(request)?, peer).await.map(Json)
}

/// The history of a name.
#[utoipa::path(
    get, path = "/v1/grants/{name}", operation_id = "grant_history",
    params(("name" = String, Path, description = "Name of the grant")),
    responses((status = OK, body = GrantHistory), (status = NOT_FOUND, body = ErrorBody))
)]
async fn history(State(backend): State<Shared>, Path(name): Path<String>) -> Answer<GrantHistory> {
    backend.grant_history(name).await.map(Json)
}

/// Revokes a grant that was issued over the API, or withdraws a request.
#[utoipa::path(
    delete, path = "/v1/grants/{name}", operation_id = "revoke_grant",
    request_body = Option<Removal>,
    params(("name" = String, Path, description = "Name of the grant")),
    responses(
        (status = OK, body = Grant),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
    )
)]
async fn revoke(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer<Grant> {
    may_change(&backend, &peer, Role::Operator, "revoke a grant").await?;
    let removal = removal(&bytes)?;
    backend.revoke_grant(name, removal, peer).await.map(Json)
}

/// Approves a grant that waits: exactly its present content.
#[utoipa::path(
    post, path = "/v1/grants/{name}/approve", operation_id = "approve_grant",
    request_body = GrantDecision,
    params(("name" = String, Path, description = "Name of the grant")),
    responses(
        (status = OK, body = Grant),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
    )
)]
async fn approve(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    decision: Body<GrantDecision>,
) -> Answer<Grant> {
    let decision = body(decision)?;
    let role = if decision.break_glass {
        Role::Admin
    } else {
        Role::Approver
    };
    may_change(&backend, &peer, role, "approve a grant").await?;
    backend.approve_grant(name, decision, peer).await.map(Json)
}

/// Rejects a grant that waits.
#[utoipa::path(
    post, path = "/v1/grants/{name}/reject", operation_id = "reject_grant",
    request_body = GrantDecision,
    params(("name" = String, Path, description = "Name of the grant")),
    responses(
        (status = OK, body = Grant),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
    )
)]
async fn reject(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    decision: Body<GrantDecision>,
) -> Answer<Grant> {
    may_change(&backend, &peer, Role::Approver, "reject a grant").await?;
    backend
        .reject_grant(name, body(decision)?, peer)
        .await
        .map(Json)
}

/// Refuses one identity every endpoint, whatever grants say: a deny rule that can be removed again.
#[utoipa::path(
    post, path = "/v1/identities/revoke", request_body = IdentityRevocation,
    responses(
        (status = OK, body = Rule),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
    )
)]
async fn revoke_identity(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Body<IdentityRevocation>,
) -> Answer<Rule> {
    may_change(&backend, &peer, Role::Operator, "revoke an identity").await?;
    backend
        .revoke_identity(body(request)?, peer)
        .await
        .map(Json)
}
