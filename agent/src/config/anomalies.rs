//! `[anomalies]`: what is watched, and who is told.

use std::{collections::BTreeSet, path::PathBuf};

use hyper::Uri;
use jiff::SignedDuration;
use serde::Deserialize;

use super::approval::duration;
use crate::{
    anomaly::Severity,
    host::webhooks::{Form, Webhook},
};

/// What is unusual, and who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomalies {
    pub enabled: bool,
    /// How many pairs of identity and endpoint are watched.
    pub max_series: usize,
    /// For how long a throttled identity is refused at a time.
    pub throttle: SignedDuration,
    pub webhooks: Vec<Webhook>,
}

impl Default for Anomalies {
    fn default() -> Self {
        Self {
            enabled: true,
            max_series: 20_000,
            throttle: SignedDuration::from_mins(5),
            webhooks: Vec::new(),
        }
    }
}

/// The table's schema: every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    enabled: Option<bool>,
    max_series: Option<usize>,
    throttle: Option<String>,
    webhooks: Vec<WebhookTable>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookTable {
    name: String,
    url: String,
    #[serde(default)]
    format: FormName,
    #[serde(default)]
    severity: SeverityName,
    token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormName {
    #[default]
    Json,
    Alertmanager,
    Slack,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SeverityName {
    Info,
    #[default]
    Warning,
}

impl Table {
    /// # Errors
    ///
    /// When a URL is none, or two webhooks have one name: names the field.
    pub(super) fn resolve(self) -> Result<Anomalies, String> {
        let Self {
            enabled,
            max_series,
            throttle,
            webhooks,
        } = self;
        let defaults = Anomalies::default();
        let mut names = BTreeSet::new();
        let mut resolved = Vec::new();
        for webhook in webhooks {
            if !names.insert(webhook.name.clone()) {
                return Err(format!(
                    "anomalies.webhooks: two are called `{}`: rename one",
                    webhook.name
                ));
            }
            resolved.push(webhook.resolve()?);
        }
        Ok(Anomalies {
            enabled: enabled.unwrap_or(defaults.enabled),
            max_series: max_series.unwrap_or(defaults.max_series),
            throttle: throttle.map_or(Ok(defaults.throttle), |text| {
                duration("anomalies.throttle", &text)
            })?,
            webhooks: resolved,
        })
    }
}

impl WebhookTable {
    fn resolve(self) -> Result<Webhook, String> {
        let Self {
            name,
            url,
            format,
            severity,
            token_file,
        } = self;
        // The path may be a secret.
        let wrong = |what: &str| format!("anomalies.webhooks: url of `{name}` {what}");
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(wrong("is not of the form http://HOST/… or https://HOST/…"));
        }
        Ok(Webhook {
            name,
            uri,
            form: match format {
                FormName::Json => Form::Json,
                FormName::Alertmanager => Form::Alertmanager,
                FormName::Slack => Form::Slack,
            },
            least: match severity {
                SeverityName::Info => Severity::Info,
                SeverityName::Warning => Severity::Warning,
            },
            token_file,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).expect("a table")
    }

    fn resolve(text: &str) -> Result<Anomalies, String> {
        table(text).resolve()
    }

    #[test]
    fn webhooks_are_read_and_the_rest_stays() {
        assert_eq!(resolve(""), Ok(Anomalies::default()));
        let read = resolve(
            "max_series = 5\nthrottle = \"10s\"\n[[webhooks]]\nname = \"ops\"\nurl = \"http://127.0.0.1:9093/api/v2/alerts\"\n\
             format = \"alertmanager\"\nseverity = \"info\"",
        );
        let expected = Anomalies {
            max_series: 5,
            throttle: SignedDuration::from_secs(10),
            webhooks: vec![Webhook {
                name: "ops".to_owned(),
                uri: Uri::from_static("http://127.0.0.1:9093/api/v2/alerts"),
                form: Form::Alertmanager,
                least: Severity::Info,
                token_file: None,
            }],
            ..Anomalies::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_mistake_names_the_webhook_and_keeps_the_secret() {
        let error = |text: &str| resolve(text).expect_err("a mistake");
        for url in ["hooks/secret", "ftp://host/secret", "/secret"] {
            let wrong = error(&format!("[[webhooks]]\nname = \"ops\"\nurl = \"{url}\""));
            assert!(
                wrong.starts_with("anomalies.webhooks: url of `ops` is no"),
                "{wrong}"
            );
            assert!(!wrong.contains("secret"), "{wrong}");
        }
        let one = "[[webhooks]]\nname = \"ops\"\nurl = \"http://a/\"\n";
        let twice = error(&format!("{one}{one}"));
        assert!(twice.contains("two are called `ops`"), "{twice}");
    }
}
