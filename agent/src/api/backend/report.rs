//! The report for an auditor. What takes long is read beside the agent's own thread.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{DaemonBackend, audit, internal, review, usage, verification};
use crate::{
    api::{
        error::ApiError,
        types::{
            Absence, AuditVerification, ControlEvidence, Report, ReviewQuery, UsageQuery,
            UsageReport,
        },
    },
    audit::{Action, Control, Known, Record, controls},
    daemon::{Core, GrantReview, VerifyError},
    host::name,
    store::{AuditFilter, AuditReader, StoreError},
};

/// What the agent itself has to answer.
struct Facts {
    mode: String,
    reviews: Vec<GrantReview>,
    missing: BTreeMap<String, String>,
    database: PathBuf,
    known: Known,
}

/// What the records say.
struct Read {
    records: Vec<Record>,
    actions: BTreeMap<String, u64>,
    verification: AuditVerification,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

pub(super) async fn report(
    backend: &DaemonBackend,
    query: ReviewQuery,
) -> Result<Report, ApiError> {
    let ReviewQuery { since } = query;
    let usage = UsageQuery {
        by: Some("identity,endpoint".to_owned()),
        since: Some(since),
        ..UsageQuery::default()
    };
    let usage = usage::usage(backend, usage).await?;
    let facts = backend.ask(move |core| facts(core, since)).await?;
    let (database, known) = (facts.database.clone(), facts.known.clone());
    let read = tokio::task::spawn_blocking(move || read(&database, known, since)).await;
    let read = read
        .map_err(|error| internal("write the report", &error))?
        .map_err(|error| internal("write the report", &error))?;
    Ok(assemble(since, facts, usage, read))
}

fn facts(core: &mut Core, since: Timestamp) -> Result<Facts, ApiError> {
    let failed = |error: StoreError| internal("review grants", &error);
    let reviews = core.review_grants(since).map_err(failed)?;
    Ok(Facts {
        mode: core.mode().name().to_owned(),
        reviews,
        missing: core.missing_hooks(),
        database: core.database(),
        known: Known {
            written: core.audit_end(),
            expected: Vec::new(),
        },
    })
}

fn read(database: &Path, known: Known, since: Timestamp) -> Result<Read, ReadError> {
    let reader = AuditReader::open(database)?;
    // From the beginning, because what was approved before may still be in force.
    let records = reader.records(&AuditFilter {
        decisions: true,
        limit: u32::MAX,
        ..AuditFilter::default()
    })?;
    let actions = reader.counts(Some(since))?;
    let directory = database.parent().unwrap_or(database);
    Ok(Read {
        records,
        actions,
        verification: verification(directory, known)?,
    })
}

fn assemble(since: Timestamp, facts: Facts, usage: UsageReport, read: Read) -> Report {
    let Facts {
        mode,
        reviews,
        missing,
        database: _,
        known: _,
    } = facts;
    let Read {
        records,
        actions,
        verification,
    } = read;
    let histories = review::histories(&records);
    let mut grants: Vec<_> = reviews
        .iter()
        .map(|one| review::wire(one, histories.get(&one.view.name)))
        .collect();
    let is_listed = |name: &String| reviews.iter().any(|one| one.view.name == *name);
    let unlisted = histories.iter().filter(|(name, _)| !is_listed(name));
    let gone = unlisted.filter_map(|(_, history)| review::gone(history));
    grants.extend(gone.filter(|grant| grant.ended_at.is_some_and(|end| end >= since)));
    let of = |select: &dyn Fn(Action) -> bool| {
        let selected = records.iter().filter(|record| {
            record.at >= since && Action::from_name(&record.action).is_some_and(select)
        });
        selected.map(audit::record).collect()
    };
    Report {
        host: name::host(),
        since,
        until: Timestamp::now(),
        mode,
        grants,
        usage: usage.rows,
        endings: of(&is_ending),
        exceptions: of(&is_exception),
        coverage: of(&|action| action == Action::CoverageChanged),
        missing,
        absences: absences(&records, since),
        lost_events: usage.lost_events,
        controls: evidence(&actions),
        actions,
        verification,
    }
}

const fn is_ending(action: Action) -> bool {
    matches!(
        action,
        Action::GrantRevoked | Action::GrantExpired | Action::GrantRejected | Action::DenyRemoved
    )
}

const fn is_exception(action: Action) -> bool {
    matches!(
        action,
        Action::BreakGlass
            | Action::ModeChanged
            | Action::DenyRemoved
            | Action::PolicyDeleted
            | Action::ChangeRefused
            | Action::AnomalyMuted
            | Action::AuditTampered
    )
}

/// Between the last record of an agent and the start of the next one.
fn absences(records: &[Record], since: Timestamp) -> Vec<Absence> {
    let starts = records.windows(2).filter_map(|pair| {
        let [before, after] = pair else {
            return None;
        };
        let is_absence = after.is(Action::AgentStarted) && after.at >= since;
        is_absence.then(|| Absence {
            from: before.at,
            to: after.at,
            clean: after.detail("clean") == Some(true.into()),
        })
    });
    starts.collect()
}

fn evidence(actions: &BTreeMap<String, u64>) -> Vec<ControlEvidence> {
    let mut counts: BTreeMap<Control, u64> = BTreeMap::new();
    for action in Action::ALL {
        let records = actions.get(action.name()).copied().unwrap_or(0);
        for control in controls(action) {
            *counts.entry(*control).or_default() += records;
        }
    }
    counts
        .into_iter()
        .map(|(control, records)| ControlEvidence {
            control: control.name(),
            about: control.about.to_owned(),
            records,
        })
        .collect()
}
