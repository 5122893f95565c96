//! Containers of a real low-level runtime, in cgroups with the names that engines give them.
//!
//! The root file system is one static program. The network is the test's own.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{Absent, Attempts, Host, client::installed};

/// A program that runs OCI bundles.
pub struct Runtime<'h> {
    host: &'h Host,
    program: &'static str,
}

/// One container that connects once and ends.
#[derive(Clone, Debug)]
pub struct Container {
    /// Below the test's own cgroup
    pub cgroup: String,
    pub id: String,
}

/// Gives a command a view of the hierarchy of version 2 alone, as most hosts have it. Without it,
/// the runtimes make cgroups in those of version 1, too.
const VIEW: &str =
    "umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";

impl<'h> Runtime<'h> {
    /// # Errors
    ///
    /// Why it cannot be used here.
    pub fn new(host: &'h Host, program: &'static str) -> Result<Self, Absent> {
        installed(program)?;
        make_root(&host.path("rootfs"))?;
        Ok(Self { host, program })
    }

    /// Runs it until it has connected, or not, to `address`.
    ///
    /// # Panics
    ///
    /// When the runtime cannot be run.
    pub fn connect(&self, container: &Container, address: SocketAddr) -> Attempts {
        let bundle = self.bundle(container, address);
        let output = in_view_of_v2(self.program)
            .arg("--root")
            .arg(self.host.path("runtime"))
            .args(["run", "--bundle"])
            .arg(bundle)
            .arg(&container.id)
            .stdin(Stdio::null())
            .output();
        let output = output.expect("the runtime runs");
        told(output.status.code(), &output.stderr)
    }

    fn bundle(&self, container: &Container, address: SocketAddr) -> PathBuf {
        let bundle = self.host.path("bundles").join(&container.id);
        fs::create_dir_all(&bundle).expect("a directory");
        let text = specification(self.host, &container.cgroup, address).to_string();
        fs::write(bundle.join("config.json"), text).expect("a file");
        bundle
    }
}

/// What the program in the container says about its connection.
///
/// # Panics
///
/// When it is the runtime that failed.
pub(super) fn told(code: Option<i32>, stderr: &[u8]) -> Attempts {
    let stderr = String::from_utf8_lossy(stderr);
    match code {
        Some(0) => Attempts::all_ok(1),
        Some(1) if stderr.contains("Operation not permitted") && stderr.starts_with("nc: ") => {
            Attempts::all_refused(1)
        }
        _ => panic!("the container ended with {code:?}: {stderr}"),
    }
}

/// As `runc spec` makes it, without limits.
pub(super) fn specification(host: &Host, cgroup: &str, address: SocketAddr) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": call(address),
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "root": {"path": host.path("rootfs"), "readonly": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
            "cgroupsPath": host.cgroup_path(cgroup),
        },
    })
}

/// One connection, by the program in the root file system.
pub(super) fn call(address: SocketAddr) -> [String; 4] {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    ["/bin/busybox".into(), "nc".into(), ip, port]
}

pub(super) fn make_root(root: &Path) -> Result<(), Absent> {
    let busybox = installed("busybox")?;
    for directory in ["bin", "dev", "etc", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(directory)).map_err(|error| error.to_string())?;
    }
    let copy = root.join("bin/busybox");
    fs::copy(busybox, &copy).map_err(|error| error.to_string())?;
    fs::set_permissions(copy, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}

pub(super) fn in_view_of_v2(program: &str) -> Command {
    let mut command = Command::new("unshare");
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
        .arg(program);
    command
}
