//! How answers look: tables for people, JSON for programs.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Stdout, Write},
};

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// Where a command prints to.
pub(super) struct Out<'a> {
    writer: Box<dyn Write + 'a>,
    /// Relative times are for people who look at it now.
    pub(super) now: Timestamp,
}

impl<'a> Out<'a> {
    pub(super) fn new(stdout: &'a Stdout) -> Self {
        Self {
            writer: Box::new(stdout.lock()),
            now: Timestamp::now(),
        }
    }

    #[cfg(test)]
    pub(super) fn to(writer: &'a mut Vec<u8>, now: Timestamp) -> Self {
        Self {
            writer: Box::new(writer),
            now,
        }
    }

    /// One line. What stands in it may come from a workload, so it cannot forge another one or
    /// speak to the terminal.
    pub(super) fn line(&mut self, text: impl AsRef<str>) -> anyhow::Result<()> {
        writeln!(self.writer, "{}", printable(text.as_ref()))?;
        Ok(())
    }

    pub(super) fn blank(&mut self) -> anyhow::Result<()> {
        self.line("")
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.writer.write_all(bytes)?;
        Ok(())
    }

    pub(super) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value).context("write JSON")?;
        self.raw(text.as_bytes())?;
        self.raw(b"\n")
    }

    /// Rows below a header; the columns in `numbers` are aligned to the right.
    pub(super) fn table(
        &mut self,
        header: &[&str],
        numbers: &[&str],
        rows: Vec<Vec<String>>,
    ) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(header.iter().copied());
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        for (index, name) in header.iter().enumerate() {
            let Some(column) = table.column_mut(index) else {
                continue;
            };
            if numbers.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.to_string().lines() {
            // Every cell is padded; at the edges that is only noise.
            self.line(line.strip_prefix(' ').unwrap_or(line).trim_end())?;
        }
        Ok(())
    }
}

/// `text` with whatever does more than show itself escaped: control characters, and those that turn the
/// line round, end it or are invisible.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_special) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| {
        if is_special(c) {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    });
    Cow::Owned(escaped.collect())
}

fn is_special(c: char) -> bool {
    let is_quoted = matches!(c, '\\' | '"' | '\'');
    !is_quoted && c.escape_debug().len() > 1
}

/// An address and a port, as they are given on a command line.
pub(super) fn place(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// Name and number of a process; `gone` if it ended before it was looked at.
pub(super) fn process(pid: Option<u32>, comm: Option<&str>) -> String {
    match (pid, comm) {
        (Some(pid), Some(comm)) => format!("{comm}[{pid}]"),
        (Some(pid), None) => format!("gone[{pid}]"),
        (None, _) => or_dash(None),
    }
}

pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A size for people; `-` if it is not known.
pub(super) fn size(bytes: Option<u64>) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let Some(bytes) = bytes else {
        return "-".to_owned();
    };
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `3m ago`, `in 7h`; `-` if there is no such time.
pub(super) fn relative(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else {
        return "-".to_owned();
    };
    let distance = now.duration_since(at);
    if distance.is_negative() {
        format!("in {}", rough(-distance))
    } else {
        format!("{} ago", rough(distance))
    }
}

/// `3m`; what has not begun yet has lasted no time.
pub(super) fn duration(duration: SignedDuration) -> String {
    rough(duration.max(SignedDuration::ZERO))
}

/// The largest unit that fits, as a whole number.
fn rough(distance: SignedDuration) -> String {
    let seconds = distance.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// To the second, in UTC.
pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// What `print` prints, at the epoch.
#[cfg(test)]
pub(super) fn printed(print: impl FnOnce(&mut Out<'_>) -> anyhow::Result<()>) -> String {
    let mut bytes = Vec::new();
    let mut out = Out::to(&mut bytes, Timestamp::UNIX_EPOCH);
    print(&mut out).expect("memory can be written to");
    drop(out);
    String::from_utf8(bytes).expect("UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_unknown_is_not_zero() {
        let shown = [None, Some(0), Some(1023), Some(1536), Some(5 << 30)].map(size);
        assert_eq!(shown, ["-", "0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
    }

    #[test]
    fn a_name_cannot_forge_a_line_or_speak_to_the_terminal() {
        let mut bytes = Vec::new();
        let mut out = Out::to(&mut bytes, Timestamp::UNIX_EPOCH);
        out.line("a\nverdict allow\u{1b}[2J").expect("written");
        let rows = vec![vec!["x\ny".to_owned()]];
        out.table(&["NAME"], &[], rows).expect("written");
        drop(out);
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert_eq!(text, "a\\nverdict allow\\u{1b}[2J\nNAME\nx\\ny\n");
    }

    #[test]
    fn times_are_as_rough_as_people_think() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let at = |second| relative(Timestamp::from_second(second).ok(), now);
        assert_eq!(at(1_000_000 - 119), "119s ago");
        assert_eq!(at(1_000_000 - 180), "3m ago");
        assert_eq!(at(1_000_000 + 8 * 3_600), "in 8h");
        assert_eq!(at(1_000_000 - 3 * 86_400), "3d ago");
        assert_eq!(relative(None, now), "-");
    }

    #[test]
    fn nothing_that_is_shown_does_anything_to_the_terminal() {
        for plain in [
            "",
            "/usr/bin/curl",
            r"a\x20b",
            "\"it's\"",
            "überflüssig",
            "日本",
        ] {
            assert!(matches!(printable(plain), Cow::Borrowed(_)), "{plain}");
        }
        for (text, shown) in [
            ("a\u{1b}[2Jb", r"a\u{1b}[2Jb"),
            ("a\nb\tc", r"a\nb\tc"),
            ("\u{202e}txt.exe", r"\u{202e}txt.exe"),
            (
                "a\u{2028}b\u{200b}c\u{feff}",
                r"a\u{2028}b\u{200b}c\u{feff}",
            ),
            ("\u{9b}2J", r"\u{9b}2J"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
