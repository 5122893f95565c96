//! Where the running kernel keeps the structure members that the programs read.
//!
//! Rust emits no CO-RE relocations, so the offsets are looked up in the kernel's own type
//! information and handed to the programs as constants. Nothing else of BTF is read here.

use std::{collections::HashMap, fs, io, path::Path};

use agent_common::settings::Offsets;
use thiserror::Error;

use super::probe;

/// Where the kernel publishes its types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// Since then every hook may ask for the calling task by its type, and follow what it points to.
const TYPED_SINCE: (u32, u32) = (6, 1);

#[derive(Debug, Error)]
pub enum BtfError {
    #[error(
        "read kernel type information at `{path}`: it needs a kernel with CONFIG_DEBUG_INFO_BTF"
    )]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("kernel type information is malformed at byte {at}")]
    Malformed { at: usize },
    #[error("this kernel has no `{structure}.{member}`")]
    Missing {
        structure: &'static str,
        member: &'static str,
    },
}

/// What the programs need to know of the running kernel. Offsets of what is missing are 0.
pub struct KernelTypes {
    pub offsets: Offsets,
    /// Why connections that end cannot be read.
    pub sockets: Result<(), BtfError>,
    /// Why cgroups that come and go cannot be read.
    pub cgroups: Result<(), BtfError>,
    /// Why processes cannot be read.
    pub processes: Result<(), BtfError>,
}

/// Reads all offsets that the hooks need.
///
/// # Errors
///
/// When the kernel has no type information.
pub fn kernel_types() -> Result<KernelTypes, BtfError> {
    let mut types = types(&Btf::read(Path::new(KERNEL_BTF))?);
    // Members of both are followed.
    let are_known = types.sockets.is_ok() && types.processes.is_ok();
    let is_typed = are_known && probe::version() >= TYPED_SINCE;
    types.offsets.is_typed = u32::from(is_typed);
    Ok(types)
}

fn types(btf: &Btf) -> KernelTypes {
    let mut offsets = Offsets::ZERO;
    KernelTypes {
        sockets: socket_offsets(btf, &mut offsets),
        cgroups: cgroup_offsets(btf, &mut offsets),
        processes: process_offsets(btf, &mut offsets),
        offsets,
    }
}

fn socket_offsets(btf: &Btf, offsets: &mut Offsets) -> Result<(), BtfError> {
    let flags = btf.offset("skb_shared_info", "flags");
    let is_old = flags.is_err();
    let flags = flags.or_else(|_| btf.offset("skb_shared_info", "tx_flags"));
    // Before 5.15 a number in which the pointer is hidden.
    let cgroup = btf.offset("sock", "sk_cgrp_data.cgroup");
    let cgroup = cgroup.or_else(|_| btf.offset("sock", "sk_cgrp_data.val"));
    *offsets = Offsets {
        sock_cookie: btf.offset("sock", "__sk_common.skc_cookie")?,
        sock_cgroup: cgroup?,
        sock_family: btf.offset("sock", "__sk_common.skc_family")?,
        sock_daddr: btf.offset("sock", "__sk_common.skc_daddr")?,
        sock_v6_daddr: btf.offset("sock", "__sk_common.skc_v6_daddr")?,
        sock_dport: btf.offset("sock", "__sk_common.skc_dport")?,
        sock_flags: btf.offset("sock", "__sk_common.skc_flags")?,
        sock_protocol: btf.offset("sock", "sk_protocol")?,
        sock_rcv_saddr: btf.offset("sock", "__sk_common.skc_rcv_saddr")?,
        sock_v6_rcv_saddr: btf.offset("sock", "__sk_common.skc_v6_rcv_saddr")?,
        sock_num: btf.offset("sock", "__sk_common.skc_num")?,
        sock_bound_if: btf.offset("sock", "__sk_common.skc_bound_dev_if")?,
        socket_sk: btf.offset("socket", "sk")?,
        tcp_bytes_acked: btf.offset("tcp_sock", "bytes_acked")?,
        tcp_bytes_received: btf.offset("tcp_sock", "bytes_received")?,
        tcp_snd_una: btf.offset("tcp_sock", "snd_una")?,
        tcp_write_seq: btf.offset("tcp_sock", "write_seq")?,
        cgroup_kn: btf.offset("cgroup", "kn")?,
        kernfs_node_id: btf.offset("kernfs_node", "id")?,
        sock_net: btf.offset("sock", "__sk_common.skc_net.net")?,
        net_inum: btf.offset("net", "ns.inum")?,
        skb_head: btf.offset("sk_buff", "head")?,
        skb_end: btf.offset("sk_buff", "end")?,
        shared_info_flags: flags?,
        shared_info_is_old: u32::from(is_old),
        task_flags: btf.offset("task_struct", "flags")?,
        task_cgroups: btf.offset("task_struct", "cgroups")?,
        task_cred: btf.offset("task_struct", "cred")?,
        cred_user: btf.offset("cred", "uid")?,
        css_set_cgroup: btf.offset("css_set", "dfl_cgrp")?,
        ..*offsets
    };
    Ok(())
}

fn cgroup_offsets(btf: &Btf, offsets: &mut Offsets) -> Result<(), BtfError> {
    *offsets = Offsets {
        cgroup_self: btf.offset("cgroup", "self")?,
        cgroup_parent: btf.offset("cgroup_subsys_state", "parent")?,
        cgroup_root: btf.offset("cgroup", "root")?,
        root_hierarchy: btf.offset("cgroup_root", "hierarchy_id")?,
        ..*offsets
    };
    Ok(())
}

fn process_offsets(btf: &Btf, offsets: &mut Offsets) -> Result<(), BtfError> {
    // Three ways to keep an inode's change time: since 6.11, 6.6 and ever.
    let any = |structure, members: [&'static str; 3]| {
        let [new, middle, old] = members;
        btf.offset(structure, new)
            .or_else(|_| btf.offset(structure, middle))
            .or_else(|_| btf.offset(structure, old))
    };
    let seconds = ["i_ctime_sec", "__i_ctime.tv_sec", "i_ctime.tv_sec"];
    let nanoseconds = ["i_ctime_nsec", "__i_ctime.tv_nsec", "i_ctime.tv_nsec"];
    *offsets = Offsets {
        task_tgid: btf.offset("task_struct", "tgid")?,
        task_start: btf.offset("task_struct", "start_boottime")?,
        task_parent: btf.offset("task_struct", "real_parent")?,
        task_signal: btf.offset("task_struct", "signal")?,
        task_mm: btf.offset("task_struct", "mm")?,
        signal_live: btf.offset("signal_struct", "live")?,
        mm_arg_start: btf.offset("mm_struct", "arg_start")?,
        mm_arg_end: btf.offset("mm_struct", "arg_end")?,
        binary_file: btf.offset("linux_binprm", "file")?,
        binary_filename: btf.offset("linux_binprm", "filename")?,
        binary_interpreter: btf.offset("linux_binprm", "interp")?,
        file_inode: btf.offset("file", "f_inode")?,
        file_dentry: btf.offset("file", "f_path.dentry")?,
        file_mount: btf.offset("file", "f_path.mnt")?,
        inode_number: btf.offset("inode", "i_ino")?,
        inode_super: btf.offset("inode", "i_sb")?,
        inode_generation: btf.offset("inode", "i_generation")?,
        inode_changed_s: any("inode", seconds)?,
        inode_changed_ns: any("inode", nanoseconds)?,
        super_device: btf.offset("super_block", "s_dev")?,
        dentry_parent: btf.offset("dentry", "d_parent")?,
        dentry_name: btf.offset("dentry", "d_name.name")?,
        mount_parent: btf.offset("mount", "mnt_parent")?,
        mount_point: btf.offset("mount", "mnt_mountpoint")?,
        mount_own: btf.offset("mount", "mnt")?,
        mount_root: btf.offset("vfsmount", "mnt_root")?,
        ..*offsets
    };
    Ok(())
}

/// The kernel's types: raw bytes, and where each type record starts.
struct Btf {
    types: Vec<u8>,
    strings: Vec<u8>,
    records: Vec<u32>,
    structures: HashMap<String, u32>,
}

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const RECORD_HEAD: usize = 12;

impl Btf {
    fn read(path: &Path) -> Result<Self, BtfError> {
        let bytes = fs::read(path).map_err(|source| BtfError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, BtfError> {
        let header = word(bytes, 4)? as usize;
        let section = |offset: usize, length: usize| {
            let start = header + word(bytes, offset)? as usize;
            let end = start + word(bytes, length)? as usize;
            bytes
                .get(start..end)
                .ok_or(BtfError::Malformed { at: start })
        };
        let mut btf = Self {
            types: section(8, 12)?.to_vec(),
            strings: section(16, 20)?.to_vec(),
            // Type 0 is `void`, which has no record.
            records: vec![u32::MAX],
            structures: HashMap::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            let id = btf.records.len() as u32;
            btf.records.push(at as u32);
            let info = word(&btf.types, at + 4)?;
            if kind(info) == KIND_STRUCT {
                let name = btf.name(word(&btf.types, at)?)?.to_owned();
                btf.structures.entry(name).or_insert(id);
            }
            at += RECORD_HEAD + body_length(info);
        }
        Ok(btf)
    }

    /// Byte offset of a dotted path of members such as `sk_cgrp_data.cgroup`.
    fn offset(&self, structure: &'static str, member: &'static str) -> Result<u32, BtfError> {
        let missing = BtfError::Missing { structure, member };
        let Some(mut id) = self.structures.get(structure).copied() else {
            return Err(missing);
        };
        let mut bits = 0;
        for part in member.split('.') {
            match self.member(id, part)? {
                Some((offset, member_type)) => {
                    bits += offset;
                    id = member_type;
                }
                None => return Err(missing),
            }
        }
        Ok(bits / 8)
    }

    /// Bit offset and type of a member, also inside anonymous structures and unions.
    fn member(&self, id: u32, wanted: &str) -> Result<Option<(u32, u32)>, BtfError> {
        let at = self.record(self.without_qualifiers(id)?)?;
        let info = word(&self.types, at + 4)?;
        if !matches!(kind(info), KIND_STRUCT | KIND_UNION) {
            return Ok(None);
        }
        let packs_bitfields = info >> 31 == 1;
        for index in 0..members(info) {
            let entry = at + RECORD_HEAD + 12 * index;
            let name = word(&self.types, entry)?;
            let member_type = word(&self.types, entry + 4)?;
            let raw = word(&self.types, entry + 8)?;
            let offset = if packs_bitfields {
                raw & 0x00ff_ffff
            } else {
                raw
            };
            if name == 0 {
                if let Some((inner, inner_type)) = self.member(member_type, wanted)? {
                    return Ok(Some((offset + inner, inner_type)));
                }
            } else if self.name(name)? == wanted {
                return Ok(Some((offset, member_type)));
            }
        }
        Ok(None)
    }

    /// Skips typedef, volatile, const, restrict and type tags.
    fn without_qualifiers(&self, mut id: u32) -> Result<u32, BtfError> {
        loop {
            let at = self.record(id)?;
            match kind(word(&self.types, at + 4)?) {
                8..=11 | 18 => id = word(&self.types, at + 8)?,
                _ => return Ok(id),
            }
        }
    }

    fn record(&self, id: u32) -> Result<usize, BtfError> {
        let at = self.records.get(id as usize).copied();
        at.filter(|at| *at != u32::MAX)
            .map(|at| at as usize)
            .ok_or(BtfError::Malformed { at: id as usize })
    }

    fn name(&self, offset: u32) -> Result<&str, BtfError> {
        let malformed = BtfError::Malformed {
            at: offset as usize,
        };
        let Some(rest) = self.strings.get(offset as usize..) else {
            return Err(malformed);
        };
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(rest.get(..end).unwrap_or_default()).map_err(|_| malformed)
    }
}

fn kind(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

fn members(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// Bytes that follow a record's head, by kind (see `include/uapi/linux/btf.h`).
fn body_length(info: u32) -> usize {
    let members = members(info);
    match kind(info) {
        // Integers, variables and declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, data sections and 64-bit enumerations.
        KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * members,
        // Enumerations and function prototypes.
        6 | 13 => 8 * members,
        _ => 0,
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or(BtfError::Malformed { at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_every_member_in_a_plausible_place() {
        let Ok(btf) = Btf::read(Path::new(KERNEL_BTF)) else {
            println!("SKIP the kernel publishes no type information");
            return;
        };
        let types = types(&btf);
        types.sockets.expect("all members of sockets");
        types.cgroups.expect("all members of cgroups");
        types.processes.expect("all members of processes");
        let offsets = types.offsets;
        // Fixed by `struct sock_common`, which has started like this since 3.x.
        assert_eq!(offsets.sock_daddr, 0);
        assert_eq!(offsets.sock_dport, 12);
        assert_eq!(offsets.sock_family, 16);
        assert_ne!(offsets.tcp_bytes_acked, offsets.tcp_bytes_received);
        assert!(
            offsets.tcp_snd_una > offsets.sock_protocol,
            "tcp_sock embeds sock"
        );
    }

    #[test]
    fn a_missing_member_is_named() {
        let Ok(btf) = Btf::read(Path::new(KERNEL_BTF)) else {
            println!("SKIP the kernel publishes no type information");
            return;
        };
        let error = btf.offset("sock", "no_such_member").expect_err("missing");
        assert_eq!(
            error.to_string(),
            "this kernel has no `sock.no_such_member`"
        );
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        assert!(matches!(
            Btf::parse(&[0x9f, 0xeb, 1, 0, 24]),
            Err(BtfError::Malformed { at: 4 })
        ));
    }
}
