//! What is looked at, and what keys do to it. Knows neither the terminal nor the agent.

use jiff::SignedDuration;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::tables::{self, Table};
use crate::api::types::{Anomaly, Event, Status, UsageReport};

/// Everything that was known at one instant.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) identities: UsageReport,
    pub(super) endpoints: UsageReport,
    /// Newest events that were refused or would have been.
    pub(super) refusals: Vec<Event>,
    pub(super) anomalies: Vec<Anomaly>,
    /// Newest events behind a row, if one is looked into.
    pub(super) details: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Identities,
    Endpoints,
    Refusals,
    Anomalies,
}

impl View {
    pub(super) const ALL: [Self; 4] = [
        Self::Identities,
        Self::Endpoints,
        Self::Refusals,
        Self::Anomalies,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Identities => "identities",
            Self::Endpoints => "endpoints",
            Self::Refusals => "refusals",
            Self::Anomalies => "anomalies",
        }
    }
}

/// Whose connections are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) identity: Option<String>,
    pub(super) endpoint: Option<String>,
}

/// What a key asks of whoever owns the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    /// Ask the agent at once.
    Ask,
    Quit,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    span: SignedDuration,
    view: View,
    /// Row, counted from the top, of what the filter lets through.
    selected: usize,
    /// Column that is sorted by, counted among the numbers.
    sort: usize,
    filter: String,
    is_typing: bool,
    is_paused: bool,
    detail: Option<Detail>,
    snapshot: Option<Snapshot>,
    /// Why the last question was not answered.
    error: Option<String>,
}

impl Model {
    pub(super) const fn new(span: SignedDuration) -> Self {
        Self {
            span,
            view: View::Identities,
            selected: 0,
            sort: 0,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            detail: None,
            snapshot: None,
            error: None,
        }
    }

    pub(super) const fn span(&self) -> SignedDuration {
        self.span
    }

    pub(super) const fn view(&self) -> View {
        self.view
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) const fn is_typing(&self) -> bool {
        self.is_typing
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) const fn detail(&self) -> Option<&Detail> {
        self.detail.as_ref()
    }

    pub(super) const fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Takes an answer. After a failure the last answer stays.
    pub(super) fn take(&mut self, answer: Result<Snapshot, String>) {
        match answer {
            Ok(snapshot) => {
                self.snapshot = Some(snapshot);
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
        self.select(self.selected);
    }

    /// The rows that the filter lets through, sorted.
    pub(super) fn table(&self) -> Table {
        let Some(snapshot) = &self.snapshot else {
            return Table::default();
        };
        let mut table = match (&self.detail, self.view) {
            (Some(_), _) => tables::connections(&snapshot.details),
            (None, View::Identities) => tables::usage("IDENTITY", &snapshot.identities),
            (None, View::Endpoints) => tables::usage("ENDPOINT", &snapshot.endpoints),
            (None, View::Refusals) => tables::refusals(&snapshot.refusals),
            (None, View::Anomalies) => tables::anomalies(&snapshot.anomalies),
        };
        table.keep(&self.filter);
        if self.detail.is_none() {
            table.sort(self.sort);
        }
        table
    }

    pub(super) const fn selected(&self) -> usize {
        self.selected
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other keys mean nothing"
    )]
    pub(super) fn press(&mut self, key: KeyEvent) -> Effect {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Effect::Quit;
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Effect::None;
        }
        match key.code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('s') => self.sort = self.sort.wrapping_add(1),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected.saturating_sub(1)),
            KeyCode::PageDown => self.select(self.selected.saturating_add(10)),
            KeyCode::PageUp => self.select(self.selected.saturating_sub(10)),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            KeyCode::Enter => return self.look_into(),
            KeyCode::Esc | KeyCode::Backspace => self.go_back(),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(View::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='4') => {
                let index = digit.to_digit(10).unwrap_or(1) as usize - 1;
                self.show(index);
            }
            _ => {}
        }
        Effect::None
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other keys mean nothing"
    )]
    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
        self.select(0);
    }

    fn look_into(&mut self) -> Effect {
        if self.detail.is_some() {
            return Effect::None;
        }
        let detail = self
            .table()
            .rows
            .get(self.selected)
            .map(|row| row.behind.clone());
        let Some(detail) = detail.filter(|detail| *detail != Detail::default()) else {
            return Effect::None;
        };
        self.detail = Some(detail);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.details.clear();
        }
        self.filter.clear();
        self.selected = 0;
        Effect::Ask
    }

    /// Out of the details, else out of the filter.
    fn go_back(&mut self) {
        if self.detail.take().is_none() {
            self.filter.clear();
        }
        self.select(0);
    }

    fn turn(&mut self, by: usize) {
        let now = View::ALL.iter().position(|view| *view == self.view);
        self.show((now.unwrap_or(0) + by) % View::ALL.len());
    }

    fn show(&mut self, index: usize) {
        if let Some(view) = View::ALL.get(index) {
            self.view = *view;
            self.detail = None;
            self.sort = 0;
            self.select(0);
        }
    }

    fn select(&mut self, row: usize) {
        let last = self.table().rows.len().saturating_sub(1);
        self.selected = row.min(last);
    }
}
