//! The table in `docs/coverage.md`, between two markers: read, compared with findings, written anew.
//!
//! A cell says for each kernel what stopped the technique; without a kernel it holds for all. In the
//! columns of settings an empty cell says the same as that of the default.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::finding::{Finding, Report};

const BEGIN: &str = "<!-- evade:begin -->";
const END: &str = "<!-- evade:end -->";
pub(super) const OPEN: &str = "open";
pub(super) const IMPOSSIBLE: &str = "–";
const DEFAULT: &str = "default";
const SETTINGS: [&str; 3] = [DEFAULT, "watch_sends", "lsm"];
const LIMIT: &str = "; stated limit: ";

/// Setting and kernel.
type Place = (String, String);

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Kernels on which each setting was tried, oldest first.
    kernels: BTreeMap<String, Vec<String>>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    family: String,
    id: String,
    title: String,
    limit: Option<String>,
    cells: BTreeMap<Place, String>,
}

impl Table {
    /// That of a document; empty if there is none yet.
    pub(super) fn parse(document: &str) -> Result<Self> {
        let (_, rest) = document
            .split_once(BEGIN)
            .context("the first marker is missing")?;
        let (text, _) = rest
            .split_once(END)
            .context("the second marker is missing")?;
        let mut table = Self::default();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("### ") {
                family = name.to_owned();
            } else if let Some((setting, kernels)) = line
                .strip_prefix("- `")
                .and_then(|line| line.split_once("`: "))
            {
                let kernels = kernels.split(", ").map(str::to_owned).collect();
                table.kernels.insert(setting.to_owned(), kernels);
            } else if line.starts_with("| `") && !family.is_empty() {
                let row = table
                    .parse_row(&family, line)
                    .with_context(|| format!("read `{line}`"))?;
                table.rows.push(row);
            }
        }
        Ok(table)
    }

    fn parse_row(&self, family: &str, line: &str) -> Result<Row> {
        let mut parts = line.trim_matches('|').split('|').map(str::trim);
        let id = parts.next().context("a name is missing")?.trim_matches('`');
        let title = parts.next().context("a title is missing")?;
        let (title, limit) = match title.split_once(LIMIT) {
            Some((title, limit)) => (title, Some(limit.to_owned())),
            None => (title, None),
        };
        let mut row = Row {
            family: family.to_owned(),
            id: id.to_owned(),
            title: title.to_owned(),
            limit,
            cells: BTreeMap::new(),
        };
        for (setting, cell) in SETTINGS.into_iter().zip(parts) {
            for kernel in self.kernels.get(setting).into_iter().flatten() {
                let said = if cell.is_empty() {
                    row.cell(DEFAULT, kernel)
                } else {
                    part_of(cell, kernel)
                };
                if let Some(said) = said {
                    row.cells
                        .insert((setting.to_owned(), kernel.clone()), said.to_owned());
                }
            }
        }
        Ok(row)
    }

    /// Why a finding is worse than what the table says, or nothing worth.
    pub(super) fn objection(&self, kernel: &str, finding: &Finding) -> Option<String> {
        if let Some(why) = finding.unclear() {
            return Some(format!("it did not arrive, but nobody refused it: {why}"));
        }
        if !finding.is_open() {
            return None;
        }
        let Some(row) = self.rows.iter().find(|row| row.id == finding.id) else {
            let is_new = finding.limit.is_none();
            return is_new.then(|| "open, and the table does not have it".into());
        };
        match row.cell(&finding.setting, kernel) {
            Some(OPEN) => None,
            Some(IMPOSSIBLE) | None
                if finding.limit.is_some() || row.is_open_anywhere(&finding.setting) =>
            {
                None
            }
            Some(said) => Some(format!("open, and the table says: {said}")),
            None => Some("open, and the table has it open on no kernel".into()),
        }
    }

    /// Takes over what was found on one kernel. Techniques that are no more go.
    pub(super) fn update(&mut self, report: &Report) {
        let Report { kernel, findings } = report;
        let former = std::mem::take(&mut self.rows);
        let mut former: BTreeMap<String, Row> = former
            .into_iter()
            .map(|row| (row.id.clone(), row))
            .collect();
        for finding in findings {
            let kernels = self.kernels.entry(finding.setting.clone()).or_default();
            if !kernels.contains(kernel) {
                kernels.push(kernel.clone());
                kernels.sort_by_key(|kernel| order(kernel));
            }
            let place = (finding.setting.clone(), kernel.clone());
            if let Some(row) = self.rows.iter_mut().find(|row| row.id == finding.id) {
                row.cells.insert(place, finding.cell());
                continue;
            }
            let mut row = former.remove(&finding.id).unwrap_or_default();
            row.family.clone_from(&finding.family);
            row.id.clone_from(&finding.id);
            row.title.clone_from(&finding.title);
            row.limit.clone_from(&finding.limit);
            row.cells.insert(place, finding.cell());
            self.rows.push(row);
        }
    }

    /// The document with this table in the place of its own.
    pub(super) fn into_document(self, document: &str) -> Result<String> {
        let (before, rest) = document
            .split_once(BEGIN)
            .context("the first marker is missing")?;
        let (_, after) = rest
            .split_once(END)
            .context("the second marker is missing")?;
        Ok(format!("{before}{BEGIN}\n{}{END}{after}", self.text()))
    }

    fn text(&self) -> String {
        let mut text = format!(
            "\n{} techniques. Kernels on which each setting was tried:\n\n",
            self.rows.len()
        );
        for setting in SETTINGS {
            if let Some(kernels) = self.kernels.get(setting) {
                text += &format!("- `{setting}`: {}\n", kernels.join(", "));
            }
        }
        text += &self.summary();
        let mut family = "";
        for row in &self.rows {
            if row.family != family {
                family = &row.family;
                text += &format!(
                    "\n### {family}\n\n| technique | what is tried | default | `watch_sends` | `lsm` |\n"
                );
                text += "| --- | --- | --- | --- | --- |\n";
            }
            text += &self.line(row);
        }
        text + "\n"
    }

    /// How many are stopped, by setting and kernel.
    fn summary(&self) -> String {
        let mut text =
            "\n| setting | kernel | stopped | open by a stated limit | open | not possible |\n"
                .to_owned();
        text += "| --- | --- | ---: | ---: | ---: | ---: |\n";
        for setting in SETTINGS {
            for kernel in self.kernels.get(setting).into_iter().flatten() {
                let count = |is: fn(&Row, &str) -> bool| {
                    let said = self
                        .rows
                        .iter()
                        .filter_map(|row| Some((row, row.cell(setting, kernel)?)));
                    said.filter(|(row, said)| is(row, said)).count()
                };
                text += &format!(
                    "| `{setting}` | {kernel} | {} | {} | {} | {} |\n",
                    count(|_, said| is_stopped(said)),
                    count(|row, said| said == OPEN && row.limit.is_some()),
                    count(|row, said| said == OPEN && row.limit.is_none()),
                    count(|_, said| said == IMPOSSIBLE),
                );
            }
        }
        text
    }

    fn line(&self, row: &Row) -> String {
        let Row {
            id, title, limit, ..
        } = row;
        let limit = limit
            .as_ref()
            .map_or(String::new(), |limit| format!("{LIMIT}{limit}"));
        let cells = SETTINGS.map(|setting| {
            let kernels = self.kernels.get(setting).into_iter().flatten();
            let said: Vec<(&str, &str)> = kernels
                .filter_map(|kernel| Some((kernel.as_str(), row.cell(setting, kernel)?)))
                .collect();
            let is_same = |(kernel, said): &(&str, &str)| row.cell(DEFAULT, kernel) == Some(said);
            if setting != DEFAULT && said.iter().all(is_same) {
                return String::new();
            }
            joined(&said)
        });
        let shown = cells.map(|cell| match cell.is_empty() {
            true => "| ".to_owned(),
            false => format!("| {cell} "),
        });
        format!("| `{id}` | {title}{limit} {}|\n", shown.concat())
    }
}

impl Row {
    fn cell(&self, setting: &str, kernel: &str) -> Option<&str> {
        let place = (setting.to_owned(), kernel.to_owned());
        self.cells.get(&place).map(String::as_str)
    }

    fn is_open_anywhere(&self, setting: &str) -> bool {
        let mut cells = self.cells.iter().filter(|((of, _), _)| of == setting);
        cells.any(|(_, said)| said == OPEN)
    }
}

fn is_stopped(said: &str) -> bool {
    said != OPEN && said != IMPOSSIBLE
}

/// What a cell says of a kernel: parts that name kernels, or one that holds for all.
fn part_of<'a>(cell: &'a str, kernel: &str) -> Option<&'a str> {
    for part in cell.split("; ") {
        match part
            .strip_suffix(')')
            .and_then(|part| part.rsplit_once(" ("))
        {
            None => return Some(part.trim_matches('*')),
            Some((said, kernels)) if kernels.split(", ").any(|named| named == kernel) => {
                return Some(said.trim_matches('*'));
            }
            Some(_) => {}
        }
    }
    None
}

/// Kernels of which the same is said, together.
fn joined(said: &[(&str, &str)]) -> String {
    let mut parts: Vec<(&str, Vec<&str>)> = Vec::new();
    for (kernel, what) in said {
        match parts.iter_mut().find(|(known, _)| known == what) {
            Some((_, kernels)) => kernels.push(kernel),
            None => parts.push((what, vec![kernel])),
        }
    }
    let shown = |what: &str| {
        if what == OPEN {
            "**open**".to_owned()
        } else {
            what.to_owned()
        }
    };
    if let [(what, _)] = parts.as_slice() {
        return shown(what);
    }
    let parts = parts
        .iter()
        .map(|(what, kernels)| format!("{} ({})", shown(what), kernels.join(", ")));
    parts.collect::<Vec<_>>().join("; ")
}

/// By numbers, this machine's after the others of its series.
fn order(kernel: &str) -> (Vec<u64>, usize) {
    let series = kernel.split(' ').next().unwrap_or_default();
    (
        series
            .split('.')
            .filter_map(|number| number.parse().ok())
            .collect(),
        kernel.len(),
    )
}

#[cfg(test)]
mod tests;
