//! Puts loaded programs in force: adopts pinned links, replaces their programs, or makes new ones.
//!
//! Links are pinned, so a killed agent changes nothing. An update never leaves a gap: the kernel
//! swaps the program of a link, and where it cannot, the new link exists before the old one goes.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use agent_common::{
    abi::{map, program},
    settings::{CloseSource, config},
};
use aya::programs::{
    BtfTracePoint, CgroupAttachMode, CgroupSockAddr, ProgramError, ProgramFd, SockOps,
    links::{FdLink, PinnedLink},
};

mod packets;
mod sockets;
mod workloads;

use super::{
    KernelError, close_source_name,
    load::{
        CALL_HOOKS, DECISION_HOOKS, Loaded, NAME_HOOKS, OPTIONAL_HOOKS, WORKLOAD_HOOKS, map_dir,
        typed,
    },
    sys,
};

/// How one hook came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    Created,
    /// A link left by an earlier agent now runs this agent's program.
    Adopted,
}

/// One hook, for `weir status`.
#[derive(Clone, Debug)]
pub struct Coverage {
    pub program: &'static str,
    pub attachment: Result<Attachment, String>,
    pub purpose: &'static str,
}

/// Programs in force. Dropping it detaches nothing: the pins keep them.
pub struct Attached {
    pub coverage: Vec<Coverage>,
    _links: Vec<PinnedLink>,
}

impl Attached {
    /// Whether `program` is in force.
    #[must_use]
    pub fn covers(&self, program: &str) -> bool {
        let mut hooks = self.coverage.iter();
        hooks.any(|hook| hook.program == program && hook.attachment.is_ok())
    }

    /// Nothing yet.
    #[must_use]
    pub fn none() -> Self {
        Self {
            coverage: Vec::new(),
            _links: Vec::new(),
        }
    }
}

impl Loaded {
    /// Attaches everything that was loaded. The policy maps must be filled by now.
    ///
    /// # Errors
    ///
    /// When a decision hook cannot be attached. A close hook that cannot be is a coverage gap.
    pub fn attach(&mut self) -> Result<Attached, KernelError> {
        let cgroup_path = self.options.cgroup.clone();
        let cgroup =
            File::open(&cgroup_path).map_err(|source| KernelError::io(&cgroup_path, source))?;
        let mut coverage = Vec::new();
        let mut links = Vec::new();
        // What marks sockets comes after what looks at the marked ones.
        let place = (&cgroup, cgroup_path.as_path());
        self.attach_packet_hooks(place, &mut coverage, &mut links)?;
        for hook in DECISION_HOOKS {
            let site = Site::new(hook, &self.options.pin_dir, place);
            let program: &mut CgroupSockAddr = typed(&mut self.ebpf, hook)?;
            let fd = site.apart(program.fd())?;
            let attachment = site.put(fd.as_fd(), || {
                let id = program.attach(&cgroup, CgroupAttachMode::Single)?;
                program.take_link(id)?.try_into().map_err(Into::into)
            })?;
            links.extend(attachment.1);
            coverage.push(Coverage {
                program: hook,
                attachment: Ok(attachment.0),
                purpose: "decide before the connection is made or the datagram is sent",
            });
        }
        self.attach_sock_create(place, &mut coverage, &mut links)?;
        self.remove_unused_packet_hooks()?;
        let close = self.attach_close(&cgroup, &cgroup_path, &mut links);
        coverage.push(Coverage {
            program: close_source_name(self.close_source),
            attachment: close.map_err(|error| crate::error_chain(&error)),
            purpose: "bytes of TCP connections that end",
        });
        self.attach_workload_hooks(&mut coverage, &mut links)?;
        Ok(Attached {
            coverage,
            _links: links,
        })
    }

    fn attach_close(
        &mut self,
        cgroup: &File,
        cgroup_path: &Path,
        links: &mut Vec<PinnedLink>,
    ) -> Result<Attachment, KernelError> {
        let tracepoint_pin = link_pin(&self.options.pin_dir, program::SOCK_STATE);
        let sock_ops_pin = link_pin(&self.options.pin_dir, program::SOCK_OPS);
        match self.close_source {
            CloseSource::None => Ok(Attachment::Created),
            CloseSource::SockState => {
                let attached = self.attach_tracepoint(&tracepoint_pin, cgroup_path, links)?;
                remove_pin(&sock_ops_pin)?;
                Ok(attached)
            }
            CloseSource::SockOps => {
                let place = (cgroup, cgroup_path);
                let site = Site::new(program::SOCK_OPS, &self.options.pin_dir, place);
                let program: &mut SockOps = typed(&mut self.ebpf, program::SOCK_OPS)?;
                let fd = site.apart(program.fd())?;
                let (attachment, link) = site.put(fd.as_fd(), || {
                    let id = program.attach(cgroup, CgroupAttachMode::Single)?;
                    program.take_link(id)?.try_into().map_err(Into::into)
                })?;
                links.extend(link);
                remove_pin(&tracepoint_pin)?;
                Ok(attachment)
            }
        }
    }

    /// The new hook is attached but silent until `CONFIG` names it; then the old one is silent.
    fn attach_tracepoint(
        &mut self,
        pin: &Path,
        cgroup_path: &Path,
        links: &mut Vec<PinnedLink>,
    ) -> Result<Attachment, KernelError> {
        let hook = program::SOCK_STATE;
        let program: &mut BtfTracePoint = typed(&mut self.ebpf, hook)?;
        let id = program.attach().map_err(boxed(hook, cgroup_path))?;
        let link = program.take_link(id).map_err(boxed(hook, cgroup_path))?;
        self.config
            .set(config::CLOSE_ID, u64::from(self.close_id), 0)
            .map_err(|source| KernelError::map(map::CONFIG, "write", source))?;
        let attachment = if pin.exists() {
            Attachment::Adopted
        } else {
            Attachment::Created
        };
        remove_pin(pin)?;
        links.push(pin_link(FdLink::from(link), pin)?);
        Ok(attachment)
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where one program of a cgroup belongs.
struct Site<'a> {
    hook: &'static str,
    pin: PathBuf,
    cgroup: &'a File,
    cgroup_path: &'a Path,
}

impl<'a> Site<'a> {
    fn new(
        hook: &'static str,
        pin_dir: &Path,
        (cgroup, cgroup_path): (&'a File, &'a Path),
    ) -> Self {
        Self {
            hook,
            pin: link_pin(pin_dir, hook),
            cgroup,
            cgroup_path,
        }
    }

    /// The program, apart from what attaches it.
    fn apart(&self, program: Result<&ProgramFd, ProgramError>) -> Result<OwnedFd, KernelError> {
        let fd = program.map_err(boxed(self.hook, self.cgroup_path))?.as_fd();
        fd.try_clone_to_owned()
            .map_err(|source| KernelError::io(&self.pin, source))
    }

    fn put(
        &self,
        program: std::os::fd::BorrowedFd<'_>,
        attach: impl FnOnce() -> Result<FdLink, Failure>,
    ) -> Result<(Attachment, Option<PinnedLink>), KernelError> {
        if self.adopt(program)? {
            return Ok((Attachment::Adopted, None));
        }
        let link = attach().map_err(|source| KernelError::Attach {
            program: self.hook,
            cgroup: self.cgroup_path.display().to_string(),
            source,
        })?;
        remove_pin(&self.pin)?;
        Ok((Attachment::Created, Some(pin_link(link, &self.pin)?)))
    }

    /// Whether a pinned link on this very cgroup exists and has taken over `program`.
    fn adopt(&self, program: std::os::fd::BorrowedFd<'_>) -> Result<bool, KernelError> {
        let link = match sys::open_pinned(&self.pin) {
            Ok(link) => link,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(pin_error(&self.pin, error)),
        };
        let here = self
            .cgroup
            .metadata()
            .map_err(|e| KernelError::io(self.cgroup_path, e))?
            .ino();
        let there = sys::link_cgroup(link.as_fd()).map_err(|e| pin_error(&self.pin, e))?;
        if there != here {
            return Ok(false);
        }
        sys::link_update(link.as_fd(), program).map_err(|e| pin_error(&self.pin, e))?;
        Ok(true)
    }
}

/// Detaches every program pinned in `pin_dir` and removes all maps with their counters.
///
/// # Errors
///
/// When something cannot be removed; what could be is gone then.
pub fn detach_all(pin_dir: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let mut removed = detach_programs(pin_dir)?;
    let maps = map_dir(pin_dir);
    for name in map::ALL {
        removed.extend(remove_pin(&maps.join(name))?);
    }
    for directory in [maps.as_path(), pin_dir] {
        match fs::remove_dir(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(KernelError::io(directory, error)),
        }
    }
    Ok(removed)
}

/// Detaches every program pinned in `pin_dir`; maps and counters stay.
///
/// # Errors
///
/// When a pin cannot be removed.
pub fn detach_programs(pin_dir: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let hooks = DECISION_HOOKS
        .into_iter()
        .chain(NAME_HOOKS)
        .chain(CALL_HOOKS);
    let workload_hooks = WORKLOAD_HOOKS.map(|(hook, _)| hook);
    let others = [program::SOCK_CREATE, program::SOCK_STATE, program::SOCK_OPS];
    let mut removed = Vec::new();
    let global_hooks = workload_hooks.into_iter().chain(OPTIONAL_HOOKS);
    for hook in hooks.chain(others).chain(global_hooks) {
        removed.extend(remove_pin(&link_pin(pin_dir, hook))?);
    }
    Ok(removed)
}

fn link_pin(pin_dir: &Path, hook: &str) -> PathBuf {
    pin_dir.join(format!("link-{hook}"))
}

fn pin_link(link: FdLink, pin: &Path) -> Result<PinnedLink, KernelError> {
    link.pin(pin).map_err(|error| pin_error(pin, error))
}

/// The pin, if there was one to remove.
fn remove_pin(pin: &Path) -> Result<Option<PathBuf>, KernelError> {
    match fs::remove_file(pin) {
        Ok(()) => Ok(Some(pin.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(pin_error(pin, error)),
    }
}

fn pin_error(pin: &Path, source: impl Into<Failure>) -> KernelError {
    KernelError::Pin {
        path: pin.display().to_string(),
        source: source.into(),
    }
}

fn boxed(hook: &'static str, cgroup: &Path) -> impl Fn(ProgramError) -> KernelError {
    let cgroup = cgroup.display().to_string();
    move |source| KernelError::Attach {
        program: hook,
        cgroup: cgroup.clone(),
        source: Box::new(source),
    }
}
