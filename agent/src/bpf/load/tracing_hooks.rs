//! Programs at places that belong to no cgroup: each stands for itself, and what cannot be loaded is
//! a gap in coverage, for people to see.

use std::{collections::BTreeMap, fs};

use agent_common::abi::program;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Lsm},
};

use super::{program_error, typed};
use crate::{
    bpf::{ForeignSends, btf::KernelTypes},
    error_chain,
};

/// Programs that tell of cgroups and processes, with the tracepoint of each. Each stands for itself.
pub(in crate::bpf) const WORKLOAD_HOOKS: [(&str, &str); 5] = [
    (program::CGROUP_MADE, "cgroup_mkdir"),
    (program::CGROUP_REMOVED, "cgroup_rmdir"),
    (program::FORKED, "sched_process_fork"),
    (program::EXECUTED, "sched_process_exec"),
    (program::EXITED, "sched_process_exit"),
];

/// Programs that are only loaded if the configuration asks for them.
pub const OPTIONAL_HOOKS: [&str; 4] = [
    program::FOREIGN_SEND,
    program::FOREIGN_SENDMSG,
    program::SOCKET_CREATE,
    program::TUN_CREATE,
];

/// Those of them that stand at a hook of the security modules, with its name.
const LSM_HOOKS: [(&str, &str); 3] = [
    (program::FOREIGN_SENDMSG, "socket_sendmsg"),
    (program::SOCKET_CREATE, "socket_create"),
    (program::TUN_CREATE, "tun_dev_create"),
];

/// Where the kernel lists its security modules.
const MODULES: &str = "/sys/kernel/security/lsm";

pub(super) fn load_workload_hooks(
    ebpf: &mut Ebpf,
    types: &Result<KernelTypes, String>,
) -> BTreeMap<&'static str, Result<(), String>> {
    let btf = Btf::from_sys_fs().map_err(|error| error_chain(&error));
    let loaded = WORKLOAD_HOOKS.map(|(hook, tracepoint)| {
        let result = types.as_ref().map_err(Clone::clone).and_then(|types| {
            let group = match hook {
                program::CGROUP_MADE | program::CGROUP_REMOVED => &types.cgroups,
                _ => &types.processes,
            };
            for needed in [&types.sockets, group] {
                needed.as_ref().map_err(|error| error_chain(error))?;
            }
            let btf = btf.as_ref().map_err(Clone::clone)?;
            let program: &mut BtfTracePoint =
                typed(ebpf, hook).map_err(|error| error_chain(&error))?;
            program
                .load(tracepoint, btf)
                .map_err(|source| error_chain(&program_error(hook, source)))
        });
        (hook, result)
    });
    loaded.into_iter().collect()
}

/// Only those that are wanted.
pub(super) fn load_optional_hooks(
    ebpf: &mut Ebpf,
    types: &Result<KernelTypes, String>,
    wanted: ForeignSends,
) -> BTreeMap<&'static str, Result<(), String>> {
    let btf = types.as_ref().map_err(Clone::clone).and_then(|types| {
        let sockets = types.sockets.as_ref();
        sockets.map_err(|error| error_chain(error))?;
        Btf::from_sys_fs().map_err(|error| error_chain(&error))
    });
    let ForeignSends { watch, lsm } = wanted;
    let mut loaded = BTreeMap::new();
    if watch {
        let hook = program::FOREIGN_SEND;
        let result = btf.as_ref().map_err(Clone::clone).and_then(|btf| {
            let program: &mut BtfTracePoint =
                typed(ebpf, hook).map_err(|error| error_chain(&error))?;
            program
                .load("sock_send_length", btf)
                .map_err(|source| error_chain(&program_error(hook, source)))
        });
        loaded.insert(hook, result);
    }
    for (hook, place) in LSM_HOOKS.into_iter().filter(|_| lsm) {
        let result = btf.as_ref().map_err(Clone::clone).and_then(|btf| {
            check_modules()?;
            let program: &mut Lsm = typed(ebpf, hook).map_err(|error| error_chain(&error))?;
            program
                .load(place, btf)
                .map_err(|source| error_chain(&program_error(hook, source)))
        });
        loaded.insert(hook, result);
    }
    loaded
}

/// A program of a module that is not in use would load, and never be called.
fn check_modules() -> Result<(), String> {
    let modules = fs::read_to_string(MODULES).map_err(|error| {
        format!("read `{MODULES}`: {error}: run `mount -t securityfs none /sys/kernel/security`")
    })?;
    if modules.trim().split(',').any(|module| module == "bpf") {
        return Ok(());
    }
    Err(
        "the kernel runs without `bpf` among its security modules: add it to `lsm=` on its \
         command line"
            .to_owned(),
    )
}
