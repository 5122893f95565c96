//! The place of one test.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Instant,
};

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use weir::bpf::{detach_all, probe};

use super::{AgentBuilder, Output, PATIENCE, Workload, agent::run, pause, resolver};

pub struct Host {
    name: String,
    cgroup_root: PathBuf,
    directory: TempDir,
    client: PathBuf,
}

impl Host {
    /// Gives this thread, and all that it starts, a network of its own in which only loopback
    /// exists, and makes a cgroup. `client` is the program that workloads run.
    ///
    /// # Panics
    ///
    /// Without root, or on a host without cgroup v2.
    pub fn new(client: &Path) -> Self {
        enter_network();
        let thread = thread::current();
        let test = thread
            .name()
            .unwrap_or("test")
            .rsplit("::")
            .next()
            .unwrap_or("test");
        let name = format!("weir-{}-{test}", process::id());
        let cgroup_root = probe::cgroup_root().expect("cgroup v2");
        // The workloads that most tests have: an agent that starts later knows them from the
        // beginning, where a new one is its parent until the agent has named it.
        for workload in ["granted", "other"] {
            fs::create_dir_all(cgroup_root.join(&name).join(workload)).expect("a cgroup");
        }
        Self {
            name,
            cgroup_root,
            directory: TempDir::new().expect("a directory"),
            client: client.to_owned(),
        }
    }

    /// Path below the cgroup root of the cgroup `child` of this host.
    pub fn cgroup_path(&self, child: &str) -> String {
        format!("/{}/{child}", self.name)
    }

    /// As [`Host::cgroup_path`], of a cgroup that exists from here on: an agent that starts later
    /// knows it from the beginning.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn make_cgroup(&self, child: &str) -> String {
        fs::create_dir_all(self.cgroup().join(child)).expect("a cgroup");
        self.cgroup_path(child)
    }

    /// Directory of the cgroup that the agent governs.
    pub fn cgroup(&self) -> PathBuf {
        self.cgroup_root.join(&self.name)
    }

    /// The program that workloads run.
    pub fn client(&self) -> String {
        self.client.display().to_string()
    }

    pub fn pin_dir(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(&self.name)
    }

    /// A file or directory of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a policy file; the agent reads it by itself.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write_policy(&self, name: &str, text: &str) {
        let directory = self.path("policy.d");
        fs::create_dir_all(&directory).expect("a policy directory");
        // In one step, as configuration management does it.
        let draft = directory.join(".draft");
        fs::write(&draft, text).expect("a draft");
        fs::rename(&draft, directory.join(name)).expect("a policy file");
    }

    pub fn agent(&self) -> AgentBuilder<'_> {
        AgentBuilder::new(self)
    }

    /// Runs `weir ARGS` where there is no agent.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn weir(&self, args: &[&str]) -> Output {
        run(args)
    }

    /// A process group in its own cgroup `name`, which may have slashes.
    ///
    /// # Panics
    ///
    /// When the cgroup cannot be made.
    pub fn workload(&self, name: &str) -> Workload {
        let cgroup = self.cgroup().join(name);
        fs::create_dir_all(&cgroup).expect("a cgroup");
        Workload::new(cgroup, self.client.clone())
    }

    /// Accepts connections at `address`, reads all and answers with `back` bytes.
    ///
    /// # Panics
    ///
    /// When the address cannot be bound.
    pub fn tcp_server(&self, address: &str, back: usize) -> SocketAddr {
        let listener = TcpListener::bind(address).expect("a listener");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut stream = stream;
                    // A client that only connects sends nothing and closes.
                    let _ = stream.read_to_end(&mut Vec::new());
                    let _ = stream.write_all(&vec![7; back]);
                });
            }
        });
        address
    }

    /// A resolver on loopback, at port 53: see [`resolver`].
    ///
    /// # Panics
    ///
    /// When the address cannot be bound.
    pub fn resolver(&self) -> SocketAddr {
        let address = IpAddr::from([127, 53, 0, 1]);
        resolver::serve(address);
        SocketAddr::new(address, 53)
    }

    /// A socket that datagrams can be sent to.
    ///
    /// # Panics
    ///
    /// When the address cannot be bound.
    pub fn udp_server(&self, address: &str) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(address).expect("a socket");
        let address = socket.local_addr().expect("its address");
        (socket, address)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Everything is tried, so that a failing test leaves as little as possible behind.
        let _ = detach_all(&self.pin_dir());
        end_processes(&self.cgroup());
        remove_cgroups(&self.cgroup());
    }
}

/// Gives this thread, and all that it starts, a network of its own in which only loopback exists.
///
/// # Panics
///
/// Without root.
pub fn enter_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace, as root");
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.expect("`ip` runs").success(), "loopback comes up");
}

/// What a workload has left running, such as the helpers of a browser.
fn end_processes(cgroup: &Path) {
    let _ = fs::write(cgroup.join("cgroup.kill"), "1");
    let events = cgroup.join("cgroup.events");
    let is_populated =
        || fs::read_to_string(&events).is_ok_and(|text| text.contains("populated 1"));
    let deadline = Instant::now() + PATIENCE;
    while is_populated() && Instant::now() < deadline {
        pause();
    }
}

pub(super) fn remove_cgroups(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
