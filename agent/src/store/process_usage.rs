//! Usage by executable and user, added up from events.
//!
//! Events are telemetry: what was lost is missing here and not in the counters, which know neither
//! executable nor user. Whoever reads both can tell how much is missing.

use std::collections::BTreeMap;

use agent_common::{
    counter::Counts, destination::EndpointId, event::EventKind, identity::IdentityId,
    verdict::Verdict,
};
use rusqlite::{Connection, Row, Transaction, types::Value};

use super::{
    EventRecord, StoreError,
    error::Attempt,
    from_sql, micros,
    series::{Added, PROCESS_USAGE, Room},
    timestamp, to_sql,
};
use crate::usage::{
    OTHER_ENDPOINT, OTHER_IDENTITY, ProcessRow,
    adding::{ByInterval, Sums, Total},
    period::{Plan, minute_of, start_of},
};

type Key<'e> = (
    i64,
    IdentityId,
    EndpointId,
    Option<&'e str>,
    Option<&'e str>,
    Option<u32>,
);

pub(super) fn add(
    transaction: &Transaction<'_>,
    room: &mut Room,
    events: &[EventRecord],
) -> Result<(), rusqlite::Error> {
    let mut sums: BTreeMap<Key<'_>, [u64; 6]> = BTreeMap::new();
    for event in events {
        let minute = minute_of(event.at);
        let key = (
            minute,
            event.identity,
            event.endpoint,
            event.exe.as_deref(),
            event.script.as_deref(),
            event.user,
        );
        let counts: [u64; 6] = match (event.kind, event.verdict) {
            (EventKind::Connect | EventKind::Send | EventKind::Socket, Verdict::Allow) => {
                [1, 0, 0, 0, 0, 0]
            }
            (EventKind::Connect | EventKind::Send | EventKind::Socket, Verdict::Deny) => {
                [0, 1, 0, 0, 0, 0]
            }
            (EventKind::Connect | EventKind::Send | EventKind::Socket, Verdict::WouldDeny) => {
                [0, 0, 1, 0, 0, 0]
            }
            (EventKind::Close, _) => [
                0,
                0,
                0,
                1,
                event.bytes_out.unwrap_or(0),
                event.bytes_in.unwrap_or(0),
            ],
            (EventKind::Datagram | EventKind::Foreign | EventKind::Cut, _) => continue,
        };
        let sum = sums.entry(key).or_default();
        for (total, count) in sum.iter_mut().zip(counts) {
            *total = total.saturating_add(count);
        }
    }
    for ((minute, identity, endpoint, exe, script, user), sum) in sums {
        let seen = micros(start_of(minute));
        PROCESS_USAGE.add(
            transaction,
            room,
            &Added {
                minute,
                keys: &key_values(identity, endpoint, exe, script, user),
                other: &key_values(OTHER_IDENTITY, OTHER_ENDPOINT, None, None, None),
                sums: &sum.map(to_sql),
                first_seen: seen,
                last_seen: seen,
            },
        )?;
    }
    Ok(())
}

/// No column is null: what is absent is empty, and a user -1.
fn key_values(
    identity: IdentityId,
    endpoint: EndpointId,
    exe: Option<&str>,
    script: Option<&str>,
    user: Option<u32>,
) -> [Value; 5] {
    let text = |text: Option<&str>| Value::Text(text.unwrap_or_default().to_owned());
    [
        Value::Integer(identity.to_raw().into()),
        Value::Integer(endpoint.to_raw().into()),
        text(exe),
        text(script),
        Value::Integer(user.map_or(-1, i64::from)),
    ]
}

/// As [`super::counters::read`], of what events told of processes.
pub(super) fn read(
    connection: &Connection,
    plan: &Plan,
    identity: Option<IdentityId>,
    endpoint: Option<EndpointId>,
) -> Result<ByInterval<ProcessRow>, StoreError> {
    let only = (
        identity.map(IdentityId::to_raw),
        endpoint.map(EndpointId::to_raw),
    );
    let mut sums = Sums::new();
    PROCESS_USAGE
        .read(connection, &plan.pieces, only, &mut |row| {
            let interval = plan.interval_of(row.get(0)?);
            sums.add((interval, process_key(row)?), process_total(row)?);
            Ok(())
        })
        .attempt("add up usage of processes")?;
    let mut rows = ByInterval::new();
    for ((interval, (identity, endpoint, exe, script, user)), total) in sums {
        let Total {
            counts,
            first_seen,
            last_seen,
        } = total;
        let row = ProcessRow {
            identity,
            endpoint,
            exe,
            script,
            user,
            counts,
            first_seen,
            last_seen,
        };
        rows.entry(interval).or_insert_with(Vec::new).push(row);
    }
    Ok(rows)
}

type ProcessKey = (
    IdentityId,
    EndpointId,
    Option<String>,
    Option<String>,
    Option<u32>,
);

fn process_key(row: &Row<'_>) -> Result<ProcessKey, rusqlite::Error> {
    let text = |index| {
        let text: String = row.get(index)?;
        Ok::<_, rusqlite::Error>((!text.is_empty()).then_some(text))
    };
    let user: i64 = row.get(5)?;
    Ok((
        IdentityId::from_raw(row.get(1)?),
        EndpointId::from_raw(row.get(2)?),
        text(3)?,
        text(4)?,
        u32::try_from(user).ok(),
    ))
}

fn process_total(row: &Row<'_>) -> Result<Total, rusqlite::Error> {
    let count = |index| row.get(index).map(from_sql);
    let seen = |index| row.get(index).map(timestamp);
    Ok(Total {
        counts: Counts {
            connects_allowed: count(6)?,
            connects_denied: count(7)?,
            connects_would_deny: count(8)?,
            closed: count(9)?,
            bytes_out: count(10)?,
            bytes_in: count(11)?,
            ..Counts::default()
        },
        first_seen: seen(12)?,
        last_seen: seen(13)?,
    })
}
