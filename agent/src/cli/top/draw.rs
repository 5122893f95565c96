//! The picture. Nothing depends on colours: selected is reversed, what matters is bold.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout},
    style::{Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Cell, Paragraph, Row, Table, TableState, Wrap},
};

use super::{
    model::{Detail, Model, View},
    span,
    tables::{Column, Table as Content},
};

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
const KEYS: &str = "q quit  1-4 view  ↑↓ move  s sort  / filter  ⏎ connections  esc back  p pause";

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now: Timestamp) {
    let [head, views, body, note, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let table = model.table();
    frame.render_widget(head_line(model, now), head);
    frame.render_widget(view_line(model, &table), views);
    if table.rows.is_empty() {
        frame.render_widget(Paragraph::new(nothing(model)), body);
    } else {
        let mut state = TableState::new().with_selected(model.selected());
        frame.render_stateful_widget(widget(&table), body, &mut state);
    }
    let told = table.rows.get(model.selected()).map(|row| row.note.clone());
    let told = Paragraph::new(told.unwrap_or_default()).wrap(Wrap { trim: true });
    frame.render_widget(told, note);
    frame.render_widget(foot_line(model), foot);
}

fn head_line(model: &Model, now: Timestamp) -> Line<'static> {
    let Some(snapshot) = model.snapshot() else {
        return Line::raw("weir");
    };
    let status = &snapshot.status;
    let up = status
        .hooks
        .iter()
        .filter(|hook| hook.why.is_none())
        .count();
    let lost: u64 = status.losses.iter().map(|loss| loss.count).sum();
    let mut spans = vec![
        Span::styled(format!("weir {}", status.mode), BOLD),
        Span::raw(format!(
            "  revision {}  hooks {up}/{}  ",
            status.revision,
            status.hooks.len()
        )),
        Span::raw(format!("lost {lost}  ")),
    ];
    if !status.policy_errors.is_empty() {
        let mistakes = status.policy_errors.len();
        spans.push(Span::styled(
            format!("{mistakes} MISTAKES in policy  "),
            BOLD,
        ));
    }
    spans.push(Span::raw(format!(
        "last {}  {}",
        span(model.span()),
        now.strftime("%H:%M:%SZ")
    )));
    if model.is_paused() {
        spans.push(Span::styled("  PAUSED", BOLD));
    }
    Line::from(spans)
}

fn view_line(model: &Model, table: &Content) -> Line<'static> {
    if let Some(Detail { identity, endpoint }) = model.detail() {
        let of = [identity.as_deref(), endpoint.as_deref()];
        let of: Vec<_> = of.into_iter().flatten().collect();
        let text = format!("newest events of {}", of.join(" at "));
        return Line::styled(text, BOLD);
    }
    let mut spans = Vec::new();
    for (index, view) in View::ALL.into_iter().enumerate() {
        let is_shown = view == model.view();
        let many = if is_shown {
            format!(" ({})", table.rows.len())
        } else {
            String::new()
        };
        let text = format!(" {} {}{many} ", index + 1, view.name());
        let style = if is_shown { REVERSED } else { Style::new() };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn nothing(model: &Model) -> &'static str {
    if !model.filter().is_empty() {
        return "nothing matches the filter";
    }
    match (model.detail(), model.view()) {
        (Some(_), _) => "no events are kept of this",
        (None, View::Identities | View::Endpoints) => "nothing has called a model endpoint",
        (None, View::Refusals) => "nothing was refused",
        (None, View::Anomalies) => "nothing unusual that nobody has acknowledged",
    }
}

fn widget(table: &Content) -> Table<'_> {
    let header = table.columns.iter().enumerate().map(|(index, column)| {
        let mark = if table.sorted == Some(index) {
            "▼"
        } else {
            ""
        };
        cell(format!("{mark}{}", column.name), column)
    });
    let rows = table.rows.iter().map(|row| {
        let cells = row.cells.iter().zip(&table.columns);
        Row::new(cells.map(|(content, column)| cell(content.text.clone(), column)))
    });
    let widths = table.columns.iter().map(|column| match column.width {
        0 => Constraint::Min(12),
        width => Constraint::Length(width),
    });
    Table::new(rows, widths)
        .header(Row::new(header).style(BOLD))
        .row_highlight_style(REVERSED)
}

fn cell(text: String, column: &Column) -> Cell<'static> {
    let alignment = if column.is_number {
        Alignment::Right
    } else {
        Alignment::Left
    };
    Cell::new(Text::from(text).alignment(alignment))
}

fn foot_line(model: &Model) -> Line<'static> {
    if let Some(error) = model.error() {
        return Line::styled(format!("not answered: {error}"), BOLD);
    }
    if model.is_typing() {
        return Line::styled(format!("/{}", model.filter()), BOLD);
    }
    if !model.filter().is_empty() {
        return Line::raw(format!("filter {}  (esc clears it)", model.filter()));
    }
    Line::raw(KEYS)
}
