//! Engines that manage containers, with state of their own in the places where they always keep it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use serde_json::json;

use super::{
    Absent, Attempts, Host,
    client::installed,
    container::{call, in_view_of_v2, make_root, specification, told},
    eventually,
    host::remove_cgroups,
};

/// Whatever this machine has there is out of sight.
const STATE: [&str; 2] = ["/run", "/var/lib"];

/// Not every place where tests run may raise limits of its own.
const PODMAN_SETTINGS: &str = "[containers]
default_ulimits = []
pids_limit = 0
[engine]
cgroup_manager = \"cgroupfs\"
events_logger = \"none\"
";

pub struct Podman<'h> {
    host: &'h Host,
    settings: PathBuf,
}

pub struct Containerd<'h> {
    host: &'h Host,
    child: Child,
}

impl Host {
    /// Gives this thread, and all that it starts from here on, empty directories where engines keep
    /// their state.
    fn hide_state() {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace, as root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("own mounts");
        for place in STATE {
            mount(none, place, Some("tmpfs"), MsFlags::empty(), none).expect("an empty directory");
        }
    }
}

impl<'h> Podman<'h> {
    /// With the image `localhost/tiny:1`. An agent that starts later sees its state.
    ///
    /// # Errors
    ///
    /// Why it cannot be used here.
    ///
    /// # Panics
    ///
    /// When the image cannot be made.
    pub fn new(host: &'h Host) -> Result<Self, Absent> {
        installed("podman")?;
        installed("runc")?;
        Host::hide_state();
        let root = host.path("rootfs");
        make_root(&root)?;
        let podman = Self {
            host,
            settings: settings(host),
        };
        podman.import(&root);
        Ok(podman)
    }

    /// Makes the image.
    fn import(&self, root: &Path) {
        let archive = self.host.path("root.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(root).arg("-cf").arg(&archive).arg(".");
        let tar = tar.status().expect("`tar` runs");
        assert!(tar.success(), "an archive");
        let mut import = self.command();
        import.arg("import").arg(archive).arg("localhost/tiny:1");
        let import = import.output().expect("podman runs");
        assert!(import.status.success(), "{import:?}");
    }

    /// Runs a container that connects once.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn connect(&self, name: &str, address: SocketAddr) -> Attempts {
        let output = self
            .command()
            .args(["run", "--rm", "--network=host", "--cgroup-parent"])
            .arg(self.host.cgroup_path("libpod_parent"))
            .args(["--name", name, "localhost/tiny:1"])
            .args(call(address))
            .output()
            .expect("podman runs");
        told(output.status.code(), &output.stderr)
    }

    fn command(&self) -> Command {
        let mut command = in_view_of_v2("podman");
        command
            .args(["--runtime", "runc"])
            .env("CONTAINERS_CONF", &self.settings)
            .stdin(Stdio::null());
        command
    }
}

impl<'h> Containerd<'h> {
    /// # Errors
    ///
    /// Why it cannot be used here.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(host: &'h Host) -> Result<Self, Absent> {
        for program in ["containerd", "ctr", "runc"] {
            installed(program)?;
        }
        Host::hide_state();
        make_root(&host.path("rootfs"))?;
        Ok(Self {
            host,
            child: serve(host),
        })
    }

    /// Runs a container with these annotations that connects once.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn connect(
        &self,
        cgroup: &str,
        id: &str,
        annotations: &[(&str, &str)],
        address: SocketAddr,
    ) -> Attempts {
        let mut specification = specification(self.host, cgroup, address);
        // `ctr` leaves the standard input open, at whose end the program ends.
        let call = format!("echo | {}", call(address).join(" "));
        specification["process"]["args"] = json!(["/bin/busybox", "sh", "-c", call]);
        for (name, value) in annotations {
            specification["annotations"][*name] = (*value).into();
        }
        let file = self.host.path(&format!("{id}.json"));
        fs::write(&file, specification.to_string()).expect("a file");
        let output = Command::new("ctr")
            .args(["--namespace", "k8s.io", "run", "--rm", "--config"])
            .arg(file)
            .arg(id)
            .stdin(Stdio::null())
            .output()
            .expect("ctr runs");
        told(output.status.code(), &output.stderr)
    }
}

fn settings(host: &Host) -> PathBuf {
    let settings = host.path("containers.conf");
    fs::write(&settings, PODMAN_SETTINGS).expect("a file");
    settings
}

/// Starts containerd and waits until it answers.
fn serve(host: &Host) -> Child {
    let log = File::create(host.path("containerd.log")).expect("a file");
    let child = Command::new("containerd")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("containerd runs");
    eventually("containerd", || {
        let version = Command::new("ctr").arg("version").output().ok()?;
        version.status.success().then_some(())
    });
    child
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        // It has no container any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // It may have made cgroups of the same names in hierarchies of version 1.
        let name = self.host.cgroup_path("");
        for hierarchy in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            let directory = hierarchy.path().join(name.trim_matches('/'));
            if directory != self.host.cgroup() {
                remove_cgroups(&directory);
            }
        }
    }
}
