//! Processes as the kernel programs remember them from fork to exit.
//!
//! By the time that anybody asks, a short-lived process is gone from `/proc`, and what `/proc` says
//! of a living one, its owner may have changed. What is kept here was read at fork and exec.

use crate::{abi::layout, identity::IdentityId, settings::Slot};

/// An executable file: the same for every name and hard link, another for every copy.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExeKey {
    pub inode: u64,
    /// Device of the file system as the kernel counts it: `major << 20 | minor`.
    pub device: u32,
    /// Tells it from a file that has had the number of its inode before, or has it in another subvolume;
    /// [`ExeKey::ANY_GENERATION`] where the file system keeps that for itself.
    pub generation: u32,
}

layout!(ExeKey, size = 16, align = 8);

impl ExeKey {
    /// No executable is known.
    pub const NONE: Self = Self {
        inode: 0,
        device: 0,
        generation: Self::ANY_GENERATION,
    };
    pub const ANY_GENERATION: u32 = 0;

    /// As policy names it where the file system does not tell generations.
    #[inline(always)]
    #[must_use]
    pub const fn of_any_generation(&self) -> Self {
        Self {
            generation: Self::ANY_GENERATION,
            ..*self
        }
    }

    #[inline(always)]
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.inode == 0
    }
}

/// Bytes of a command name, with the zero at its end.
pub const COMM_LEN: usize = 16;

/// Value of `PROCESSES`, for living processes, and of `ENDED`, for some that were; keyed by process
/// id as the initial namespace counts it. All zero is valid.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// When it was forked.
    pub start_ns: u64,
    /// When its parent was forked: tells it from another process of that number.
    pub parent_start_ns: u64,
    /// When it last replaced its program; 0 if never.
    pub exec_ns: u64,
    /// When it ended; 0 while it lives.
    pub end_ns: u64,
    /// Its cgroup at the last exec, or at fork.
    pub cgroup: u64,
    pub exe: ExeKey,
    /// What it ran before [`Process::exec_ns`].
    pub former_exe: ExeKey,
    pub parent: u32,
    /// Real user at the last exec, or at fork.
    pub user: u32,
    /// [`Process::SCRIPT`] or 0.
    pub flags: u32,
    pub _pad: u32,
    pub comm: [u8; COMM_LEN],
}

layout!(Process, size = 104, align = 8);

impl Process {
    pub const ZERO: Self = Self {
        start_ns: 0,
        parent_start_ns: 0,
        exec_ns: 0,
        end_ns: 0,
        cgroup: 0,
        exe: ExeKey::NONE,
        former_exe: ExeKey::NONE,
        parent: 0,
        user: 0,
        flags: 0,
        _pad: 0,
        comm: [0; COMM_LEN],
    };

    /// The program is an interpreter, started for the file in `SCRIPTS`.
    pub const SCRIPT: u32 = 1;

    /// What it ran at `at_ns`, as far as one exec back is remembered.
    #[must_use]
    pub const fn exe_at(&self, at_ns: u64) -> ExeKey {
        if at_ns < self.exec_ns {
            self.former_exe
        } else {
            self.exe
        }
    }

    /// Whether it lived at `at_ns`: another process of its number is another process.
    #[must_use]
    pub const fn lived_at(&self, at_ns: u64) -> bool {
        self.start_ns <= at_ns && (self.end_ns == 0 || at_ns <= self.end_ns)
    }
}

/// Bytes in which the names of a path are kept.
pub const PATH_LEN: usize = 512;
/// Bytes of one name that are kept, with the zero at its end.
pub const NAME_LEN: usize = 256;

/// Value of `EXES`: where an executable was when it was last started.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExePath {
    /// Change time of the inode, to notice that its number stands for another file, or its name has
    /// changed.
    pub changed_s: u64,
    pub changed_ns: u32,
    /// Bytes of `names` that are used.
    pub len: u32,
    /// 1 if the path is longer than what is kept.
    pub truncated: u32,
    pub _pad: u32,
    /// Names from the file up to the root of its mount tree, each with a zero at its end.
    pub names: [u8; PATH_LEN],
}

layout!(ExePath, size = 24 + PATH_LEN, align = 8);

/// Bytes that are kept of a script's name, and of a process's arguments.
pub const TEXT_LEN: usize = 256;

/// Value of `SCRIPTS` and `ARGUMENTS`, keyed by process id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessText {
    /// [`Process::exec_ns`] of the program that it belongs to.
    pub exec_ns: u64,
    pub len: u32,
    pub _pad: u32,
    pub bytes: [u8; TEXT_LEN],
}

layout!(ProcessText, size = 16 + TEXT_LEN, align = 8);

/// Key of `NARROWED`: an identity, and which of the executables and users that policy names a
/// process of it has. The value is the identity of exactly these processes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NarrowKey {
    identity: IdentityId,
    exe_and_slot: u16,
    user: u16,
}

layout!(NarrowKey, size = 8, align = 4);

/// Largest number that an executable or a user that policy names can have.
pub const MAX_CLASS: u16 = 0x7fff;

impl NarrowKey {
    const SLOT_BIT: u16 = 1 << 15;

    /// `exe` is a value of `EXE_CLASSES`, `user` one of `USER_CLASSES`: up to [`MAX_CLASS`], and 0
    /// for what policy does not name.
    #[inline(always)]
    #[must_use]
    pub const fn new(identity: IdentityId, exe: u16, user: u16, slot: Slot) -> Self {
        let slot = match slot {
            Slot::A => 0,
            Slot::B => Self::SLOT_BIT,
        };
        Self {
            identity,
            exe_and_slot: exe & MAX_CLASS | slot,
            user,
        }
    }

    #[must_use]
    pub const fn slot(self) -> Slot {
        if self.exe_and_slot & Self::SLOT_BIT == 0 {
            Slot::A
        } else {
            Slot::B
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_what_it_ran_at_that_time() {
        let key = |inode| ExeKey {
            inode,
            ..ExeKey::NONE
        };
        let process = Process {
            start_ns: 10,
            exec_ns: 20,
            end_ns: 30,
            exe: key(2),
            former_exe: key(1),
            ..Process::ZERO
        };
        assert_eq!(process.exe_at(19), key(1));
        assert_eq!(process.exe_at(20), key(2));
        assert!(process.lived_at(10) && process.lived_at(30));
        assert!(!process.lived_at(9) && !process.lived_at(31));
        let living = Process {
            end_ns: 0,
            ..process
        };
        assert!(living.lived_at(u64::MAX));
    }
}
