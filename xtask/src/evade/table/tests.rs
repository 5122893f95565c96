use super::*;
use crate::evade::finding::read;

fn line(setting: &str, id: &str, limit: &str, outcome: &str) -> String {
    format!(
        r#"{{"setting":"{setting}","family":"TCP","id":"{id}","title":"`connect`","limit":{limit},{outcome}}}"#
    )
}

const STOPPED: &str = r#""outcome":"stopped","reasons":["no-grant"],"seen":"EPERM""#;
const OPENED: &str = r#""outcome":"open""#;

fn report(kernel: &str, lines: &[String]) -> Report {
    let n = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    let (stopped, open) = (n("stopped"), n("open"));
    let total =
        format!("evade: {stopped} stopped, {open} open (0 of them not by a stated limit), 0");
    read(kernel, &format!("{}\n{total}\n", lines.join("\n"))).expect("a report")
}

fn table() -> Table {
    let mut table = Table::default();
    table.update(&report(
        "6.18 native",
        &[
            line("default", "a", "null", STOPPED),
            line("default", "b", "null", OPENED),
            line("default", "c", "\"a limit\"", OPENED),
            line("watch_sends", "a", "null", STOPPED),
            line("watch_sends", "b", "null", STOPPED),
            line("watch_sends", "c", "\"a limit\"", OPENED),
        ],
    ));
    table.update(&report(
        "6.1",
        &[
            line("default", "a", "null", OPENED),
            line("default", "b", "null", OPENED),
            line("default", "c", "\"a limit\"", OPENED),
        ],
    ));
    table
}

fn document(table: Table) -> String {
    table
        .into_document(&format!("before\n{BEGIN}\n{END}\nafter\n"))
        .expect("markers")
}

#[test]
fn what_is_written_is_read_again() {
    let text = document(table());
    assert!(text.starts_with("before\n") && text.ends_with("after\n"));
    for line in [
        "- `default`: 6.1, 6.18 native",
        "| `a` | `connect` | **open** (6.1); `no-grant`, EPERM (6.18 native) | | |",
        "| `b` | `connect` | **open** | `no-grant`, EPERM | |",
        "| `c` | `connect`; stated limit: a limit | **open** | | |",
        "| `watch_sends` | 6.18 native | 2 | 1 | 0 | 0 |",
    ] {
        assert!(
            text.contains(&format!("{line}\n")),
            "{line} is missing in:\n{text}"
        );
    }
    assert_eq!(Table::parse(&text).expect("a table"), table());
}

#[test]
fn only_what_is_worse_than_the_table_is_objected_to() {
    let text = document(table());
    let table = Table::parse(&text).expect("a table");
    let check = |kernel: &str, line: String, expected: Option<&str>| {
        let report = report(kernel, &[line]);
        let objection = table.objection(kernel, &report.findings[0]);
        assert_eq!(objection.as_deref(), expected);
    };
    check("6.18 native", line("default", "a", "null", STOPPED), None);
    check("6.1", line("default", "a", "null", OPENED), None);
    let worse = Some("open, and the table says: `no-grant`, EPERM");
    check("6.18 native", line("default", "a", "null", OPENED), worse);
    check(
        "6.18 native",
        line("watch_sends", "b", "null", OPENED),
        worse,
    );
    // A kernel that the table does not have.
    check("6.12", line("default", "a", "null", OPENED), None);
    check(
        "6.12",
        line("watch_sends", "c", "\"a limit\"", OPENED),
        None,
    );
    let unknown = Some("open, and the table has it open on no kernel");
    check("6.12", line("watch_sends", "b", "null", OPENED), unknown);
    let new = Some("open, and the table does not have it");
    check("6.1", line("default", "d", "null", OPENED), new);
    check("6.1", line("default", "d", "\"a limit\"", OPENED), None);
    let unclear = r#""outcome":"unclear","why":"EADDRINUSE""#;
    let nothing = Some("it did not arrive, but nobody refused it: EADDRINUSE");
    check("6.1", line("default", "a", "null", unclear), nothing);
}
