//! apt with package lists and a cache of its own: the machine's sources are neither used nor
//! changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process;

pub(crate) struct Apt {
    config: PathBuf,
}

/// An archive, `debian` or `debian-security`, and a suite of it.
pub(crate) type Suite = (&'static str, String);

/// Which packages apt takes for installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    /// Those of the machine: to add to them, as root.
    Machine,
    /// None: to fetch packages without regard to the machine, as anybody.
    Nothing,
}

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Apt {
    /// With packages of Debian's own archives.
    pub(crate) fn prepare(dir: &Path, suites: &[Suite], installed: Installed) -> Result<Self> {
        let lines = suites.iter().map(|(archive, suite)| {
            source("deb", &format!("http://deb.debian.org/{archive}"), suite)
        });
        Self::with_sources(dir, &lines.collect::<String>(), installed)
    }

    /// With packages and sources of `suite`, from where this machine gets its own Debian packages.
    pub(crate) fn prepare_sources(dir: &Path, suite: &str) -> Result<Self> {
        let archive = archive_of_the_machine()?;
        let lines = ["deb", "deb-src"].map(|kind| source(kind, &archive, suite));
        Self::with_sources(dir, &lines.concat(), Installed::Nothing)
    }

    /// Writes the configuration and fetches the package lists.
    fn with_sources(dir: &Path, sources: &str, installed: Installed) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
        }
        let files = [
            ("sources.list", sources.to_owned()),
            ("status", String::new()),
            ("apt.conf", configuration(dir, installed)),
        ];
        for (name, text) in files {
            let file = dir.join(name);
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        }
        let apt = Self {
            config: dir.join("apt.conf"),
        };
        process::run(apt.command("apt-get").args(["update", "-qq"]))?;
        Ok(apt)
    }

    pub(crate) fn package_names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = process::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Fetches one package into an empty directory and returns the archive.
    pub(crate) fn download(&self, package: &str, into: &Path) -> Result<PathBuf> {
        let mut apt = self.command("apt-get");
        process::run(apt.args(["download", "-qq", package]).current_dir(into))?;
        let prefix = format!("{package}_");
        fs::read_dir(into)
            .with_context(|| format!("list {}", into.display()))?
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .with_context(|| format!("apt-get left no archive of {package}"))
    }

    /// Fetches a source package into `into` and unpacks it there.
    pub(crate) fn source(&self, package: &str, into: &Path) -> Result<()> {
        let mut apt = self.command("apt-get");
        process::run(apt.args(["source", "-qq", package]).current_dir(into))
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config);
        command
    }
}

fn source(kind: &str, archive: &str, suite: &str) -> String {
    format!("{kind} [signed-by={KEYRING}] {archive} {suite} main\n")
}

/// The address that apt on this machine uses for Debian's main archive.
fn archive_of_the_machine() -> Result<String> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format=$(REPO_URI)"]).args([
        "Origin: Debian",
        "Label: Debian",
        "Created-By: Packages",
    ]);
    let addresses = process::output(&mut apt)?;
    let first = addresses.lines().next();
    let address = first.context("apt on this machine uses no archive of Debian")?;
    Ok(address.trim_end_matches('/').to_owned())
}

/// Read after the machine's own configuration, so that its proxy settings stay and its hooks,
/// which concern its own lists, do not run.
fn configuration(dir: &Path, installed: Installed) -> String {
    let dir = dir.display();
    let state = match installed {
        Installed::Machine => String::new(),
        Installed::Nothing => format!(
            "Dir::State \"{dir}/state\";\nDir::State::status \"{dir}/status\";\n\
             APT::Architecture \"amd64\";\n"
        ),
    };
    format!(
        r#"{state}Dir::State::lists "{dir}/state/lists";
Dir::Cache "{dir}/cache";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"#
    )
}
