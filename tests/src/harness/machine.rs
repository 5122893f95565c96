//! A machine in a container: systemd-nspawn, with systemd as its first process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use super::{Absent, Host, client::installed, container::VIEW};

/// A running machine, which ends when it is dropped.
pub struct Machine(Child);

/// A unit of the machine.
pub struct Unit<'u> {
    pub name: &'u str,
    pub text: &'u str,
}

impl Machine {
    /// Boots in the cgroup `cgroup`, which exists; the network is the test's own, and `/busybox` is
    /// a program.
    ///
    /// # Errors
    ///
    /// Why it cannot be used here.
    pub fn boot(host: &Host, cgroup: &str, unit: &Unit<'_>) -> Result<Self, Absent> {
        installed("systemd-nspawn")?;
        let busybox = installed("busybox")?;
        let root = root()?;
        Host::hide_state();
        Ok(Self(spawn(host, cgroup, unit, &root, &busybox)))
    }
}

/// The root file system that `cargo xtask test` has made.
fn root() -> Result<PathBuf, Absent> {
    let root = std::env::var_os("WEIR_MACHINE").map(PathBuf::from);
    root.filter(|root| root.join("usr/lib/systemd/systemd").is_file())
        .ok_or_else(|| "no root file system with systemd: `cargo xtask test` makes it".to_owned())
}

fn spawn(host: &Host, cgroup: &str, unit: &Unit<'_>, root: &Path, busybox: &Path) -> Child {
    let file = host.path(unit.name);
    fs::write(&file, unit.text).expect("a file");
    let bind = |from: &Path, to: &str| format!("--bind-ro={}:{to}", from.display());
    let mut command = host.command_in(cgroup, "unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            VIEW,
            "sh",
        ])
        .args(["systemd-nspawn", "--quiet", "--directory"])
        .arg(root)
        // Nothing is written to it, nothing is told to the host's systemd.
        .args(["--volatile=overlay", "--register=no", "--keep-unit"])
        .args(["--link-journal=no", "--console=pipe"])
        .arg(bind(busybox, "/busybox"))
        .arg(bind(&file, &format!("/etc/systemd/system/{}", unit.name)))
        .args(["--boot", "systemd.unit=multi-user.target"])
        .arg(format!("systemd.wants={}", unit.name))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("systemd-nspawn runs")
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its processes end with the test's cgroup.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
