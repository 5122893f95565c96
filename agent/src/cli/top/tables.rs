//! What each view has in its rows.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;

use super::{
    super::{
        output::{or_dash, printable, size},
        usage::{calls, cost},
    },
    model::Detail,
};
use crate::api::types::{Anomaly, Event, UsageReport, UsageRow};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Cells at least; 0 for as many as there are left.
    pub(super) width: u16,
    pub(super) is_number: bool,
}

/// A cell, and what it is sorted by: unknown is less than everything.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    order: Option<f64>,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// What is shown of it when somebody looks into it; nothing for what has no connections.
    pub(super) behind: Detail,
    /// Told below the table while the row is selected.
    pub(super) note: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// Index of the column that it is sorted by.
    pub(super) sorted: Option<usize>,
}

impl Table {
    /// Keeps rows in which a cell contains `filter`, whatever its case.
    pub(super) fn keep(&mut self, filter: &str) {
        let filter = filter.to_lowercase();
        self.rows.retain(|row| {
            let mut cells = row.cells.iter();
            filter.is_empty() || cells.any(|cell| cell.text.to_lowercase().contains(&filter))
        });
    }

    /// Sorts by the number column of this number, the greatest first, the first of them after the
    /// last.
    pub(super) fn sort(&mut self, number: usize) {
        let numbers: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.is_number)
            .map(|(index, _)| index)
            .collect();
        let Some(index) = numbers.get(number % numbers.len().max(1)).copied() else {
            return;
        };
        let order = |row: &Row| row.cells.get(index).and_then(|cell| cell.order);
        self.rows.sort_by(|a, b| {
            let order = order(b).partial_cmp(&order(a));
            order.unwrap_or(Ordering::Equal)
        });
        self.sorted = Some(index);
    }
}

const fn text(name: &'static str, width: u16) -> Column {
    Column {
        name,
        width,
        is_number: false,
    }
}

const fn number(name: &'static str, width: u16) -> Column {
    Column {
        name,
        width,
        is_number: true,
    }
}

fn word(text: &str) -> Cell {
    Cell {
        text: printable(text).into_owned(),
        order: None,
    }
}

fn count(count: u64) -> Cell {
    Cell {
        text: count.to_string(),
        order: Some(count as f64),
    }
}

pub(super) fn usage(what: &'static str, report: &UsageReport) -> Table {
    let row = |row: &UsageRow| {
        let name = row.key.first().map_or("-", String::as_str);
        let behind = match what {
            "ENDPOINT" => Detail {
                endpoint: Some(name.to_owned()),
                identity: None,
            },
            _ => Detail {
                identity: Some(name.to_owned()),
                endpoint: None,
            },
        };
        let bytes = |bytes: Option<u64>| Cell {
            text: size(bytes),
            order: bytes.map(|bytes| bytes as f64),
        };
        Row {
            cells: vec![
                word(name),
                count(row.connections_allowed),
                count(row.connections_denied),
                count(row.connections_would_deny),
                Cell {
                    text: calls(row),
                    order: row.calls.map(|calls| calls as f64),
                },
                bytes(row.bytes_out),
                bytes(row.bytes_in),
            ],
            behind,
            note: String::new(),
        }
    };
    let mut table = Table {
        columns: vec![
            text(what, 0),
            number("ALLOWED", 8),
            number("DENIED", 7),
            number("WOULD", 6),
            number("CALLS", 8),
            number("OUT", 9),
            number("IN", 9),
        ],
        rows: report.rows.iter().map(row).collect(),
        sorted: None,
    };
    if report.rows.iter().any(|row| row.cost.is_some()) {
        table.columns.push(number("COST", 10));
        for (row, shown) in report.rows.iter().zip(&mut table.rows) {
            shown.cells.push(Cell {
                text: cost(row),
                order: row.cost.map(|cost| cost.usd),
            });
        }
    }
    table
}

/// Refusals of the same kind are one row.
pub(super) fn refusals(events: &[Event]) -> Table {
    let mut sums: BTreeMap<[&str; 4], (u64, Timestamp)> = BTreeMap::new();
    for event in events {
        let key = [
            event.identity.as_str(),
            &event.endpoint,
            &event.verdict,
            &event.reason,
        ];
        let (sum, last) = sums.entry(key).or_insert((0, event.at));
        *sum += 1;
        *last = (*last).max(event.at);
    }
    let rows = sums.into_iter().map(|(key, (sum, last))| {
        let [identity, endpoint, verdict, reason] = key;
        Row {
            cells: vec![
                word(identity),
                word(endpoint),
                word(verdict),
                word(reason),
                count(sum),
                time(last),
            ],
            behind: Detail {
                identity: Some(identity.to_owned()),
                endpoint: Some(endpoint.to_owned()),
            },
            note: format!("among the newest events; docs/reasons/{reason}.md says what it means"),
        }
    });
    Table {
        columns: vec![
            text("IDENTITY", 0),
            text("ENDPOINT", 14),
            text("VERDICT", 10),
            text("REASON", 14),
            number("EVENTS", 6),
            number("LAST", 8),
        ],
        rows: rows.collect(),
        sorted: None,
    }
}

pub(super) fn anomalies(anomalies: &[Anomaly]) -> Table {
    let row = |anomaly: &Anomaly| Row {
        cells: vec![
            count(anomaly.id.unsigned_abs()),
            word(if anomaly.ended.is_some() {
                "over"
            } else {
                "open"
            }),
            word(&anomaly.kind),
            word(&or_dash(anomaly.identity.as_deref())),
            word(&or_dash(anomaly.endpoint.as_deref())),
            Cell {
                text: anomaly
                    .score
                    .map_or_else(|| "-".to_owned(), |score| format!("{score:.1}")),
                order: anomaly.score.map(f64::from),
            },
        ],
        behind: Detail {
            identity: anomaly.identity.clone(),
            endpoint: anomaly.endpoint.clone(),
        },
        note: printable(&anomaly.summary).into_owned(),
    };
    Table {
        columns: vec![
            number("ID", 4),
            text("STATE", 5),
            text("KIND", 16),
            text("IDENTITY", 0),
            text("ENDPOINT", 14),
            number("SCORE", 5),
        ],
        rows: anomalies.iter().map(row).collect(),
        sorted: None,
    }
}

/// The newest first.
pub(super) fn connections(events: &[Event]) -> Table {
    let row = |event: &Event| {
        let process = match (event.pid, event.comm.as_deref()) {
            (Some(pid), Some(comm)) => format!("{comm}[{pid}]"),
            (Some(pid), None) => format!("gone[{pid}]"),
            (None, _) => "-".to_owned(),
        };
        Row {
            cells: vec![
                time(event.at),
                word(&event.kind),
                word(&event.verdict),
                word(&event.reason),
                word(&event.endpoint),
                word(&format!("{}:{}", event.address, event.port)),
                word(&process),
            ],
            behind: Detail::default(),
            note: format!(
                "{}; `weir explain --event {}` says why",
                printable(&event.identity),
                event.id
            ),
        }
    };
    Table {
        columns: vec![
            text("TIME", 8),
            text("KIND", 8),
            text("VERDICT", 10),
            text("REASON", 14),
            text("ENDPOINT", 0),
            text("ADDRESS", 15),
            text("PROCESS", 14),
        ],
        rows: events.iter().rev().map(row).collect(),
        sorted: None,
    }
}

fn time(at: Timestamp) -> Cell {
    Cell {
        text: at.strftime("%H:%M:%S").to_string(),
        order: Some(at.as_second() as f64),
    }
}
