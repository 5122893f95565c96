//! A netlink socket for each network namespace in which sockets were ended: the agent's own, and
//! those of containers by the inode of `/proc/PID/ns/net`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use nix::libc;

use super::{
    DestroyError, Destroyed, Flow,
    diag::{Answer, DiagSocket},
};
use crate::host::net_namespace;

/// An open netlink socket keeps its network namespace alive, and with it the interfaces of a
/// container that has ended.
const IDLE: Duration = Duration::from_secs(30);

/// Bounds descriptors, whatever workloads do: the namespace unused for longest makes room.
const MAX_FOREIGN: usize = 256;

#[derive(Default)]
pub(super) struct Namespaces {
    own: Option<Own>,
    foreign: BTreeMap<Inode, Foreign>,
}

/// Names a network namespace as long as something keeps it alive.
type Inode = u64;

struct Own {
    inode: Inode,
    socket: DiagSocket,
}

struct Foreign {
    socket: DiagSocket,
    last_used: Instant,
}

impl Namespaces {
    /// Ends the socket of `flow` in the first network namespace that knows it.
    ///
    /// # Errors
    ///
    /// The first that occurred, if the socket was not found in any other namespace either.
    pub(super) fn destroy(&mut self, flow: &Flow) -> Result<Destroyed, DestroyError> {
        let own = self.own()?;
        let own_inode = own.inode;
        let mut problem = match ask(&mut own.socket, flow) {
            Ok(Destroyed::Gone) => None,
            Ok(destroyed) => return Ok(destroyed),
            Err(error) => Some(error),
        };
        let home = match self.home(flow.pid, own_inode) {
            Ok(home) => home,
            Err(error) => {
                problem.get_or_insert(error);
                None
            }
        };
        let others = self
            .foreign
            .iter_mut()
            .filter(|(inode, _)| Some(**inode) != home);
        let others: Vec<Inode> = others.map(|(inode, _)| *inode).collect();
        for inode in home.into_iter().chain(others) {
            let Some(foreign) = self.foreign.get_mut(&inode) else {
                continue;
            };
            match ask(&mut foreign.socket, flow) {
                Ok(Destroyed::Gone) => {}
                Ok(destroyed) => {
                    foreign.last_used = Instant::now();
                    return Ok(destroyed);
                }
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        }
        problem.map_or(Ok(Destroyed::Gone), Err)
    }

    pub(super) fn forget_idle(&mut self, now: Instant) {
        self.foreign
            .retain(|_, foreign| now.saturating_duration_since(foreign.last_used) < IDLE);
    }

    #[cfg(test)]
    pub(super) fn n_foreign(&self) -> usize {
        self.foreign.len()
    }

    fn own(&mut self) -> Result<&mut Own, DestroyError> {
        let own = match self.own.take() {
            Some(own) => own,
            None => Own {
                inode: net_namespace::own().map_err(|source| DestroyError::Open { source })?,
                socket: DiagSocket::open()?,
            },
        };
        Ok(self.own.insert(own))
    }

    /// The network namespace of a process, ready to be asked; `None` if it is the agent's own, or
    /// the process is gone.
    fn home(&mut self, pid: u32, own: Inode) -> Result<Option<Inode>, DestroyError> {
        let path = format!("/proc/{pid}/ns/net");
        let failed = |source| DestroyError::Namespace { pid, source };
        let inode = match fs::metadata(&path) {
            Ok(metadata) => metadata.ino(),
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if inode == own {
            return Ok(None);
        }
        if self.foreign.contains_key(&inode) {
            return Ok(Some(inode));
        }
        let namespace = match File::open(&path) {
            Ok(namespace) => namespace,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // The process may have moved on since: the file that is entered says where to.
        let inode = namespace.metadata().map_err(failed)?.ino();
        let foreign = Foreign {
            socket: open_in(&namespace, pid)?,
            last_used: Instant::now(),
        };
        self.make_room();
        self.foreign.insert(inode, foreign);
        Ok(Some(inode))
    }

    fn make_room(&mut self) {
        if self.foreign.len() < MAX_FOREIGN {
            return;
        }
        let oldest = self
            .foreign
            .iter()
            .min_by_key(|(_, foreign)| foreign.last_used);
        if let Some(inode) = oldest.map(|(inode, _)| *inode) {
            self.foreign.remove(&inode);
        }
    }
}

/// A process that has ended but was not waited for has no namespaces either.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// Opens a netlink socket in another network namespace.
fn open_in(namespace: &File, pid: u32) -> Result<DiagSocket, DestroyError> {
    net_namespace::visit(namespace, DiagSocket::open)
        .map_err(|source| DestroyError::Namespace { pid, source })?
}

fn ask(socket: &mut DiagSocket, flow: &Flow) -> Result<Destroyed, DestroyError> {
    Ok(match socket.destroy(flow)? {
        Answer::Done => Destroyed::Done,
        // The way was tried out, so what is not supported is the state: the socket has ended.
        Answer::NotFound | Answer::NotSupported => Destroyed::Gone,
    })
}
