//! Cgroups that come and go, as the kernel programs tell of them.

use crate::abi::layout;

/// Longest path that is kept, with the zero at its end. Longer ones are told without.
pub const PATH_LEN: usize = 256;

/// Path of a cgroup below the root of the hierarchy, filled up with zeros: the key of `PATHS`,
/// whose value is the identity that a cgroup of that path has had.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupPath(pub [u8; PATH_LEN]);

layout!(CgroupPath, size = PATH_LEN, align = 8);

impl CgroupPath {
    /// `None` for a path that is too long.
    #[must_use]
    pub fn new(path: &str) -> Option<Self> {
        let mut bytes = [0; PATH_LEN];
        let place = bytes.get_mut(..path.len())?;
        if path.len() == PATH_LEN {
            return None;
        }
        place.copy_from_slice(path.as_bytes());
        Some(Self(bytes))
    }

    /// `None` if the path is not UTF-8 or was too long to be told.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        let len = self.0.iter().position(|byte| *byte == 0)?;
        core::str::from_utf8(self.0.get(..len)?).ok()
    }
}

/// Record in `CGROUPS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupRecord {
    pub cgroup: u64,
    pub at_ns: u64,
    /// [`CgroupRecord::MADE`] or [`CgroupRecord::REMOVED`].
    pub kind: u32,
    pub _pad: u32,
    /// Without a zero if it is too long.
    pub path: CgroupPath,
}

layout!(CgroupRecord, size = 24 + PATH_LEN, align = 8);

impl CgroupRecord {
    pub const MADE: u32 = 1;
    pub const REMOVED: u32 = 2;

    /// Reads a record from the bytes of a ring entry.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<Self>() {
            return None;
        }
        // SAFETY: the length was checked, every bit pattern is a valid record, and the read does not
        // require alignment.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_the_map_unless_it_is_too_long() {
        let path = CgroupPath::new("/system.slice/a.service").expect("short");
        assert_eq!(path.as_str(), Some("/system.slice/a.service"));
        let longest = "x".repeat(PATH_LEN - 1);
        let path = CgroupPath::new(&longest).expect("just fits");
        assert_eq!(path.as_str(), Some(longest.as_str()));
        assert_eq!(CgroupPath::new(&"x".repeat(PATH_LEN)), None);
        assert_eq!(CgroupPath::new(&"x".repeat(PATH_LEN + 1)), None);
        assert_eq!(CgroupPath([b'x'; PATH_LEN]).as_str(), None);
    }
}
