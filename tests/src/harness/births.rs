//! Cgroups that are made, used at once and removed, as service managers do on a restart.

use std::{
    ffi::OsStr,
    fs, io,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::{Attempts, Host, workload::attempts};

/// Cgroups that come and go beside the test.
pub struct Births(Child);

impl Host {
    /// Makes the cgroup `name`, lets a process that starts in it connect at once, and removes it,
    /// `count` times.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn restart(&self, name: &str, address: SocketAddr, count: u32) -> Attempts {
        self.start_restarting(name, address, count).wait()
    }

    /// As [`Host::restart`], beside the test.
    ///
    /// # Panics
    ///
    /// When the client cannot be run.
    pub fn start_restarting(&self, name: &str, address: SocketAddr, count: u32) -> Births {
        let (cgroup, count) = (self.cgroup().join(name), count.to_string());
        let child = Command::new(self.client())
            .args(["-", "restart", &address.to_string(), &count])
            .arg(cgroup)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        Births(child.expect("the client runs"))
    }

    /// Path of the directory of the cgroup `name`, which need not exist.
    pub fn cgroup_directory(&self, name: &str) -> PathBuf {
        self.cgroup().join(name)
    }

    /// A command that is in the cgroup `name`, which exists, before it executes anything.
    pub fn command_in(&self, name: &str, program: impl AsRef<OsStr>) -> Command {
        let procs = self.cgroup().join(name).join("cgroup.procs");
        let mut command = Command::new(program);
        let enter = move || fs::write(&procs, "0");
        // SAFETY: what runs between fork and exec writes a file and takes no lock: the path was made
        // before.
        unsafe { command.pre_exec(enter) };
        command
    }
}

impl Births {
    /// # Panics
    ///
    /// When the client failed.
    pub fn wait(self) -> Attempts {
        let output: io::Result<_> = self.0.wait_with_output();
        let output = output.expect("the client ends");
        assert!(output.status.success(), "{output:?}");
        attempts(&output.stdout)
    }
}
