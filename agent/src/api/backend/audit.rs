//! The audit, as wire types.

use std::path::Path;

use super::{DaemonBackend, bad, internal};
use crate::{
    api::{
        error::ApiError,
        types::{
            AuditActor, AuditExport, AuditExportQuery, AuditList, AuditQuery, AuditRecord,
            AuditVerification, AuditVerifyQuery,
        },
    },
    audit::{Action, Hash, Known, Record, hex, ocsf, parse_hex},
    daemon::{Core, VerifyError, verify_audit},
    host::name,
    store::AuditFilter,
};

const DEFAULT_LIMIT: u32 = 100;
const MOST: u32 = 10_000;
/// How many records an export hands over at a time.
const PORTION: u32 = 2_000;

pub(super) fn list(core: &Core, query: AuditQuery) -> Result<AuditList, ApiError> {
    let AuditQuery {
        since,
        after,
        action,
        name,
        limit,
    } = query;
    if let Some(action) = &action
        && Action::from_name(action).is_none()
    {
        let all = Action::ALL.map(Action::name).join(", ");
        return Err(bad(format!("unknown action `{action}`: one of {all}")));
    }
    let records = records(
        core,
        &AuditFilter {
            since,
            after,
            action,
            name,
            decisions: false,
            limit: limit.unwrap_or(DEFAULT_LIMIT).min(MOST),
        },
    )?;
    Ok(AuditList {
        records: records.iter().map(record).collect(),
    })
}

pub(super) fn export(core: &Core, query: &AuditExportQuery) -> Result<AuditExport, ApiError> {
    let records = records(
        core,
        &AuditFilter {
            since: query.since,
            after: Some(query.after.unwrap_or(0)),
            limit: PORTION,
            ..AuditFilter::default()
        },
    )?;
    let is_all = records.len() < PORTION as usize;
    let next = records.last().map(|last| last.seq).filter(|_| !is_all);
    let events = match query.format.as_str() {
        "jsonl" => records.iter().map(Record::json).collect(),
        "ocsf" => {
            let host = name::host();
            records.iter().map(|record| ocsf(record, &host)).collect()
        }
        other => return Err(bad(format!("unknown format `{other}`: jsonl or ocsf"))),
    };
    Ok(AuditExport { events, next })
}

fn records(core: &Core, filter: &AuditFilter) -> Result<Vec<Record>, ApiError> {
    core.audit_records(filter)
        .map_err(|error| internal("read the audit", &error))
}

pub(super) fn record(record: &Record) -> AuditRecord {
    let actor = &record.actor;
    AuditRecord {
        seq: record.seq,
        at: record.at,
        action: record.action.clone(),
        outcome: record.outcome.clone(),
        actor: AuditActor {
            via: actor.via.name().to_owned(),
            name: actor.name(),
            uid: actor.uid,
            user: actor.user.clone(),
            pid: actor.pid,
            cgroup: actor.cgroup.clone(),
            identity: actor.identity.clone(),
        },
        kind: record.target.kind.clone(),
        name: record.target.name.clone(),
        reason: record.reason.clone(),
        details: serde_json::from_str(&record.details).unwrap_or_default(),
        controls: record.controls(),
        hash: hex(&record.hash),
    }
}

/// Reads all records on a thread of its own: the agent goes on meanwhile.
pub(super) async fn verify(
    backend: &DaemonBackend,
    query: AuditVerifyQuery,
) -> Result<AuditVerification, ApiError> {
    let expected = expected(query.expect.as_deref().unwrap_or_default())?;
    let (directory, written) = backend
        .ask(|core| Ok((core.state_directory().to_owned(), core.audit_end())))
        .await?;
    let known = Known { written, expected };
    let verified = tokio::task::spawn_blocking(move || verification(&directory, known)).await;
    verified
        .map_err(|error| internal("verify the audit", &error))?
        .map_err(|error| internal("verify the audit", &error))
}

/// Of a state directory, whether an agent runs there or not.
///
/// # Errors
///
/// When it cannot be read.
pub(crate) fn verification(
    directory: &Path,
    known: Known,
) -> Result<AuditVerification, VerifyError> {
    let is_running = known.written.is_some();
    let (verified, key) = verify_audit(directory, known)?;
    let mut notes = Vec::new();
    if let Some((from, to)) = verified.unproven()
        && !is_running
    {
        notes.push(format!(
            "no checkpoint proves records {from} to {to}: whether more of them followed cannot be \
             told"
        ));
    }
    Ok(AuditVerification {
        records: verified.records,
        last: verified
            .last
            .map(|(seq, hash)| format!("{seq}:{}", hex(&hash))),
        checkpoints: verified.checkpoints,
        proven: verified.proven,
        public_key: key.text(),
        problems: verified.problems.iter().map(ToString::to_string).collect(),
        notes,
    })
}

/// `SEQ:HASH`, with commas between them.
pub(crate) fn expected(text: &str) -> Result<Vec<(u64, Hash)>, ApiError> {
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (seq, hash) = word.split_once(':')?;
            Some((seq.parse().ok()?, parse_hex(hash)?))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| {
            bad("write a record that is expected as SEQ:HASH, as `weir audit verify` prints it")
        })
}
