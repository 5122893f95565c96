//! Hooks that see packets: those that find out names, then those that count calls. The latter run
//! after the former, at the same cgroup.

use std::{fs::File, os::fd::AsFd, path::Path};

use agent_common::{
    abi::{map, program},
    settings::config,
};
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, links::PinnedLink};

use super::{Attachment, Coverage, KernelError, Loaded, Site, link_pin, remove_pin};
use crate::bpf::load::{CALL_HOOKS, NAME_HOOKS, typed};

impl Loaded {
    pub(super) fn attach_packet_hooks(
        &mut self,
        place: (&File, &Path),
        coverage: &mut Vec<Coverage>,
        links: &mut Vec<PinnedLink>,
    ) -> Result<(), KernelError> {
        let name_hooks = NAME_HOOKS.map(|hook| (hook, self.inspection.clone()));
        let call_hooks = CALL_HOOKS.map(|hook| (hook, self.counting.clone()));
        for (hook, loaded) in name_hooks.into_iter().chain(call_hooks) {
            let attachment = match loaded {
                Err(why) => Err(why),
                Ok(()) => Ok(self.attach_packet_hook(hook, place, links)?),
            };
            coverage.push(Coverage {
                program: hook,
                attachment,
                purpose: purpose(hook),
            });
        }
        self.config
            .set(config::COUNTS_CALLS, u64::from(self.counting.is_ok()), 0)
            .map_err(|source| KernelError::map(map::CONFIG, "write", source))
    }

    fn attach_packet_hook(
        &mut self,
        hook: &'static str,
        place: (&File, &Path),
        links: &mut Vec<PinnedLink>,
    ) -> Result<Attachment, KernelError> {
        let site = Site::new(hook, &self.options.pin_dir, place);
        let program: &mut CgroupSkb = typed(&mut self.ebpf, hook)?;
        let fd = site.apart(program.fd())?;
        let (attachment, link) = site.put(fd.as_fd(), || {
            let id = program.attach(site.cgroup, direction(hook), CgroupAttachMode::Single)?;
            program.take_link(id)?.try_into().map_err(Into::into)
        })?;
        links.extend(link);
        Ok(attachment)
    }

    /// Hooks of an earlier agent that this one does not use: only once no socket is marked any more.
    pub(super) fn remove_unused_packet_hooks(&self) -> Result<(), KernelError> {
        let sets = [(NAME_HOOKS, &self.inspection), (CALL_HOOKS, &self.counting)];
        for (hooks, loaded) in sets {
            if loaded.is_err() {
                for hook in hooks {
                    remove_pin(&link_pin(&self.options.pin_dir, hook))?;
                }
            }
        }
        Ok(())
    }
}

fn direction(hook: &str) -> CgroupSkbAttachType {
    if hook == program::EGRESS || hook == program::CALLS_SENT {
        CgroupSkbAttachType::Egress
    } else {
        CgroupSkbAttachType::Ingress
    }
}

fn purpose(hook: &str) -> &'static str {
    match hook {
        program::EGRESS => "judge a connection by the name in its first packets; refuse QUIC",
        program::INGRESS => "learn addresses from answers of the DNS",
        program::CALLS_SENT => "count calls: requests on connections",
        _ => "count calls: answers to requests",
    }
}
