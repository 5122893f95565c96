//! The audit: reading, handing over, verifying.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Asked, asked};
use crate::api::{
    error::ErrorBody,
    server::Shared,
    types::{
        AuditExport, AuditExportQuery, AuditList, AuditQuery, AuditVerification, AuditVerifyQuery,
    },
};

pub(super) fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
        .routes(routes!(verify))
}

/// Who decided what.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "list_audit", params(AuditQuery),
    responses((status = OK, body = AuditList), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn list(State(backend): State<Shared>, query: Asked<AuditQuery>) -> Answer<AuditList> {
    backend.audit(asked(query)?).await.map(Json)
}

/// Records for another program, some at a time.
#[utoipa::path(
    get, path = "/v1/audit/export", operation_id = "export_audit", params(AuditExportQuery),
    responses((status = OK, body = AuditExport), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn export(
    State(backend): State<Shared>,
    query: Asked<AuditExportQuery>,
) -> Answer<AuditExport> {
    backend.export_audit(asked(query)?).await.map(Json)
}

/// Are the records as they were left?
#[utoipa::path(
    get, path = "/v1/audit/verify", operation_id = "verify_audit", params(AuditVerifyQuery),
    responses((status = OK, body = AuditVerification), (status = BAD_REQUEST, body = ErrorBody))
)]
async fn verify(
    State(backend): State<Shared>,
    query: Asked<AuditVerifyQuery>,
) -> Answer<AuditVerification> {
    backend.verify_audit(asked(query)?).await.map(Json)
}
