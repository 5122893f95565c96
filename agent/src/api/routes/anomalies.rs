//! What was unusual, and what people say to it.

use axum::{
    Json,
    extract::{ConnectInfo, Path, State},
    http::StatusCode,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Asked, Body, asked, body, may_change};
use crate::{
    api::{
        error::{ApiError, ErrorBody},
        server::{Peer, Shared},
        types::{Anomaly, AnomalyAck, AnomalyList, AnomalyQuery, Mute, MuteList, MuteRequest},
    },
    policy::Role,
};

pub(super) fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(ack))
        .routes(routes!(list_mutes, mute))
        .routes(routes!(unmute))
}

/// What was unusual?
#[utoipa::path(
    get, path = "/v1/anomalies", operation_id = "list_anomalies", params(AnomalyQuery),
    responses((status = OK, body = AnomalyList), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn list(State(backend): State<Shared>, query: Asked<AnomalyQuery>) -> Answer<AnomalyList> {
    backend.anomalies(asked(query)?).await.map(Json)
}

/// One anomaly.
#[utoipa::path(
    get, path = "/v1/anomalies/{id}", operation_id = "show_anomaly",
    params(("id" = i64, Path, description = "Number of the anomaly")),
    responses((status = OK, body = Anomaly), (status = NOT_FOUND, body = ErrorBody))
)]
async fn show(State(backend): State<Shared>, Path(id): Path<String>) -> Answer<Anomaly> {
    backend.anomaly(number(&id)?).await.map(Json)
}

/// Takes note of an anomaly.
#[utoipa::path(
    post, path = "/v1/anomalies/{id}/ack", operation_id = "ack_anomaly", request_body = AnomalyAck,
    params(("id" = i64, Path, description = "Number of the anomaly")),
    responses(
        (status = OK, body = Anomaly),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
async fn ack(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    request: Body<AnomalyAck>,
) -> Answer<Anomaly> {
    may_change(&backend, &peer, Role::Operator, "acknowledge an anomaly").await?;
    let why = body(request)?.why;
    backend.ack_anomaly(number(&id)?, why, peer).await.map(Json)
}

/// Mutes that hold.
#[utoipa::path(
    get, path = "/v1/mutes", operation_id = "list_mutes",
    responses((status = OK, body = MuteList))
)]
async fn list_mutes(State(backend): State<Shared>) -> Answer<MuteList> {
    backend.mutes().await.map(Json)
}

/// Has nobody told of what matches, for a time.
#[utoipa::path(
    post, path = "/v1/mutes", operation_id = "mute", request_body = MuteRequest,
    responses(
        (status = OK, body = Mute),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = FORBIDDEN, body = ErrorBody),
    )
)]
async fn mute(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Body<MuteRequest>,
) -> Answer<Mute> {
    may_change(&backend, &peer, Role::Operator, "mute anomalies").await?;
    backend.mute(body(request)?, peer).await.map(Json)
}

/// Ends a mute.
#[utoipa::path(
    delete, path = "/v1/mutes/{id}", operation_id = "unmute",
    params(("id" = i64, Path, description = "Number of the mute")),
    responses(
        (status = NO_CONTENT),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
async fn unmute(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    may_change(&backend, &peer, Role::Operator, "end a mute").await?;
    backend.unmute(number(&id)?, peer).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn number(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(
            crate::api::error::ErrorCode::BadRequest,
            format!("`{text}` is no number: `weir anomalies list` shows those there are"),
        )
    })
}
