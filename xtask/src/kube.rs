//! `kube`: a real API server of Kubernetes for end-to-end tests, compiled from Debian's sources.
//!
//! Nobody packages the server itself. Debian 12 has the whole source of 1.20.2 for the sake of its
//! clients, with all that it imports, and a matching etcd; one is compiled, the other unpacked, into
//! the cache, once. That takes three to ten minutes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt::Apt, paths, process};

const SUITE: &str = "bookworm";
const VERSION: &str = "1.20.2";
/// What its modules are called within a source tree of Go.
const KUBERNETES: &str = "k8s.io/kubernetes";
/// Those whose types the server describes in its own description, `/openapi/v2`.
const DESCRIBED: [&str; 7] = [
    "api",
    "apiextensions-apiserver",
    "apimachinery",
    "apiserver",
    "client-go",
    "kube-aggregator",
    "metrics",
];
const DESCRIPTION_MARK: &str = "+k8s:openapi-gen=";
const REFLECT: &str = "github.com/modern-go/reflect2";

/// Compiles the server, unless it is there.
pub(crate) fn ensure() -> Result<()> {
    let into = paths::kube()?;
    if ["etcd", "kube-apiserver"]
        .iter()
        .all(|name| into.join(name).is_file())
    {
        println!(
            "kube-apiserver {VERSION} and etcd are in {}",
            into.display()
        );
        return Ok(());
    }
    if std::env::consts::ARCH != "x86_64" {
        bail!("the API server for tests is known to build on x86_64 only");
    }
    for program in ["go", "dpkg-deb", "dpkg-source"] {
        if paths::program(program).is_none() {
            bail!("{program} is missing, which compiles the API server for tests");
        }
    }
    println!("compiling kube-apiserver {VERSION} from Debian's sources: some minutes, once");
    let work = Work::begin(into.join("build"))?;
    let apt = Apt::prepare_sources(&work.dir.join("apt"), SUITE)?;
    let etcd = work.package(&apt, "etcd-server")?.join("usr/bin/etcd");
    work.source(&apt)?;
    work.replace_reflect(&apt)?;
    work.describe()?;
    let server = work.compile()?;
    // The server last: it is what tells that all is there.
    install(&etcd, &into.join("etcd"))?;
    install(&server, &into.join("kube-apiserver"))?;
    fs::remove_dir_all(&work.dir).with_context(|| format!("remove {}", work.dir.display()))?;
    println!(
        "kube-apiserver {VERSION} and etcd are in {}",
        into.display()
    );
    Ok(())
}

/// A directory with a source tree of Go in it.
struct Work {
    dir: PathBuf,
}

impl Work {
    /// What a run that was cut off has compiled is used; all else begins anew.
    fn begin(dir: PathBuf) -> Result<Self> {
        for part in ["gopath", "packages"] {
            let part = dir.join(part);
            match fs::remove_dir_all(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", part.display()));
                }
                Ok(()) | Err(_) => {}
            }
            create(&part)?;
        }
        Ok(Self { dir })
    }

    fn tree(&self) -> PathBuf {
        self.dir.join("gopath/src").join(KUBERNETES)
    }

    /// Unpacks a binary package and returns where.
    fn package(&self, apt: &Apt, name: &str) -> Result<PathBuf> {
        let archives = self.dir.join("packages");
        let archive = apt.download(name, &archives)?;
        let unpacked = archives.join(name);
        process::run(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(archive)
                .arg(&unpacked),
        )?;
        Ok(unpacked)
    }

    /// At the place that the old way of building wants: with modules, Go would find that the
    /// vendored ones are not those that it expects.
    fn source(&self, apt: &Apt) -> Result<()> {
        let packages = self.dir.join("packages");
        apt.source("kubernetes", &packages)?;
        let unpacked = fs::read_dir(&packages)
            .with_context(|| format!("list {}", packages.display()))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.join("cmd/kube-apiserver").is_dir())
            .context("Debian's source package has no kube-apiserver")?;
        if !unpacked.to_string_lossy().ends_with(VERSION) {
            bail!(
                "Debian's source package is not {VERSION}: {}",
                unpacked.display()
            );
        }
        let tree = self.tree();
        create(tree.parent().unwrap_or(&tree))?;
        fs::rename(&unpacked, &tree).with_context(|| format!("move to {}", tree.display()))
    }

    /// The vendored one reads the runtime's tables as they were before Go 1.18, and crashes.
    fn replace_reflect(&self, apt: &Apt) -> Result<()> {
        let package = self.package(apt, "golang-github-modern-go-reflect2-dev")?;
        let new = package.join("usr/share/gocode/src").join(REFLECT);
        let old = self.tree().join("vendor").join(REFLECT);
        fs::remove_dir_all(&old).with_context(|| format!("remove {}", old.display()))?;
        process::run(Command::new("cp").arg("-r").arg(&new).arg(&old))
    }

    /// The server does not compile without a description of its types, which is generated and not
    /// part of the package.
    fn describe(&self) -> Result<()> {
        let generator = self.dir.join("openapi-gen");
        let program = format!("{KUBERNETES}/vendor/k8s.io/kube-openapi/cmd/openapi-gen");
        process::run(self.go("build").arg("-o").arg(&generator).arg(program))?;
        let staging = self.tree().join("staging/src/k8s.io");
        let mut packages = Vec::new();
        for module in DESCRIBED {
            marked_packages(&staging.join(module), &mut packages)?;
        }
        let names: Vec<_> = packages
            .iter()
            .filter_map(|path| path.strip_prefix(&staging).ok())
            .map(|path| format!("{KUBERNETES}/vendor/k8s.io/{}", path.display()))
            .collect();
        let header = self.dir.join("header.txt");
        fs::write(&header, "").with_context(|| format!("write {}", header.display()))?;
        let mut command = self.with_environment(&generator);
        command
            .arg(format!("--input-dirs={}", names.join(",")))
            .arg(format!(
                "--output-package={KUBERNETES}/pkg/generated/openapi"
            ))
            .arg("--output-file-base=zz_generated.openapi")
            .arg("--go-header-file")
            .arg(&header)
            .arg("--report-filename")
            .arg(self.dir.join("violations.txt"))
            .arg("--output-base")
            .arg(self.dir.join("gopath/src"));
        process::output(&mut command).map(drop)
    }

    fn compile(&self) -> Result<PathBuf> {
        let server = self.dir.join("kube-apiserver");
        let version = format!("{KUBERNETES}/vendor/k8s.io/component-base/version");
        let mut parts = VERSION.split('.');
        let (major, minor) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let mut go = self.go("build");
        go.arg(format!(
            "-ldflags=-s -w -X {version}.gitVersion=v{VERSION} -X {version}.gitMajor={major} \
             -X {version}.gitMinor={minor}"
        ));
        go.arg("-o").arg(&server);
        process::run(go.arg(format!("{KUBERNETES}/cmd/kube-apiserver")))?;
        Ok(server)
    }

    fn go(&self, subcommand: &str) -> Command {
        let mut go = self.with_environment(Path::new("go"));
        go.arg(subcommand);
        go
    }

    fn with_environment(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.tree())
            .env("GOPATH", self.dir.join("gopath"))
            .env("GOCACHE", self.dir.join("go-cache"))
            .envs([
                ("GO111MODULE", "off"),
                ("CGO_ENABLED", "0"),
                ("GOFLAGS", ""),
            ]);
        command
    }
}

/// Directories at or below `directory` with a file that asks for a description, in order.
fn marked_packages(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("list {}", directory.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let asks = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "go")
            && fs::read_to_string(path).is_ok_and(|text| text.contains(DESCRIPTION_MARK))
    };
    if paths.iter().any(asks) {
        found.push(directory.to_owned());
    }
    for path in paths
        .iter()
        .filter(|path| path.is_dir() && !path.is_symlink())
    {
        marked_packages(path, found)?;
    }
    Ok(())
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))
}

/// In one step: a file that is there is whole.
fn install(from: &Path, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    fs::copy(from, &part).with_context(|| format!("copy {}", from.display()))?;
    fs::rename(&part, to).with_context(|| format!("make {}", to.display()))
}
