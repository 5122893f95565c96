//! The hook that sees sockets being asked for.

use std::{fs::File, os::fd::AsFd, path::Path};

use agent_common::abi::program;
use aya::programs::{CgroupAttachMode, CgroupSock, links::PinnedLink};

use super::{Attachment, Coverage, KernelError, Loaded, Site, link_pin, remove_pin};
use crate::bpf::load::typed;

const HOOK: &str = program::SOCK_CREATE;

impl Loaded {
    /// What cannot be attached is a gap in coverage.
    pub(super) fn attach_sock_create(
        &mut self,
        place: (&File, &Path),
        coverage: &mut Vec<Coverage>,
        links: &mut Vec<PinnedLink>,
    ) -> Result<(), KernelError> {
        let attachment = match self.raw_sockets.clone() {
            Ok(()) => Ok(self.put_sock_create(place, links)?),
            Err(why) => {
                remove_pin(&link_pin(&self.options.pin_dir, HOOK))?;
                Err(why)
            }
        };
        coverage.push(Coverage {
            program: HOOK,
            attachment,
            purpose: "refuse sockets that are neither TCP nor UDP",
        });
        Ok(())
    }

    fn put_sock_create(
        &mut self,
        place: (&File, &Path),
        links: &mut Vec<PinnedLink>,
    ) -> Result<Attachment, KernelError> {
        let site = Site::new(HOOK, &self.options.pin_dir, place);
        let program: &mut CgroupSock = typed(&mut self.ebpf, HOOK)?;
        let fd = site.apart(program.fd())?;
        let (attachment, link) = site.put(fd.as_fd(), || {
            let id = program.attach(site.cgroup, CgroupAttachMode::Single)?;
            program.take_link(id)?.try_into().map_err(Into::into)
        })?;
        links.extend(link);
        Ok(attachment)
    }
}
