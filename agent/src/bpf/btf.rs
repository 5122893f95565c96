//! Where the running kernel keeps the structure members that the programs read.
//!
//! Rust emits no CO-RE relocations, so the offsets are looked up in the kernel's own type
//! information and handed to the programs as constants. Nothing else of BTF is read here.

use std::{collections::HashMap, fs, io, path::Path};

use agent_common::settings::Offsets;
use thiserror::Error;

/// Where the kernel publishes its types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

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

/// Reads all offsets that the close hook needs.
///
/// # Errors
///
/// When the kernel has no type information or lacks one of the members: the close hook then
/// cannot be used, everything else can.
pub fn kernel_offsets() -> Result<Offsets, BtfError> {
    offsets(&Btf::read(Path::new(KERNEL_BTF))?)
}

fn offsets(btf: &Btf) -> Result<Offsets, BtfError> {
    let flags = btf.offset("skb_shared_info", "flags");
    let is_old = flags.is_err();
    let flags = flags.or_else(|_| btf.offset("skb_shared_info", "tx_flags"));
    Ok(Offsets {
        sock_cookie: btf.offset("sock", "__sk_common.skc_cookie")?,
        sock_cgroup: btf.offset("sock", "sk_cgrp_data.cgroup")?,
        sock_family: btf.offset("sock", "__sk_common.skc_family")?,
        sock_daddr: btf.offset("sock", "__sk_common.skc_daddr")?,
        sock_v6_daddr: btf.offset("sock", "__sk_common.skc_v6_daddr")?,
        sock_dport: btf.offset("sock", "__sk_common.skc_dport")?,
        sock_flags: btf.offset("sock", "__sk_common.skc_flags")?,
        sock_protocol: btf.offset("sock", "sk_protocol")?,
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
    })
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
        let offsets = offsets(&btf).expect("all members");
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
