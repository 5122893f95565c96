//! Programs that people call models with, each as its users run it.
//!
//! One that the machine lacks is an error that says why; `cargo xtask setup` gets them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Ran, Site, Workload};

/// A program that calls a URL and prints the answer.
pub struct Client {
    program: Vec<String>,
    /// Prints a page about what went wrong instead of failing.
    always_succeeds: bool,
}

/// Why a client cannot be run here.
pub type Absent = String;

/// What a client that could be run got.
pub struct Answer {
    pub ran: Ran,
    always_succeeds: bool,
}

impl Client {
    /// curl, with these options.
    pub fn curl(options: &[&str]) -> Self {
        let fixed = ["curl", "--silent", "--show-error", "--fail"];
        Self::new(fixed.iter().chain(options))
    }

    /// curl, if it has the feature that these options need.
    pub fn curl_with(feature: &str, options: &[&str]) -> Result<Self, Absent> {
        let version = Command::new("curl").arg("--version").output();
        let version = version.map_err(|error| error.to_string())?.stdout;
        let version = String::from_utf8_lossy(&version);
        if version.split_whitespace().any(|word| word == feature) {
            return Ok(Self::curl(options));
        }
        Err(format!("curl is built without {feature}"))
    }

    pub fn openssl() -> Self {
        Self::new([&"sh", &source("s_client.sh").as_str()])
    }

    /// A script with the Python packages that `cargo xtask setup` installs.
    pub fn python(script: &str) -> Result<Self, Absent> {
        let python = built("python/bin/python")?;
        Ok(Self::new([&python.as_str(), &source(script).as_str()]))
    }

    pub fn node(script: &str) -> Result<Self, Absent> {
        installed("node")?;
        Ok(Self::new([&"node", &source(script).as_str()]))
    }

    /// The one that calls a model several times.
    pub fn go_that_calls() -> Result<Self, Absent> {
        Ok(Self::new([&built("calls-go")?.as_str()]))
    }

    pub fn go() -> Result<Self, Absent> {
        Ok(Self::new([&built("get-go")?.as_str()]))
    }

    /// With these options beside those for a machine without screen and user.
    pub fn chromium(options: &[&str]) -> Result<Self, Absent> {
        installed("chromium")?;
        let fixed = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--ignore-certificate-errors",
            "--dump-dom",
        ];
        let mut client = Self::new(fixed.iter().chain(options));
        client.always_succeeds = true;
        Ok(client)
    }

    fn new<'a>(program: impl IntoIterator<Item = &'a &'a str>) -> Self {
        Self {
            program: program.into_iter().map(|word| (*word).into()).collect(),
            always_succeeds: false,
        }
    }

    /// With these arguments before the URL.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.program
            .extend(arguments.iter().map(|word| (*word).into()));
        self
    }

    /// Calls `url` as `workload`, with the names and the certificate authority of `site`.
    pub fn call(&self, workload: &Workload, site: &Site, url: &str) -> Answer {
        let mut program = self.program.clone();
        program.push(url.to_owned());
        let env = [
            ("HOME", site.home()),
            ("CURL_CA_BUNDLE", site.ca()),
            ("NODE_EXTRA_CA_CERTS", site.ca()),
            ("REQUESTS_CA_BUNDLE", site.ca()),
            ("SSL_CERT_FILE", site.ca()),
        ];
        Answer {
            ran: workload.run_program(site.etc(), &program, &env, ""),
            always_succeeds: self.always_succeeds,
        }
    }
}

impl Answer {
    /// Whether `host` answered.
    ///
    /// # Panics
    ///
    /// When the exit code says otherwise than the answer.
    pub fn is_from(&self, host: &str) -> bool {
        let answered = self.ran.stdout.contains(&format!("hello from {host}"));
        let succeeded = self.ran.code == Some(0);
        assert!(
            self.always_succeeds || answered == succeeded,
            "a client does not tell how it went: {:?}",
            self.ran
        );
        answered
    }
}

/// A script of this package.
fn source(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    directory.join(name).display().to_string()
}

/// Something that `cargo xtask setup` made.
fn built(name: &str) -> Result<String, Absent> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients");
    let path = target.join(name);
    // Not resolved: a virtual environment is recognised by the path of its link.
    if fs::metadata(&path).is_ok() {
        return Ok(path.display().to_string());
    }
    Err(format!(
        "target/clients/{name} is absent: `cargo xtask setup`"
    ))
}

/// Where a program is.
///
/// # Errors
///
/// That it is not.
pub fn installed(program: &str) -> Result<PathBuf, Absent> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{program} is not installed: `cargo xtask setup`"))
}
