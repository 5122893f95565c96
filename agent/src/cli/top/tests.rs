use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use serde_json::{Value, json};

use super::*;

const AT: &str = "2026-11-20T10:00:00Z";

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a wire type")
}

fn usage(rows: &[(&str, u64, u64, Option<u64>)]) -> Value {
    let rows = rows.iter().map(|(name, allowed, denied, bytes)| {
        json!({
            "key": [name], "connections_allowed": allowed, "connections_denied": denied,
            "connections_would_deny": 0, "connections_quality": "exact", "datagrams_allowed": 0,
            "datagrams_denied": 0, "datagrams_would_deny": 0, "bytes_out": bytes, "bytes_in": bytes,
            "bytes_quality": "exact", "connections_without_bytes": 0, "calls": allowed,
            "calls_quality": "inferred", "first_seen": AT, "last_seen": AT,
        })
    });
    let rows: Vec<_> = rows.collect();
    json!({"by": ["identity"], "since": AT, "until": AT, "rows": rows, "lost_events": 0})
}

fn event(id: u64, identity: &str, verdict: &str) -> Value {
    json!({
        "id": id, "at": AT, "kind": "connect", "verdict": verdict, "reason": "ungranted",
        "identity": identity, "endpoint": "openai", "rule": null, "address": "192.0.2.1",
        "port": 443, "protocol": "tcp", "shared_address": false, "pid": 7, "comm": "curl",
        "exe": null, "user": 0, "cgroup": null, "bytes_out": null, "bytes_in": null,
        "duration_ms": null,
    })
}

fn snapshot() -> Snapshot {
    let status = json!({
        "version": "1.0.0", "mode": "enforce", "revision": 3, "revision_installed_at": AT,
        "policy_errors": [], "policy_warnings": [], "cgroup": "/", "started_at": AT,
        "kernel": "6.12", "hooks": [
            {"hook": "connect4", "purpose": "judge", "state": "created", "why": null},
            {"hook": "lsm", "purpose": "judge", "state": "unavailable", "why": "off"},
        ],
        "close_source": "none", "close_fallback": null, "resolvers": [],
        "refused": {"ended": 0, "gone": 0, "not_ended": 0}, "naming": null, "capacity": [],
        "losses": [], "identities": 2, "endpoints": 2, "grants": 1, "hosts": 0,
        "hosts_resolved": 0, "limits": [],
    });
    let anomaly = json!({
        "id": 7, "kind": "unusual-volume", "severity": "warning", "identity": "unit:b.service",
        "endpoint": "openai", "grant": null, "began": AT, "last_seen": AT, "ended": null,
        "summary": "unit:b.service calls openai unusually often: 412 in a minute", "score": 5.5,
        "excess": 400.0, "facts": {}, "muted": false, "response": "", "acked_at": null,
        "acked_by": null, "ack_why": null,
    });
    let refusals = vec![
        event(1, "unit:b.service", "deny"),
        event(2, "unit:b.service", "deny"),
    ];
    Snapshot {
        status: of(status),
        identities: of(usage(&[
            ("unit:a.service", 3, 0, Some(2_048)),
            ("unit:b.service\n\u{1b}[2J", 10, 2, None),
        ])),
        endpoints: of(usage(&[("openai", 13, 2, Some(2_048))])),
        refusals: of(json!(refusals)),
        anomalies: of(json!([anomaly])),
        details: Vec::new(),
    }
}

fn model() -> Model {
    let mut model = Model::new(SignedDuration::from_mins(10));
    model.take(Ok(snapshot()));
    model
}

fn press(model: &mut Model, codes: &[KeyCode]) -> Effect {
    let mut effect = Effect::None;
    for code in codes {
        effect = model.press(KeyEvent::new(*code, KeyModifiers::NONE));
    }
    effect
}

/// Lines of a terminal of the least size that has to do.
fn picture(model: &Model) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
    let now = AT.parse().expect("a time");
    terminal
        .draw(|frame| draw::draw(frame, model, now))
        .expect("drawn");
    let buffer = terminal.backend().buffer().clone();
    let line = |y: u16| -> String {
        let cells = (0..80).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..24).map(line).collect()
}

#[test]
fn identities_fit_into_eighty_columns_the_busiest_first() {
    let lines = picture(&model());
    let expected = [
        "weir enforce  revision 3  hooks 1/2  lost 0  last 10m  10:00:00Z",
        " 1 identities (2)  2 endpoints  3 refusals  4 anomalies",
        "IDENTITY              ▼ALLOWED  DENIED  WOULD    CALLS       OUT        IN",
        "unit:b.service\\n\\u{1b}       10       2      0      ~10         -         -",
        "unit:a.service               3       0      0       ~3   2.0 KiB   2.0 KiB",
    ];
    for (line, start) in lines.iter().zip(expected) {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let cut = |text: &str| words(text).into_iter().skip(1).collect::<Vec<_>>();
        assert_eq!(cut(line), cut(start), "{lines:#?}");
    }
    assert!(
        lines[3].starts_with("unit:b.service\\n\\u{1b}"),
        "{lines:#?}"
    );
    assert!(lines[23].starts_with("q quit"), "{lines:#?}");
}

#[test]
fn keys_sort_filter_and_turn() {
    let mut model = model();
    press(&mut model, &[KeyCode::Char('s'); 4]);
    let first = |model: &Model| model.table().rows[0].cells[0].text.clone();
    assert_eq!(first(&model), "unit:a.service");
    press(&mut model, &[KeyCode::Char('/'), KeyCode::Char('B')]);
    press(&mut model, &[KeyCode::Char('.'), KeyCode::Char('q')]);
    assert_eq!(model.table().rows.len(), 0);
    assert_eq!(picture(&model)[23], "/B.q");
    press(&mut model, &[KeyCode::Backspace, KeyCode::Enter]);
    assert_eq!(model.table().rows.len(), 1);
    assert!(picture(&model)[23].starts_with("filter B."));
    press(&mut model, &[KeyCode::Esc, KeyCode::End, KeyCode::Down]);
    assert_eq!((model.table().rows.len(), model.selected()), (2, 1));
    press(&mut model, &[KeyCode::BackTab]);
    assert_eq!(model.view(), model::View::Anomalies);
    let lines = picture(&model);
    assert!(
        lines[21].starts_with("unit:b.service calls openai"),
        "{lines:#?}"
    );
    press(&mut model, &[KeyCode::Char('3')]);
    let refusals = model.table();
    assert_eq!(refusals.rows.len(), 1);
    assert_eq!(refusals.rows[0].cells[4].text, "2");
    assert_eq!(press(&mut model, &[KeyCode::Char('q')]), Effect::Quit);
}

#[test]
fn what_is_behind_a_row_is_asked_for_and_left_again() {
    let mut model = model();
    press(&mut model, &[KeyCode::Char('2')]);
    assert_eq!(press(&mut model, &[KeyCode::Enter]), Effect::Ask);
    let detail = Detail {
        identity: None,
        endpoint: Some("openai".to_owned()),
    };
    assert_eq!(model.detail(), Some(&detail));
    assert!(
        picture(&model)
            .iter()
            .any(|line| line == "no events are kept of this")
    );
    let details = of(json!([event(5, "unit:a.service", "allow")]));
    model.take(Ok(Snapshot {
        details,
        ..snapshot()
    }));
    let lines = picture(&model);
    assert_eq!(lines[1], "newest events of openai");
    assert!(lines[3].contains("curl[7]"), "{lines:#?}");
    assert_eq!(press(&mut model, &[KeyCode::Enter]), Effect::None);
    press(&mut model, &[KeyCode::Esc]);
    assert_eq!(model.detail(), None);
}

#[test]
fn an_agent_that_does_not_answer_is_told_and_the_last_answer_stays() {
    let mut model = model();
    model.take(Err("no agent is listening".to_owned()));
    let lines = picture(&model);
    assert_eq!(lines[23], "not answered: no agent is listening");
    assert!(lines[4].starts_with("unit:a.service"), "{lines:#?}");
    model.take(Ok(snapshot()));
    press(&mut model, &[KeyCode::Char('p')]);
    assert!(model.is_paused());
    assert!(picture(&model)[0].ends_with("PAUSED"));
}
