//! What a policy would have refused, as wire types.

use agent_common::destination::EndpointId;

use super::{
    DaemonBackend, internal,
    policy::{mistakes, named_texts},
};
use crate::{
    api::{
        error::ApiError,
        types::{Refusable, Rehearsal, RehearsalRequest},
    },
    daemon::Recorded,
    error_chain,
    policy::{self, CompileError},
};

/// Evaluated on a thread of its own: there may be many identities.
pub(super) async fn rehearse(
    backend: &DaemonBackend,
    request: RehearsalRequest,
) -> Result<Rehearsal, ApiError> {
    let RehearsalRequest {
        files,
        whole,
        since,
    } = request;
    let texts = named_texts(files);
    let recorded = backend
        .ask(move |core| Ok(core.recorded(&texts, whole, since)))
        .await?;
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(error) => return Ok(failed(mistakes(error))),
    };
    let judged = tokio::task::spawn_blocking(move || judged(&recorded)).await;
    let judged = judged.map_err(|error| internal("judge what was counted", &error))?;
    Ok(judged.unwrap_or_else(|error| failed(vec![error_chain(&error)])))
}

fn failed(errors: Vec<String>) -> Rehearsal {
    Rehearsal {
        errors,
        ..Rehearsal::default()
    }
}

fn judged(recorded: &Recorded) -> Result<Rehearsal, CompileError> {
    let policy::Rehearsal {
        refusable,
        n_calls,
        n_unknown,
    } = recorded.rehearse()?;
    let name = |refusable: policy::Refusable| {
        let policy::Refusable {
            identity,
            endpoint,
            decision,
            n_calls,
            last_seen,
        } = refusable;
        let known = recorded.identity(identity);
        let rule = recorded.rule(decision.rule());
        Refusable {
            identity: known.map_or_else(|| "unknown".to_owned(), |known| known.key()),
            endpoint: if endpoint == EndpointId::ANY {
                "-".to_owned()
            } else {
                recorded.endpoint(endpoint).unwrap_or("unknown").to_owned()
            },
            reason: decision.reason().name().to_owned(),
            rule: rule.map(ToOwned::to_owned),
            calls: n_calls,
            last_seen,
        }
    };
    Ok(Rehearsal {
        errors: Vec::new(),
        refused: refusable.into_iter().map(name).collect(),
        calls: n_calls,
        calls_not_judged: n_unknown,
    })
}
