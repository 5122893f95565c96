//! Reviews: of grants, and of everything.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Asked, Body, asked, body};
use crate::api::{
    error::ErrorBody,
    server::Shared,
    types::{
        GrantReviewList, Rehearsal, RehearsalRequest, Report, ReviewQuery, Suggestion,
        SuggestionQuery,
    },
};

pub(super) fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(grants))
        .routes(routes!(rehearse))
        .routes(routes!(report))
        .routes(routes!(suggest))
}

/// What is used of grants?
#[utoipa::path(
    get, path = "/v1/review/grants", operation_id = "review_grants", params(ReviewQuery),
    responses((status = OK, body = GrantReviewList), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn grants(
    State(backend): State<Shared>,
    query: Asked<ReviewQuery>,
) -> Answer<GrantReviewList> {
    backend.review_grants(asked(query)?).await.map(Json)
}

/// What would a policy have refused of what was counted?
#[utoipa::path(
    post, path = "/v1/review/enforcement", operation_id = "rehearse_enforcement",
    request_body = RehearsalRequest,
    responses((status = OK, body = Rehearsal), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn rehearse(
    State(backend): State<Shared>,
    request: Body<RehearsalRequest>,
) -> Answer<Rehearsal> {
    backend.rehearse(body(request)?).await.map(Json)
}

/// What happened, for an auditor.
#[utoipa::path(
    get, path = "/v1/report", params(ReviewQuery),
    responses((status = OK, body = Report), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn report(State(backend): State<Shared>, query: Asked<ReviewQuery>) -> Answer<Report> {
    backend.report(asked(query)?).await.map(Json)
}

/// Which grant would fit what an identity was seen to do?
#[utoipa::path(
    get, path = "/v1/review/suggestion", operation_id = "suggest_grant", params(SuggestionQuery),
    responses(
        (status = OK, body = Suggestion),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
async fn suggest(
    State(backend): State<Shared>,
    query: Asked<SuggestionQuery>,
) -> Answer<Suggestion> {
    backend.suggest_grant(asked(query)?).await.map(Json)
}
