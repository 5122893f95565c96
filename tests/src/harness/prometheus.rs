//! A real Prometheus that scrapes an agent, on loopback.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::{Host, eventually_within};

/// Where an agent has to serve its metrics.
pub const METRICS: &str = "127.0.0.1:9464";
const ADDRESS: &str = "127.0.0.1:9090";
/// On a machine that does other things, too.
const START: Duration = Duration::from_secs(60);

/// The server that `cargo xtask test` fetches; else why there is none.
///
/// # Errors
///
/// Says what to do.
pub fn program() -> Result<PathBuf, String> {
    let root = std::env::var_os("WEIR_PROMETHEUS").map(PathBuf::from);
    root.map(|root| root.join("usr/bin/prometheus"))
        .filter(|program| program.is_file())
        .ok_or_else(|| "there is no prometheus: run `cargo xtask test`".to_owned())
}

pub struct Prometheus {
    server: Child,
}

impl Prometheus {
    /// Scrapes each second, and goes by the rules that are delivered.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub fn start(host: &Host, program: PathBuf) -> Self {
        let rules = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../deploy/prometheus/weir.rules.yaml"
        );
        let configuration = host.path("prometheus.yaml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}
scrape_configs: [{{job_name: weir, static_configs: [{{targets: ['{METRICS}']}}]}}]
rule_files: [{rules}]
"
        );
        fs::write(&configuration, text).expect("a configuration");
        let log = fs::File::create(host.path("prometheus.log")).expect("a log");
        let server = Command::new(program)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                host.path("tsdb").display()
            ))
            .arg(format!("--web.listen-address={ADDRESS}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus runs");
        let prometheus = Self { server };
        eventually_within(START, "prometheus", || {
            prometheus
                .query("up == 1")
                .ok()
                .filter(|found| !found.is_empty())
        });
        prometheus
    }

    /// The series that an expression gives.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or not understand it.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let output = Command::new("curl")
            .args(["--silent", "--get", "--data-urlencode"])
            .arg(format!("query={expression}"))
            .arg(format!("http://{ADDRESS}/api/v1/query"))
            .output()
            .map_err(|error| format!("run curl: {error}"))?;
        let answer: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        Ok(answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Whoever has ended by itself needs no end.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
