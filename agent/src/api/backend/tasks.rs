//! Tasks between the daemon and the wire.

use serde_json::{Map, json};

use super::{bad, internal, policy};
use crate::{
    api::{
        error::{ApiError, ErrorCode},
        server::Peer,
        types::{Task, TaskEnded, TaskRequest, TaskStarted},
    },
    daemon::{self, Core, TaskError, TaskView, lease_name},
    host::task_cgroup,
    policy::Kind,
};

/// What the daemon is asked for. The document of the lease has the same checks as a file.
fn request(
    core: &Core,
    request: TaskRequest,
    peer: &Peer,
) -> Result<daemon::TaskRequest, ApiError> {
    let caller = peer.process.ok_or_else(|| {
        bad("the process that asks is not there, or in a pid namespace that the agent cannot see")
    })?;
    let id = task_cgroup::new_id().map_err(|error| internal("make an id", &error))?;
    let TaskRequest {
        endpoints,
        planes,
        purpose,
        ttl,
        limits,
        cgroup,
    } = request;
    let mut spec = Map::new();
    spec.insert("subjects".to_owned(), json!([{"task": id}]));
    spec.insert("endpoints".to_owned(), json!(endpoints));
    if !planes.is_empty() {
        spec.insert("planes".to_owned(), json!(planes));
    }
    spec.insert("purpose".to_owned(), json!(purpose));
    spec.insert("ttl".to_owned(), json!(ttl));
    if !limits.is_empty() {
        spec.insert("limits".to_owned(), json!(limits));
    }
    Ok(daemon::TaskRequest {
        lease: policy::document(Kind::InvocationGrant, &lease_name(&id), spec),
        id,
        cgroup,
        actor: core.actor(peer.uid, peer.process),
        uid: peer.uid,
        caller,
    })
}

pub(super) fn start(
    core: &mut Core,
    asked: TaskRequest,
    peer: &Peer,
) -> Result<TaskStarted, ApiError> {
    let asked = request(core, asked, peer)?;
    let view = core.start_task(&asked).map_err(task_error)?;
    Ok(TaskStarted {
        id: view.id,
        cgroup: view.cgroup,
        cgroup_directory: view.directory.display().to_string(),
        not_after: view.not_after,
        grant: view.grant,
    })
}

pub(super) fn end(core: &mut Core, id: String, peer: &Peer) -> Result<TaskEnded, ApiError> {
    let actor = core.actor(peer.uid, peer.process);
    let ended = core.end_task(&id, &actor).map_err(task_error)?;
    Ok(TaskEnded {
        id,
        processes_left: ended.processes_left as u64,
    })
}

pub(super) fn task(view: TaskView) -> Task {
    let TaskView {
        id,
        cgroup,
        directory: _,
        uid,
        pid,
        grant,
        lease,
        not_after,
        is_over,
        processes,
    } = view;
    let (endpoints, purpose) = lease.map_or_else(
        || (Vec::new(), None),
        |lease| (lease.endpoints, Some(lease.purpose)),
    );
    Task {
        id,
        state: if is_over { "ended" } else { "live" }.to_owned(),
        cgroup,
        grant,
        endpoints,
        purpose,
        not_after,
        uid,
        pid,
        processes: processes as u64,
    }
}

fn task_error(error: TaskError) -> ApiError {
    let message = crate::error_chain(&error);
    match error {
        TaskError::Change(error) => policy::change_error(error),
        TaskError::NoProcess(_) | TaskError::Outside(_) | TaskError::Unfit { .. } => bad(message),
        TaskError::Widening { .. } | TaskError::Limited { .. } | TaskError::Foreign(_) => {
            ApiError::new(ErrorCode::Forbidden, message)
        }
        TaskError::NotFound(_) => ApiError::new(ErrorCode::NotFound, message),
        TaskError::TooMany | TaskError::Place(_) | TaskError::Name(_) => {
            ApiError::new(ErrorCode::Unavailable, message)
        }
        TaskError::Store(_) | TaskError::Boot(_) => internal("start or end the task", &error),
    }
}
