//! Tells other programs what was unusual, over HTTP: one task for each, which tries until it is
//! heard.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{anomaly::Severity, error_chain};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What is older is not told any more.
const TOO_OLD: SignedDuration = SignedDuration::from_hours(24);
/// Told at once.
const BATCH: usize = 100;
/// For how long Alertmanager takes an alert to go on. It is told again before.
const ALERT_LASTS: SignedDuration = SignedDuration::from_mins(30);
/// Of an answer that says what was wrong.
const MOST_ANSWER: usize = 4_096;

/// One program to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub name: String,
    /// May hold a secret.
    pub uri: Uri,
    pub form: Form,
    /// What is less severe is not told.
    pub least: Severity,
    /// Holds a token that is sent as `Authorization: Bearer`; read each time.
    pub token_file: Option<PathBuf>,
}

/// The shape of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An array of [`Notice`].
    Json,
    /// `POST /api/v2/alerts`.
    Alertmanager,
    /// A message with a line each.
    Slack,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// Number of the anomaly.
    pub id: i64,
    pub host: String,
    pub kind: &'static str,
    pub severity: &'static str,
    pub identity: Option<String>,
    pub endpoint: Option<String>,
    pub grant: Option<String>,
    pub began: Timestamp,
    /// `null` while it goes on.
    pub ended: Option<Timestamp>,
    /// A sentence.
    pub summary: String,
    /// About `-log10` of how often so much happens by chance; `null` where that was not found out.
    pub score: Option<f32>,
    /// What was done about it by itself; empty for nothing.
    pub response: String,
}

/// A notice to be delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Whom it belongs to; told back when it was delivered or given up.
    pub id: i64,
    pub made: Timestamp,
    pub notice: Notice,
}

/// What became of deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub ids: Vec<i64>,
    pub was_heard: bool,
}

#[derive(Debug, Error)]
enum Failure {
    #[error("`{}`: cannot be read", .0.display())]
    Token(PathBuf, #[source] std::io::Error),
    #[error("form the request")]
    Request(#[from] hyper::http::Error),
    #[error("not reached")]
    Reach(#[from] hyper_util::client::legacy::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("answered {0}: {1}")]
    Status(StatusCode, String),
}

impl Failure {
    /// Whether the same may be heard later.
    const fn may_pass(&self) -> bool {
        match self {
            Self::Token(..) | Self::Reach(_) | Self::Slow => true,
            Self::Request(_) => false,
            Self::Status(status, _) => {
                status.as_u16() >= 500 || matches!(status.as_u16(), 408 | 425 | 429)
            }
        }
    }
}

/// Delivers what comes until nobody can send any more.
pub async fn run(
    webhook: Webhook,
    mut deliveries: mpsc::UnboundedReceiver<Delivery>,
    done: impl Fn(Delivered) + Send,
) {
    let client = client();
    let mut pause = FIRST_PAUSE;
    let mut waiting: Vec<Delivery> = Vec::new();
    loop {
        if waiting.is_empty() && deliveries.recv_many(&mut waiting, BATCH).await == 0 {
            return;
        }
        let now = Timestamp::now();
        let (kept, old): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|delivery| now.duration_since(delivery.made) < TOO_OLD);
        waiting = kept;
        give_up(&webhook, &old, "nobody heard it for a day", &done);
        if waiting.is_empty() {
            continue;
        }
        match deliver(&client, &webhook, &waiting, now).await {
            Ok(()) => {
                done(Delivered {
                    ids: ids(&waiting),
                    was_heard: true,
                });
                waiting = Vec::new();
                pause = FIRST_PAUSE;
            }
            Err(failure) if failure.may_pass() => {
                tracing::warn!(
                    webhook = webhook.name,
                    error = error_chain(&failure),
                    retry_s = pause.as_secs(),
                    "not told of anomalies"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(failure) => {
                give_up(&webhook, &waiting, &error_chain(&failure), &done);
                waiting = Vec::new();
            }
        }
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

fn give_up(webhook: &Webhook, lost: &[Delivery], why: &str, done: &impl Fn(Delivered)) {
    if lost.is_empty() {
        return;
    }
    let name = &webhook.name;
    tracing::error!(
        webhook = name,
        count = lost.len(),
        why,
        "anomalies not told"
    );
    done(Delivered {
        ids: ids(lost),
        was_heard: false,
    });
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Trusts what the host trusts; where that cannot be read, plain HTTP is left.
fn client() -> HttpClient {
    let connector = match HttpsConnectorBuilder::new().with_native_roots() {
        Ok(builder) => builder.https_or_http().enable_http1().build(),
        Err(error) => {
            tracing::warn!(%error, "no certificates to trust: webhooks over TLS will fail");
            HttpsConnectorBuilder::new()
                .with_tls_config(no_trust())
                .https_or_http()
                .enable_http1()
                .build()
        }
    };
    Client::builder(TokioExecutor::new()).build(connector)
}

fn no_trust() -> rustls::ClientConfig {
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

async fn deliver(
    client: &HttpClient,
    webhook: &Webhook,
    deliveries: &[Delivery],
    now: Timestamp,
) -> Result<(), Failure> {
    let notices: Vec<_> = deliveries.iter().map(|delivery| &delivery.notice).collect();
    let body = body(webhook.form, &notices, now);
    let mut request = Request::post(webhook.uri.clone())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &webhook.token_file {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token(path)?));
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await;
    let answer = answer.map_err(|_| Failure::Slow)??;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = Limited::new(answer.into_body(), MOST_ANSWER).collect();
    let text = tokio::time::timeout(PATIENCE, text).await;
    // What it says is a help only.
    let text = text.ok().and_then(Result::ok).map(|body| body.to_bytes());
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    Err(Failure::Status(status, text))
}

fn token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| Failure::Token(path.to_owned(), source))?;
    Ok(text.trim().to_owned())
}

fn body(form: Form, notices: &[&Notice], now: Timestamp) -> String {
    match form {
        Form::Json => json!(notices),
        Form::Alertmanager => notices.iter().map(|notice| alert(notice, now)).collect(),
        Form::Slack => {
            let lines: Vec<_> = notices.iter().map(|notice| line(notice)).collect();
            json!({ "text": lines.join("\n") })
        }
    }
    .to_string()
}

/// Labels say which alert it is, so the same one told again is not another one.
fn alert(notice: &Notice, now: Timestamp) -> serde_json::Value {
    let Notice {
        id,
        host,
        kind,
        severity,
        identity,
        endpoint,
        grant,
        began,
        ended,
        summary,
        score,
        response,
    } = notice;
    let mut labels = json!({
        "alertname": "WeirAnomaly",
        "kind": kind,
        "severity": severity,
        "instance": host,
        "anomaly": id.to_string(),
    });
    for (name, value) in [
        ("identity", identity),
        ("endpoint", endpoint),
        ("grant", grant),
    ] {
        if let Some(value) = value {
            labels[name] = json!(value);
        }
    }
    let mut annotations = json!({ "summary": summary });
    if let Some(score) = score {
        annotations["score"] = json!(format!("{score:.1}"));
    }
    if !response.is_empty() {
        annotations["response"] = json!(response);
    }
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": began,
        "endsAt": ended.unwrap_or_else(|| now.saturating_add(ALERT_LASTS).unwrap_or(now)),
    })
}

fn line(notice: &Notice) -> String {
    let state = if notice.ended.is_some() {
        "over"
    } else {
        notice.severity
    };
    let response = if notice.response.is_empty() {
        String::new()
    } else {
        format!(" ({})", notice.response)
    };
    // What a workload has named must not become a mention or a link.
    let summary = notice.summary.replace('&', "&amp;");
    let summary = summary.replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "[{state}] {} #{} on {}: {summary}{response}",
        notice.kind, notice.id, notice.host
    )
}

#[cfg(test)]
mod tests;
