//! What each task needs from the machine, as data.

use std::{fs, path::Path};

use crate::paths;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Group {
    /// Compilers for the agent and its kernel programs
    Build,
    /// Linters, traffic sources, kernels in virtual machines
    Test,
    /// Programs that call models in end-to-end tests, which skip what is absent
    Clients,
    /// What fuzzing takes; not among the default
    Fuzz,
}

/// Something that is there or not, and the Debian package that brings it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub group: Group,
    pub probe: Probe,
    pub package: &'static str,
    pub why: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Program(&'static str),
    /// A program without a dynamic loader, to run where there are no libraries.
    StaticProgram(&'static str),
    File(&'static str),
}

impl Need {
    pub(crate) fn is_met(&self) -> bool {
        match self.probe {
            Probe::Program(name) => paths::program(name).is_some(),
            Probe::StaticProgram(name) => paths::program(name).is_some_and(|file| is_static(&file)),
            Probe::File(path) => Path::new(path).is_file(),
        }
    }
}

pub(crate) const NEEDS: &[Need] = &[
    need(
        Group::Build,
        Probe::Program("cc"),
        "build-essential",
        "compiles SQLite and links",
    ),
    need(
        Group::Fuzz,
        Probe::Program("c++"),
        "build-essential",
        "compiles libFuzzer",
    ),
    test("curl", "curl", "makes HTTPS calls in tests and the demo"),
    test("ip", "iproute2", "makes network namespaces for tests"),
    test("dnsmasq", "dnsmasq-base", "serves names in tests"),
    test("python3", "python3", "a second kind of client in tests"),
    test("openssl", "openssl", "certificates of test servers"),
    test("bpftool", "bpftool", "shows programs when a test fails"),
    test("systemd-analyze", "systemd", "checks the service unit"),
    test(
        "mkfs.btrfs",
        "btrfs-progs",
        "makes a file system with subvolumes",
    ),
    test("cpio", "cpio", "packs the guest's file system"),
    test(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "boots other kernels",
    ),
    test("dpkg-deb", "dpkg", "unpacks kernel packages"),
    need(
        Group::Test,
        Probe::StaticProgram("busybox"),
        "busybox-static",
        "user space of the guest",
    ),
    need(
        Group::Test,
        Probe::File("/usr/share/keyrings/debian-archive-keyring.gpg"),
        "debian-archive-keyring",
        "verifies kernel packages",
    ),
];

const fn need(group: Group, probe: Probe, package: &'static str, why: &'static str) -> Need {
    Need {
        group,
        probe,
        package,
        why,
    }
}

const fn test(program: &'static str, package: &'static str, why: &'static str) -> Need {
    need(Group::Test, Probe::Program(program), package, why)
}

/// Every dynamic executable names its loader: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-musl-…`.
fn is_static(file: &Path) -> bool {
    fs::read(file).is_ok_and(|bytes| {
        let names_loader = |window: &[u8]| window == b"/ld-linux" || window == b"/ld-musl-";
        !bytes.windows(9).any(names_loader)
    })
}
