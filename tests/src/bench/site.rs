//! A network namespace, a cgroup and a kernel side that can be attached and detached at will.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{self, Command},
};

use agent_common::{
    address::Address,
    destination::{ANY_PORT, Destination, EndpointId},
    identity::IdentityId,
    policy::{Posture, RuleEntry, RuleId, Window},
    settings::Mode,
};
use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, unshare};
use weir::{
    bpf::{
        Attached, Loaded, Maps, Options, detach_all, detach_programs, policy::PolicyTables, probe,
    },
    endpoint::{HostPattern, NameUse, build_name_tree},
    host::process::cgroup_path,
};

use super::stats::{self, Direction};
use crate::harness::resolver::GOVERNED;

/// Identity of the benchmark's own cgroup.
pub const CALLER: IdentityId = IdentityId::from_raw(1);
pub const ENDPOINT: EndpointId = EndpointId::from_raw(1);
/// Reserved for documentation: no route leads there.
pub const NOWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// What is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub mode: Mode,
    pub inspect: bool,
}

/// What happens to [`CALLER`] where no endpoint is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unnamed {
    /// Nobody can be refused anything there.
    #[default]
    NeverMatters,
    /// Others can be refused, the caller cannot.
    Allowed,
    /// The name decides.
    Governed,
}

/// A policy of `n` endpoint addresses and `n` grants in which [`CALLER`] may reach `granted` only.
/// [`GOVERNED`] is an endpoint at every port, which the caller may not reach.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub granted: Vec<SocketAddrV4>,
    pub denied: Vec<SocketAddrV4>,
    pub n: u32,
    pub unnamed: Unnamed,
}

pub struct Site {
    home: PathBuf,
    cgroup: PathBuf,
    pin_dir: PathBuf,
    loaded: Loaded,
    pub maps: Maps,
    attached: Option<Attached>,
}

impl Site {
    /// Enters a network namespace and a cgroup of its own. Only loopback exists there.
    pub fn enter(setup: Setup) -> anyhow::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace (needs root)")?;
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        ensure!(
            up.context("run `ip`")?.success(),
            "`ip link set lo up` failed"
        );
        let host = probe::check()?;
        let name = format!("weir-bench-{}", process::id());
        let own = cgroup_path(process::id())?;
        let cgroup = host.cgroup_root.join(&name);
        let pin_dir = PathBuf::from("/sys/fs/bpf").join(&name);
        probe::prepare_pin_dir(&pin_dir)?;
        fs::create_dir(&cgroup).context("make a cgroup")?;
        let (loaded, mut maps) = Loaded::load(Options {
            pin_dir: pin_dir.clone(),
            cgroup: cgroup.clone(),
            scoped: true,
            mode: setup.mode,
            inspect: setup.inspect,
            arguments: false,
            foreign_sends: weir::bpf::ForeignSends::default(),
        })?;
        maps.identities.set(fs::metadata(&cgroup)?.ino(), CALLER)?;
        let site = Self {
            home: host.cgroup_root.join(own.trim_start_matches('/')),
            cgroup,
            pin_dir,
            loaded,
            maps,
            attached: None,
        };
        join(&site.cgroup)?;
        Ok(site)
    }

    pub fn attach(&mut self) -> anyhow::Result<()> {
        if self.attached.is_none() {
            self.attached = Some(self.loaded.attach()?);
        }
        Ok(())
    }

    pub fn detach(&mut self) -> anyhow::Result<()> {
        detach_programs(&self.pin_dir)?;
        self.attached = None;
        Ok(())
    }

    /// Attaches everything but these.
    pub fn attach_without(&mut self, hooks: &[&str]) -> anyhow::Result<()> {
        self.detach()?;
        self.attach()?;
        for hook in hooks {
            fs::remove_file(self.pin_dir.join(format!("link-{hook}"))).context("remove a link")?;
        }
        // The descriptors: what is pinned stays.
        self.attached = None;
        Ok(())
    }

    /// Ids of the programs that run for packets of this cgroup.
    pub fn packet_programs(&self, direction: Direction) -> anyhow::Result<Vec<u32>> {
        stats::attached(&fs::File::open(&self.cgroup)?, direction).context("list programs")
    }

    pub fn install(&mut self, policy: &Policy) -> anyhow::Result<()> {
        self.maps.policy.install(&tables(policy)?)?;
        Ok(())
    }

    /// Believes what comes from port 53 of `resolver`.
    pub fn believe(&mut self, resolver: Ipv4Addr) -> anyhow::Result<()> {
        let resolvers = BTreeMap::from([(IpAddr::V4(resolver), false)]);
        self.maps.resolvers.replace(&resolvers)?;
        Ok(())
    }

    /// Empties the event ring, so that a full one does not make calls cheaper.
    pub fn drain_events(&mut self) -> usize {
        self.maps.events.take(usize::MAX).len()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.attached = None;
        // Everything is tried, so that a failure leaves as little as possible behind.
        let _ = join(&self.home);
        let _ = detach_all(&self.pin_dir);
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn tables(policy: &Policy) -> anyhow::Result<PolicyTables> {
    let mut tables = PolicyTables::default();
    let mut put = |address: &SocketAddrV4, endpoint| {
        let key = (Address::from_ip((*address.ip()).into()), address.port());
        tables.addresses.insert(key, Destination::one(endpoint));
    };
    let other = EndpointId::from_raw(2);
    policy.granted.iter().for_each(|at| put(at, ENDPOINT));
    policy.denied.iter().for_each(|at| put(at, other));
    for index in 0..policy.n {
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + index);
        let endpoint = EndpointId::from_raw(10 + index);
        put(&SocketAddrV4::new(ip, 443), endpoint);
        let key = (IdentityId::from_raw(10 + index), endpoint);
        tables.rules.insert(key, grant());
    }
    tables.rules.insert((CALLER, ENDPOINT), grant());
    let closed = RuleEntry::posture_only(Posture::Deny);
    tables
        .rules
        .insert((IdentityId::UNKNOWN, EndpointId::ANY), closed);
    if policy.unnamed != Unnamed::NeverMatters {
        tables
            .rules
            .insert((IdentityId::UNKNOWN, EndpointId::UNNAMED), closed);
    }
    if policy.unnamed == Unnamed::Allowed {
        let open = RuleEntry::posture_only(Posture::Allow);
        tables.rules.insert((CALLER, EndpointId::UNNAMED), open);
    }
    tables.names = build_name_tree(&[NameUse {
        pattern: HostPattern::parse(GOVERNED)?,
        endpoints: BTreeSet::from([(other, ANY_PORT)]),
        flags: 0,
    }]);
    Ok(tables)
}

fn grant() -> RuleEntry {
    let mut entry = RuleEntry::posture_only(Posture::Deny);
    entry.windows[0] = Window {
        not_before_ns: 1,
        not_after_ns: Window::FOREVER,
        grant: RuleId::from_raw(1),
        _pad: 0,
    };
    entry
}

fn join(cgroup: &std::path::Path) -> std::io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), process::id().to_string())
}

/// A TCP socket without the standard library's work around `connect`.
pub struct RawSocket(OwnedFd);

impl RawSocket {
    pub fn new() -> std::io::Result<Self> {
        // SAFETY: takes no pointers; the descriptor is ours alone.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The errno of `connect`, or 0.
    pub fn connect(&self, address: SocketAddrV4) -> i32 {
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(address.ip().octets()),
            },
            sin_zero: [0; 8],
        };
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: a valid address of the length that is given.
        let result =
            unsafe { libc::connect(self.0.as_raw_fd(), (&raw const address).cast(), length) };
        if result == 0 {
            return 0;
        }
        std::io::Error::last_os_error().raw_os_error().unwrap_or(-1)
    }
}
