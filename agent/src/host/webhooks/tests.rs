use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use super::*;

const BEGAN: Timestamp = Timestamp::constant(1_767_571_200, 0);

fn notice() -> Notice {
    Notice {
        id: 7,
        host: "node-1".to_owned(),
        kind: "unusual-volume",
        severity: "warning",
        identity: Some("unit:api.service".to_owned()),
        endpoint: Some("openai".to_owned()),
        grant: None,
        began: BEGAN,
        ended: None,
        summary: "<!here> 412 calls & more".to_owned(),
        score: Some(5.25),
        response: String::new(),
    }
}

fn parsed(form: Form, notice: &Notice) -> serde_json::Value {
    serde_json::from_str(&body(form, &[notice], BEGAN)).expect("JSON")
}

#[test]
fn an_alert_has_labels_of_its_own_and_ends_when_it_is_over() {
    let alerts = parsed(Form::Alertmanager, &notice());
    let alert = &alerts[0];
    assert_eq!(alert["labels"]["alertname"], "WeirAnomaly");
    assert_eq!(alert["labels"]["anomaly"], "7");
    assert_eq!(alert["labels"]["identity"], "unit:api.service");
    assert!(alert["labels"].get("grant").is_none());
    assert_eq!(alert["startsAt"], "2026-01-05T00:00:00Z");
    assert_eq!(alert["endsAt"], "2026-01-05T00:30:00Z");
    let over = Notice {
        ended: Some(BEGAN),
        ..notice()
    };
    let alerts = parsed(Form::Alertmanager, &over);
    assert_eq!(alerts[0]["endsAt"], "2026-01-05T00:00:00Z");
    assert_eq!(alerts[0]["labels"], alert["labels"]);
}

#[test]
fn a_message_cannot_mention_anybody() {
    let message = parsed(Form::Slack, &notice());
    assert_eq!(
        message["text"],
        "[warning] unusual-volume #7 on node-1: &lt;!here&gt; 412 calls &amp; more"
    );
}

/// Answers the requests in turn, the last answer for all that follow; keeps what was asked.
fn server(answers: &'static [u16]) -> (Uri, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    thread::spawn(move || {
        for index in 0..20 {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut bytes = [0; 8_192];
            let mut text = String::new();
            while !text.ends_with(']') && !text.ends_with('}') {
                let n = stream.read(&mut bytes).unwrap_or(0);
                if n == 0 {
                    break;
                }
                text += &String::from_utf8_lossy(&bytes[..n]);
            }
            seen.lock().expect("not poisoned").push(text);
            let status = answers
                .get(index)
                .or(answers.last())
                .copied()
                .unwrap_or(200);
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\nconnection: close\r\n");
            let _ = stream.write_all(format!("{head}\r\nno").as_bytes());
        }
    });
    let uri = format!("http://{address}/hook").parse().expect("a URI");
    (uri, asked)
}

async fn outcome(uri: Uri, made: Timestamp, token_file: Option<PathBuf>) -> Delivered {
    let (sender, deliveries) = mpsc::unbounded_channel();
    let (done, mut outcomes) = mpsc::unbounded_channel();
    let webhook = Webhook {
        name: "ops".to_owned(),
        uri,
        form: Form::Json,
        least: Severity::Info,
        token_file,
    };
    let task = tokio::spawn(run(webhook, deliveries, move |delivered| {
        let _ = done.send(delivered);
    }));
    let delivery = Delivery {
        id: 3,
        made,
        notice: notice(),
    };
    sender.send(delivery).expect("it listens");
    drop(sender);
    let delivered = outcomes.recv().await.expect("an outcome");
    task.await.expect("it ends");
    delivered
}

#[tokio::test]
async fn it_tries_again_until_it_is_heard() {
    let (uri, asked) = server(&[500, 200]);
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "secret\n").expect("written");
    let delivered = outcome(uri, Timestamp::now(), Some(token)).await;
    assert_eq!(
        delivered,
        Delivered {
            ids: vec![3],
            was_heard: true
        }
    );
    let asked = asked.lock().expect("not poisoned");
    assert_eq!(asked.len(), 2);
    let last = asked[1].to_ascii_lowercase();
    assert!(last.starts_with("post /hook "), "{last}");
    assert!(last.contains("authorization: bearer secret\r\n"), "{last}");
    assert!(last.contains("\"kind\":\"unusual-volume\""), "{last}");
}

#[tokio::test]
async fn what_is_refused_or_too_old_is_given_up() {
    let (uri, asked) = server(&[400]);
    let delivered = outcome(uri.clone(), Timestamp::now(), None).await;
    assert!(!delivered.was_heard);
    assert_eq!(asked.lock().expect("not poisoned").len(), 1);
    let delivered = outcome(uri, BEGAN, None).await;
    assert!(!delivered.was_heard);
    assert_eq!(asked.lock().expect("not poisoned").len(), 1);
}
