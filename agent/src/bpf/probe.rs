//! Is this host fit for the kernel side? Each thing that is missing has one sentence with the fix.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, CGROUP2_SUPER_MAGIC, statfs},
};

use super::KernelError;

/// Oldest kernel on which the programs are tested.
pub const MIN_KERNEL: (u32, u32) = (5, 10);

/// What was found.
#[derive(Clone, Debug)]
pub struct Host {
    /// `uname -r`.
    pub kernel: String,
    /// Where cgroup v2 is mounted.
    pub cgroup_root: PathBuf,
}

/// Checks kernel, capabilities and cgroup v2.
///
/// # Errors
///
/// The first thing that is missing, with what to do about it.
pub fn check() -> Result<Host, KernelError> {
    let kernel = release()?;
    check_kernel(&kernel)?;
    check_capabilities()?;
    Ok(Host {
        kernel,
        cgroup_root: cgroup_root()?,
    })
}

fn release() -> Result<String, KernelError> {
    let path = Path::new("/proc/sys/kernel/osrelease");
    let release = fs::read_to_string(path).map_err(|source| KernelError::io(path, source))?;
    Ok(release.trim().to_owned())
}

/// Major and minor number of the running kernel; zeroes if they cannot be read.
pub(super) fn version() -> (u32, u32) {
    release().map_or((0, 0), |release| numbers(&release))
}

fn numbers(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn check_kernel(release: &str) -> Result<(), KernelError> {
    if numbers(release) >= MIN_KERNEL {
        return Ok(());
    }
    let (major, minor) = MIN_KERNEL;
    unsuitable(format!(
        "kernel {release} is too old: weir needs Linux {major}.{minor} or newer"
    ))
}

/// The capabilities that loading and attaching need, by bit number.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
const CAP_SYS_ADMIN: u32 = 21;

fn check_capabilities() -> Result<(), KernelError> {
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|source| KernelError::io(Path::new("/proc/self/status"), source))?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    match missing_capabilities(effective).as_slice() {
        [] => Ok(()),
        missing => unsuitable(format!(
            "missing {}: run weir as root, or give the service these capabilities",
            missing.join(", ")
        )),
    }
}

fn missing_capabilities(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    NEEDED
        .into_iter()
        .filter(|(bit, _)| !has(*bit) && (*bit == 12 || !has(CAP_SYS_ADMIN)))
        .map(|(_, name)| name)
        .collect()
}

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` on hybrid hosts.
///
/// # Errors
///
/// When it is not mounted.
pub fn cgroup_root() -> Result<PathBuf, KernelError> {
    let path = Path::new("/proc/self/mountinfo");
    let mounts = fs::read_to_string(path).map_err(|source| KernelError::io(path, source))?;
    match cgroup2_mount(&mounts) {
        Some(root) => Ok(root),
        None => unsuitable(
            "cgroup v2 is not mounted: run `mount -t cgroup2 none /sys/fs/cgroup`, or boot with \
             `systemd.unified_cgroup_hierarchy=1`"
                .to_owned(),
        ),
    }
}

/// The mount of the whole hierarchy in `/proc/self/mountinfo`.
fn cgroup2_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, mount_point) = (fields.next()?, fields.next()?);
        (rest.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(mount_point))
    })
}

/// Refuses a directory that is not a cgroup v2 directory.
///
/// # Errors
///
/// When `path` does not exist or lies elsewhere.
pub fn check_cgroup(path: &Path) -> Result<(), KernelError> {
    let found = statfs(path).map_err(|errno| KernelError::io(path, errno.into()))?;
    if found.filesystem_type() == CGROUP2_SUPER_MAGIC {
        return Ok(());
    }
    unsuitable(format!(
        "`{}` is not a cgroup v2 directory: give one below the mount that `mount -t cgroup2` shows",
        path.display()
    ))
}

/// Makes sure that `pin_dir` exists on a bpffs; mounts one at `/sys/fs/bpf` if there is none.
/// True if it was mounted now.
///
/// # Errors
///
/// When the directory lies on another file system or cannot be made.
pub fn prepare_pin_dir(pin_dir: &Path) -> Result<bool, KernelError> {
    const BPFFS: &str = "/sys/fs/bpf";
    let mut mounted = false;
    if pin_dir.starts_with(BPFFS) && !is_bpffs(Path::new(BPFFS))? {
        mount(
            Some("bpf"),
            BPFFS,
            Some("bpf"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            Some("mode=700"),
        )
        .map_err(|errno| {
            KernelError::Unsuitable(format!(
                "mount the BPF file system: {errno}; run `mount -t bpf bpf {BPFFS}`"
            ))
        })?;
        mounted = true;
    }
    match fs::create_dir_all(pin_dir) {
        Ok(()) => {}
        // bpffs refuses names with a dot in this way.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return unsuitable(format!(
                "cannot make `{}` (a BPF file system allows no `.` in names): {error}",
                pin_dir.display()
            ));
        }
        Err(error) => return Err(KernelError::io(pin_dir, error)),
    }
    if is_bpffs(pin_dir)? {
        return Ok(mounted);
    }
    unsuitable(format!(
        "`{}` is not on a BPF file system: choose a directory below {BPFFS}",
        pin_dir.display()
    ))
}

fn is_bpffs(path: &Path) -> Result<bool, KernelError> {
    let found = statfs(path).map_err(|errno| KernelError::io(path, errno.into()))?;
    Ok(found.filesystem_type() == BPF_FS_MAGIC)
}

fn unsuitable<T>(message: String) -> Result<T, KernelError> {
    Err(KernelError::Unsuitable(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_refused_with_both_versions() {
        assert!(check_kernel("6.18.44-fc").is_ok());
        assert!(check_kernel("5.10.0-46-cloud-amd64").is_ok());
        let error = check_kernel("4.19.0-27-amd64").expect_err("too old");
        assert_eq!(
            error.to_string(),
            "kernel 4.19.0-27-amd64 is too old: weir needs Linux 5.10 or newer"
        );
    }

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(
            missing_capabilities(0),
            ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"]
        );
        assert_eq!(missing_capabilities(1 << 12 | 1 << 38 | 1 << 39), [""; 0]);
        assert_eq!(missing_capabilities(1 << CAP_SYS_ADMIN), ["CAP_NET_ADMIN"]);
    }

    #[test]
    fn cgroup_v2_is_found_on_unified_and_hybrid_hosts() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount(unified), Some("/sys/fs/cgroup".into()));
        let hybrid = "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let part = "41 30 0:37 /machine /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount(part), None, "only part of the hierarchy");
    }
}
