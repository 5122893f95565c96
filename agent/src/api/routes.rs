//! One handler for each route; the OpenAPI document is made of the same definitions.

#![expect(
    unused_qualifications,
    reason = "utoipa's macros expand to qualified names"
)]

mod anomalies;
mod audit;
mod connections;
mod grants;
mod review;
mod tasks;
mod who;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        ConnectInfo, Path, Query, RawQuery, Request, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{Method, StatusCode, header::CONTENT_TYPE},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::policy::Role;

use super::{
    error::{ApiError, ErrorBody, ErrorCode},
    metrics,
    server::{Peer, Shared},
    types::{
        ApplyResult, CheckReport, DenyRequest, EndpointList, EndpointMatches, EventList,
        EventQuery, ExplainQuery, Explanation, IdentityList, PolicyDiff, PolicyDocuments,
        PolicyView, Removal, Rule, RuleList, Status, UsageQuery, UsageReport,
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir agent",
        description = "Which process may call which model endpoint, and how much has it used.",
        license(name = "Apache-2.0")
    ),
    components(schemas(ErrorBody))
)]
struct Description;

pub(super) fn all(backend: Shared) -> Router {
    let (router, document) = documented().split_for_parts();
    router
        .route("/v1/openapi.json", get(|| async move { Json(document) }))
        .route("/metrics", get(read_metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(backend.clone(), guard_reading))
        .with_state(backend)
}

pub(super) fn metrics_only(backend: Shared) -> Router {
    Router::new()
        .route("/metrics", get(read_metrics))
        .fallback(unknown)
        .with_state(backend)
}

fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status))
        .routes(routes!(usage))
        .routes(routes!(events))
        .routes(routes!(identities))
        .routes(routes!(endpoints))
        .routes(routes!(match_host))
        .routes(routes!(explain))
        .routes(routes!(list_denies, add_deny))
        .routes(routes!(remove_deny))
        .routes(routes!(policy))
        .routes(routes!(check))
        .routes(routes!(diff))
        .routes(routes!(apply))
        .routes(routes!(remove_object))
        .merge(anomalies::documented())
        .merge(audit::documented())
        .merge(review::documented())
        .merge(grants::documented())
        .merge(tasks::documented())
        .merge(connections::documented())
        .merge(who::documented())
}

type Answer<T> = Result<Json<T>, ApiError>;
type Body<T> = Result<Json<T>, JsonRejection>;
type Asked<T> = Result<Query<T>, QueryRejection>;

/// Routes that change nothing although they take a body.
const READING: [&str; 3] = [
    "/v1/policy/check",
    "/v1/policy/diff",
    "/v1/review/enforcement",
];

/// Refuses a caller who lacks a role.
fn may(backend: &Shared, peer: &Peer, role: Role) -> Result<(), ApiError> {
    if backend.roles().allow(role, peer.uid, &peer.groups) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::Forbidden,
        format!(
            "{} lacks the role {}: ask somebody who has it, or an admin for the group that gives it",
            peer.by(),
            role.name()
        ),
    ))
}

/// As [`may`], for a change.
async fn may_change(
    backend: &Shared,
    peer: &Peer,
    role: Role,
    what: &'static str,
) -> Result<(), ApiError> {
    let allowed = may(backend, peer, role);
    if let Err(error) = &allowed {
        backend.note_refusal(peer, what, &error.message).await;
    }
    allowed
}

/// Whoever reads is a viewer at least; each handler that changes something says what it demands.
async fn guard_reading(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.uri().path();
    if request.method() == Method::GET || READING.contains(&path) {
        may(&backend, &peer, Role::Viewer)?;
    }
    Ok(next.run(request).await)
}

fn body<T>(body: Body<T>) -> Result<T, ApiError> {
    match body {
        Ok(Json(value)) => Ok(value),
        Err(rejection) => Err(ApiError::new(ErrorCode::BadRequest, rejection.body_text())),
    }
}

fn asked<T>(query: Asked<T>) -> Result<T, ApiError> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(ApiError::new(ErrorCode::BadRequest, rejection.body_text())),
    }
}

/// A removal may come without a body.
fn removal(bytes: &Bytes) -> Result<Removal, ApiError> {
    if bytes.is_empty() {
        return Ok(Removal::default());
    }
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::new(ErrorCode::BadRequest, format!("the body: {error}")))
}

async fn unknown() -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        "no such route: /v1/openapi.json describes all",
    )
}

async fn wrong_method() -> (StatusCode, Json<ErrorBody>) {
    let error = ApiError::new(
        ErrorCode::BadRequest,
        "this route has no such method: /v1/openapi.json describes all",
    );
    (StatusCode::METHOD_NOT_ALLOWED, Json(ErrorBody { error }))
}

async fn read_metrics(State(backend): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    let text = metrics::encode(&backend.metrics().await?);
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

/// Is the agent in force, with what coverage?
#[utoipa::path(get, path = "/v1/status", responses((status = OK, body = Status)))]
async fn status(State(backend): State<Shared>) -> Answer<Status> {
    backend.status().await.map(Json)
}

/// How much has whom used?
#[utoipa::path(
    get, path = "/v1/usage", params(UsageQuery),
    responses((status = OK, body = UsageReport), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn usage(State(backend): State<Shared>, RawQuery(query): RawQuery) -> Answer<UsageReport> {
    // Unlike `Query`, this takes a parameter that is given again.
    let query = serde_html_form::from_str(query.as_deref().unwrap_or_default());
    let query = query.map_err(|error| {
        ApiError::new(ErrorCode::BadRequest, format!("the query string: {error}"))
    })?;
    backend.usage(query).await.map(Json)
}

/// What happened, one connection at a time.
#[utoipa::path(
    get, path = "/v1/events", params(EventQuery),
    responses((status = OK, body = EventList), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn events(State(backend): State<Shared>, query: Asked<EventQuery>) -> Answer<EventList> {
    backend.events(asked(query)?).await.map(Json)
}

/// Every identity that has been seen.
#[utoipa::path(get, path = "/v1/identities", responses((status = OK, body = IdentityList)))]
async fn identities(State(backend): State<Shared>) -> Answer<IdentityList> {
    backend.identities().await.map(Json)
}

/// Every model endpoint that is known.
#[utoipa::path(get, path = "/v1/endpoints", responses((status = OK, body = EndpointList)))]
async fn endpoints(State(backend): State<Shared>) -> Answer<EndpointList> {
    backend.endpoints().await.map(Json)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HostQuery {
    /// Host name to look for.
    host: String,
}

/// Which endpoints does a host name belong to?
#[utoipa::path(
    get, path = "/v1/endpoints/match", params(HostQuery),
    responses((status = OK, body = EndpointMatches))
)]
async fn match_host(
    State(backend): State<Shared>,
    query: Asked<HostQuery>,
) -> Answer<EndpointMatches> {
    backend.match_host(asked(query)?.host).await.map(Json)
}

/// Would X reach Y, and why?
#[utoipa::path(
    get, path = "/v1/explain", params(ExplainQuery),
    responses(
        (status = OK, body = Explanation),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
async fn explain(State(backend): State<Shared>, query: Asked<ExplainQuery>) -> Answer<Explanation> {
    backend.explain(asked(query)?).await.map(Json)
}

/// Deny rules by name.
#[utoipa::path(get, path = "/v1/denies", responses((status = OK, body = RuleList)))]
async fn list_denies(State(backend): State<Shared>) -> Answer<RuleList> {
    backend.denies().await.map(Json)
}

/// Adds a deny rule.
#[utoipa::path(
    post, path = "/v1/denies", request_body = DenyRequest,
    responses(
        (status = OK, body = Rule),
        (status = FORBIDDEN, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
        (status = UNPROCESSABLE_ENTITY, body = ErrorBody),
    )
)]
async fn add_deny(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Body<DenyRequest>,
) -> Answer<Rule> {
    may_change(&backend, &peer, Role::Operator, "add a deny rule").await?;
    backend.add_deny(body(request)?, peer).await.map(Json)
}

/// Removes a deny rule that was added over the API.
#[utoipa::path(
    delete, path = "/v1/denies/{name}", request_body = Option<Removal>,
    params(("name" = String, Path, description = "Name of the deny rule")),
    responses(
        (status = NO_CONTENT),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
    )
)]
async fn remove_deny(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Result<StatusCode, ApiError> {
    may_change(&backend, &peer, Role::Admin, "remove a deny rule").await?;
    backend.remove_deny(name, removal(&bytes)?, peer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The policy in force.
#[utoipa::path(get, path = "/v1/policy", responses((status = OK, body = PolicyView)))]
async fn policy(State(backend): State<Shared>) -> Answer<PolicyView> {
    backend.policy().await.map(Json)
}

/// Checks policy files together with what is in force.
#[utoipa::path(
    post, path = "/v1/policy/check", request_body = PolicyDocuments,
    responses((status = OK, body = CheckReport), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn check(
    State(backend): State<Shared>,
    documents: Body<PolicyDocuments>,
) -> Answer<CheckReport> {
    backend.check(body(documents)?).await.map(Json)
}

/// Says what applying policy files would change.
#[utoipa::path(
    post, path = "/v1/policy/diff", request_body = PolicyDocuments,
    responses((status = OK, body = PolicyDiff), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn diff(
    State(backend): State<Shared>,
    documents: Body<PolicyDocuments>,
) -> Answer<PolicyDiff> {
    backend.diff(body(documents)?).await.map(Json)
}

/// Installs all objects of policy files, or none.
#[utoipa::path(
    post, path = "/v1/policy/apply", request_body = PolicyDocuments,
    responses(
        (status = OK, body = ApplyResult),
        (status = FORBIDDEN, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
        (status = UNPROCESSABLE_ENTITY, body = ErrorBody),
    )
)]
async fn apply(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    documents: Body<PolicyDocuments>,
) -> Answer<ApplyResult> {
    may_change(&backend, &peer, Role::Admin, "apply policy").await?;
    backend.apply(body(documents)?, peer).await.map(Json)
}

/// Removes an object that was installed over the API.
#[utoipa::path(
    delete, path = "/v1/policy/{kind}/{name}", request_body = Option<Removal>,
    params(
        ("kind" = String, Path, description = "Kind of the object"),
        ("name" = String, Path, description = "Name of the object"),
    ),
    responses(
        (status = OK, body = ApplyResult),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody),
    )
)]
async fn remove_object(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((kind, name)): Path<(String, String)>,
    bytes: Bytes,
) -> Answer<ApplyResult> {
    may_change(&backend, &peer, Role::Admin, "remove policy").await?;
    let removal = removal(&bytes)?;
    backend
        .remove_object(kind, name, removal, peer)
        .await
        .map(Json)
}
