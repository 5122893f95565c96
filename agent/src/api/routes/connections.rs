//! Connections that live.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Asked, asked};
use crate::api::{
    error::ErrorBody,
    server::Shared,
    types::{ConnectionList, ConnectionQuery},
};

pub(super) fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(connections))
}

/// Which connections to model endpoints live, and how much has gone through them?
#[utoipa::path(
    get, path = "/v1/connections", params(ConnectionQuery),
    responses((status = OK, body = ConnectionList), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn connections(
    State(backend): State<Shared>,
    query: Asked<ConnectionQuery>,
) -> Answer<ConnectionList> {
    backend.connections(asked(query)?).await.map(Json)
}
