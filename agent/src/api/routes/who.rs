//! Who talks to whom, and who is who.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Asked, asked};
use crate::api::{
    error::ErrorBody,
    server::Shared,
    types::{Rights, RightsQuery, WhoQuery, WhoTalks},
};

pub(super) fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(who))
        .routes(routes!(rights))
}

/// Who talks to an address or an endpoint, now and recently?
#[utoipa::path(
    get, path = "/v1/who", params(WhoQuery),
    responses(
        (status = OK, body = WhoTalks),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
async fn who(State(backend): State<Shared>, query: Asked<WhoQuery>) -> Answer<WhoTalks> {
    backend.who(asked(query)?.address).await.map(Json)
}

/// Who is X, and what may it call now?
#[utoipa::path(
    get, path = "/v1/explain/who", params(RightsQuery),
    responses(
        (status = OK, body = Rights),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
async fn rights(State(backend): State<Shared>, query: Asked<RightsQuery>) -> Answer<Rights> {
    backend.rights(asked(query)?).await.map(Json)
}
