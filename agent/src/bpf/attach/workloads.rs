//! Hooks that belong to no cgroup: those that tell of cgroups and processes, and of data on
//! connections of others.
//!
//! Such a link cannot take over another program, so the new one is attached before the old one goes.
//! For a moment both run: what they write is the same.

use agent_common::abi::program;
use aya::programs::{
    BtfTracePoint, Lsm,
    links::{FdLink, PinnedLink},
};

use super::{
    Attachment, Coverage, KernelError, Loaded, OPTIONAL_HOOKS, WORKLOAD_HOOKS, link_pin, pin_link,
    remove_pin, typed,
};

impl Loaded {
    pub(super) fn attach_workload_hooks(
        &mut self,
        coverage: &mut Vec<Coverage>,
        links: &mut Vec<PinnedLink>,
    ) -> Result<(), KernelError> {
        let hooks = WORKLOAD_HOOKS.map(|(hook, _)| hook);
        for hook in hooks.into_iter().chain(OPTIONAL_HOOKS) {
            let Some(loaded) = self.tracing_hooks.get(hook).cloned() else {
                // Not wanted (any more).
                remove_pin(&link_pin(&self.options.pin_dir, hook))?;
                continue;
            };
            let attachment = match loaded {
                Ok(()) => self
                    .attach_workload_hook(hook, links)
                    .map_err(|error| crate::error_chain(&error)),
                Err(why) => Err(why),
            };
            if attachment.is_err() {
                remove_pin(&link_pin(&self.options.pin_dir, hook))?;
            }
            coverage.push(Coverage {
                program: hook,
                attachment,
                purpose: purpose(hook),
            });
        }
        Ok(())
    }

    fn attach_workload_hook(
        &mut self,
        hook: &'static str,
        links: &mut Vec<PinnedLink>,
    ) -> Result<Attachment, KernelError> {
        let pin = link_pin(&self.options.pin_dir, hook);
        let failed = super::boxed(hook, &self.options.cgroup);
        let link = if matches!(
            hook,
            program::FOREIGN_SENDMSG | program::SOCKET_CREATE | program::TUN_CREATE
        ) {
            let program: &mut Lsm = typed(&mut self.ebpf, hook)?;
            let id = program.attach().map_err(&failed)?;
            FdLink::from(program.take_link(id).map_err(&failed)?)
        } else {
            let program: &mut BtfTracePoint = typed(&mut self.ebpf, hook)?;
            let id = program.attach().map_err(&failed)?;
            FdLink::from(program.take_link(id).map_err(&failed)?)
        };
        let attachment = match remove_pin(&pin)? {
            Some(_) => Attachment::Adopted,
            None => Attachment::Created,
        };
        links.push(pin_link(link, &pin)?);
        Ok(attachment)
    }
}

fn purpose(hook: &str) -> &'static str {
    match hook {
        program::CGROUP_MADE => "name a cgroup before anything runs in it",
        program::CGROUP_REMOVED => "notice that a cgroup is gone",
        program::FORKED => "know who started a process",
        program::EXECUTED => "know what a process runs",
        program::FOREIGN_SEND => "end connections of others after the first data",
        program::FOREIGN_SENDMSG => "refuse data on connections of others",
        program::TUN_CREATE => "refuse TUN and TAP devices",
        program::SOCKET_CREATE => "refuse packet, vsock and other sockets past IP",
        _ => "remember a process that has ended",
    }
}
