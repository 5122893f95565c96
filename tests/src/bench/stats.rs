//! What the kernel says about programs: which are attached, how often and how long they ran.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_info, bpf_stats_type};

/// Which packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ingress,
    Egress,
}

/// The kernel measures its programs for as long as this lives. Its clock costs some 30 ns a run, of
/// which a part is in the result.
pub struct Measuring {
    _switch: OwnedFd,
}

impl Measuring {
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn start() -> io::Result<Self> {
        let mut attr = zeroed();
        attr.enable_stats.type_ = bpf_stats_type::BPF_STATS_RUN_TIME as u32;
        let switch = open(bpf_cmd::BPF_ENABLE_STATS, &mut attr)?;
        Ok(Self { _switch: switch })
    }
}

/// Runs of one program so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs {
    pub count: u64,
    pub ns: u64,
}

impl Runs {
    /// Of the program with this id.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn of(id: u32) -> io::Result<Self> {
        let info = info(id)?;
        Ok(Self {
            count: info.run_cnt,
            ns: info.run_time_ns,
        })
    }

    /// Name of that program, of which the kernel keeps 15 characters.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn name_of(id: u32) -> io::Result<String> {
        let name = info(id)?.name;
        let name = name.iter().take_while(|character| **character != 0);
        Ok(name.map(|character| *character as u8 as char).collect())
    }

    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            ns: self.ns - before.ns,
        }
    }

    /// Mean time of one run in ns.
    #[must_use]
    pub fn mean_ns(self) -> f64 {
        self.ns as f64 / self.count.max(1) as f64
    }
}

fn info(id: u32) -> io::Result<bpf_prog_info> {
    let mut attr = zeroed();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    let program = open(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr)?;
    // SAFETY: an all-zero `bpf_prog_info` is valid: integers only.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut attr = zeroed();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = (&raw mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Ids of the programs that are attached at this very cgroup.
///
/// # Errors
///
/// When the kernel refuses, or there are more than a few.
pub fn attached(cgroup: &File, direction: Direction) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; 16];
    let mut attr = zeroed();
    attr.query.__bindgen_anon_1.target_fd = cgroup.as_raw_fd() as u32;
    attr.query.attach_type = match direction {
        Direction::Ingress => bpf_attach_type::BPF_CGROUP_INET_INGRESS,
        Direction::Egress => bpf_attach_type::BPF_CGROUP_INET_EGRESS,
    } as u32;
    attr.query.prog_ids = ids.as_mut_ptr() as u64;
    attr.query.__bindgen_anon_2.prog_cnt = ids.len() as u32;
    bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr)?;
    // SAFETY: the kernel has filled this member.
    let count = unsafe { attr.query.__bindgen_anon_2.prog_cnt } as usize;
    Ok(ids[..count.min(ids.len())].to_vec())
}

fn zeroed() -> bpf_attr {
    // SAFETY: an all-zero `bpf_attr` is valid: a union of integer-only structures.
    unsafe { std::mem::zeroed() }
}

fn open(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just handed this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_int> {
    // SAFETY: `attr` is a valid, fully initialised argument of the size that is given, and what it
    // points to outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as libc::c_int)
}
