//! The suite in a kernel of its own, with every setting.

use std::path::Path;

use anyhow::Result;

use super::finding::{Report, read};
use crate::vm::{self, Limits};

/// An emulated CPU is some twenty times as slow.
const LIMITS: Limits = Limits {
    seconds: 2400,
    mebibytes: 1024,
};

/// What techniques need, each after what it needs itself.
const MODULES: &[&str] = &[
    "libcrc32c",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "sctp",
    "tls",
    "tun",
    "vxlan",
    "geneve",
    "tunnel4",
    "ip_tunnel",
    "ipip",
    "gre",
    "ip_gre",
    "dccp",
    "dccp_ipv4",
    "l2tp_core",
    "l2tp_ip",
    "kcm",
    "rxrpc",
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vsock_loopback",
];

pub(super) fn run(series: &str, suite: &Path, weir: &Path, only: &str) -> Result<Report> {
    let script = format!(
        "dmesg -n 1\n\
         export WEIR_BIN=/bin/weir\n\
         weir-evade run --only '{only}' --setting default --setting watch_sends --setting lsm\n"
    );
    let programs = [(suite, "bin/weir-evade"), (weir, "bin/weir")];
    let said = vm::run_script(series, &programs, MODULES, &script, LIMITS)?;
    read(series, &said)
}
