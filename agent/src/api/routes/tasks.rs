//! Tasks: whoever may open the socket may start one, within what it may call itself.

use axum::{
    Json,
    extract::{ConnectInfo, Path, State},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Body, body};
use crate::api::{
    error::ErrorBody,
    server::{Peer, Shared},
    types::{TaskEnded, TaskList, TaskRequest, TaskStarted},
};

pub(super) fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, start))
        .routes(routes!(end))
}

/// Tasks whose cgroups are there.
#[utoipa::path(
    get, path = "/v1/tasks", operation_id = "list_tasks",
    responses((status = OK, body = TaskList))
)]
async fn list(State(backend): State<Shared>) -> Answer<TaskList> {
    backend.tasks().await.map(Json)
}

/// Starts a task of the calling process.
#[utoipa::path(
    post, path = "/v1/tasks", operation_id = "start_task", request_body = TaskRequest,
    responses(
        (status = OK, body = TaskStarted),
        (status = BAD_REQUEST, body = ErrorBody),
        (status = FORBIDDEN, body = ErrorBody),
        (status = UNPROCESSABLE_ENTITY, body = ErrorBody),
    )
)]
async fn start(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Body<TaskRequest>,
) -> Answer<TaskStarted> {
    backend.start_task(body(request)?, peer).await.map(Json)
}

/// Ends a task: its lease at once, its cgroup when nobody is left in it.
#[utoipa::path(
    delete, path = "/v1/tasks/{id}", operation_id = "end_task",
    params(("id" = String, Path, description = "Id of the task")),
    responses(
        (status = OK, body = TaskEnded),
        (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody),
    )
)]
async fn end(
    State(backend): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
) -> Answer<TaskEnded> {
    backend.end_task(id, peer).await.map(Json)
}
