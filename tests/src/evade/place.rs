//! Where attempts are made: a network of its own with the endpoints in it, cgroups, and the policy that
//! an ordinary user would write.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    scene::{LINK, RESOLVER},
    sinks::Arrivals,
    tunnel::ip,
};
use crate::harness::{Agent, Host};

/// What the agent is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Nothing but what it is shipped with.
    Default,
    /// `watch_sends = true`
    Watch,
    /// `lsm = "auto"`
    Lsm,
}

impl Setting {
    pub const ALL: [Self; 3] = [Self::Default, Self::Watch, Self::Lsm];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Watch => "watch_sends",
            Self::Lsm => "lsm",
        }
    }

    const fn config(self) -> &'static str {
        match self {
            Self::Default => "detach_on_exit = true\n",
            Self::Watch => "detach_on_exit = true\nwatch_sends = true\n",
            Self::Lsm => "detach_on_exit = true\nlsm = \"auto\"\n",
        }
    }
}

/// Settings of the network, so that what an attempt needs is not refused for another reason.
const SETTINGS: &[(&str, &str)] = &[
    // Data in a SYN without a cookie, at each listener.
    ("ipv4/tcp_fastopen", "1543"),
    ("ipv4/ping_group_range", "0 2147483647"),
    ("ipv4/conf/all/accept_source_route", "1"),
    ("ipv4/conf/lo/accept_source_route", "1"),
    // Packets that come in with loopback's addresses, as frames do.
    ("ipv4/conf/all/route_localnet", "1"),
    ("ipv4/conf/lo/route_localnet", "1"),
    ("ipv4/conf/all/accept_local", "1"),
    ("ipv4/conf/lo/accept_local", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/lo/rp_filter", "0"),
];

const ADDRESSES: &[&str] = &[
    "192.0.2.1/32",
    "1.1.1.1/32",
    "fd00:8::1/128",
    "fd00:8::1:2/128",
    "fd00:8::2:1/128",
];

/// Fields are dropped in this order.
pub struct Place {
    pub(super) arrivals: Arrivals,
    host: Host,
}

impl Place {
    /// Makes all of it. `program` makes the attempts.
    ///
    /// # Errors
    ///
    /// When the network or a server cannot be made.
    ///
    /// # Panics
    ///
    /// Without root, or on a host without cgroup v2.
    pub fn new(program: &Path) -> io::Result<Self> {
        let host = Host::new(program);
        for (name, value) in SETTINGS {
            // One that this kernel has not is missed by the attempt that needs it.
            let _ = fs::write(Path::new("/proc/sys/net").join(name), value);
        }
        for address in ADDRESSES {
            ip(&["address", "add", address, "dev", "lo"])?;
        }
        ip(&["address", "add", &format!("{LINK}/64"), "dev", "lo"])?;
        host.make_cgroup("out");
        Ok(Self {
            arrivals: Arrivals::start()?,
            host,
        })
    }

    /// Directory of the cgroup of whoever makes one attempt.
    pub(super) fn cgroup(&self, round: &str, who: &str) -> PathBuf {
        self.host.cgroup().join(name_of(round, who))
    }

    /// The identity of whoever makes the attempt.
    pub(super) fn identity(&self, round: &str, who: &str) -> String {
        format!("cgroup:{}", self.host.cgroup_path(&name_of(round, who)))
    }

    /// Directory of the cgroup of the entitled workload.
    pub(super) fn out(&self) -> PathBuf {
        self.host.cgroup().join("out")
    }

    /// Makes the cgroups of one round: an agent that starts later knows them.
    pub(super) fn make_cgroups<'a>(&self, round: &str, who: impl IntoIterator<Item = &'a str>) {
        for who in who {
            self.host.make_cgroup(&name_of(round, who));
        }
    }

    /// The agent as it is shipped, with this setting, in force.
    pub(super) fn agent(&self, setting: Setting) -> Agent {
        self.host.write_policy("evade.yaml", &self.policy());
        let resolver = RESOLVER.split(':').next().unwrap_or_default();
        let agent = self.host.agent().config(setting.config());
        agent.name_server(resolver).start()
    }

    fn policy(&self) -> String {
        let out = self.host.cgroup_path("out");
        format!(
            "apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: model}}
spec:
  provider: test
  cidrs: [127.8.0.1/32, 127.8.0.11/32, \"fd00:8::1/128\", \"{LINK}/128\"]
  ports: [443, 4789]
---
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: local}}
spec: {{provider: test, cidrs: [127.0.0.1/32, \"::1/128\"], ports: [11434]}}
---
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: named}}
spec: {{provider: test, hosts: [api.model.test, \"*.model.test\"], ports: [80, 443, 8443]}}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: closed}}
spec: {{default: true, ungranted: deny}}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: out}}
spec:
  subjects: [{{cgroup: {out}}}]
  endpoints: [model, local, named]
  purpose: to show who is entitled
  ttl: 1h
"
        )
    }
}

fn name_of(round: &str, who: &str) -> String {
    format!("{round}-{who}")
}
