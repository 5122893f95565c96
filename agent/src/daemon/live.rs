//! Connections that were let through: those whose right is gone are ended.
//!
//! The kernel cuts them off by itself, at their next packet. What is done here is for their callers,
//! who get an error instead of silence, and for connections that the kernel has not judged: those
//! that were there before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc,
};

use agent_common::{
    address::Address,
    destination::{Destination, EndpointId},
    event::{Event, EventKind},
    identity::IdentityId,
    policy::{RuleId, Window},
    settings::Mode,
    verdict::Verdict,
};

use super::{Core, sweeping::Job};
use crate::host::{clock::now, sock_destroy::Flow, sockets::Connection};

/// How many are remembered; of others only the address tells what they are.
const MOST_FLOWS: usize = 65_536;
/// A connection that no look has found by then is gone.
const GONE_NS: u64 = 5_000_000_000;

/// What a connection was when it was let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveFlow {
    pub at_ns: u64,
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub rule: RuleId,
    cgroup: u64,
    pub pid: u32,
}

/// Connections by socket cookie, as far as the kernel has told of them.
#[derive(Debug)]
pub(super) struct LiveFlows {
    flows: BTreeMap<u64, LiveFlow>,
    /// When the first grant that one of them rests on ends.
    next_end_ns: u64,
    jobs: mpsc::Sender<Job>,
    /// Taken by the thread that does the jobs.
    pub(super) received: Option<mpsc::Receiver<Job>>,
}

impl LiveFlows {
    pub(super) fn new() -> Self {
        let (jobs, received) = mpsc::channel();
        Self {
            flows: BTreeMap::new(),
            next_end_ns: Window::FOREVER,
            jobs,
            received: Some(received),
        }
    }

    fn note(&mut self, event: &Event) -> Option<LiveFlow> {
        match (event.kind()?, event.verdict()?) {
            (EventKind::Close | EventKind::Cut, _) => {
                self.flows.remove(&event.cookie);
                None
            }
            (EventKind::Connect, Verdict::Allow | Verdict::WouldDeny)
                if event.cookie != 0 && self.flows.len() < MOST_FLOWS =>
            {
                let flow = LiveFlow {
                    at_ns: event.at_ns,
                    identity: event.identity,
                    endpoint: event.endpoint,
                    rule: event.rule,
                    cgroup: event.detail[0],
                    pid: event.caller().0,
                };
                self.flows.insert(event.cookie, flow);
                Some(flow)
            }
            _ => None,
        }
    }

    /// Forgets connections that are not among these any more: their end was not heard of.
    pub(super) fn keep(&mut self, connections: &[Connection], now_ns: u64) {
        let there: BTreeSet<u64> = connections.iter().map(|one| one.flow.cookie).collect();
        self.flows
            .retain(|cookie, flow| there.contains(cookie) || flow.at_ns + GONE_NS > now_ns);
    }

    pub(super) fn get(&self, cookie: u64) -> Option<&LiveFlow> {
        self.flows.get(&cookie)
    }

    fn ask(&self, job: Job) {
        // Without the thread nothing is ended by the agent; the kernel still cuts off.
        let _ = self.jobs.send(job);
    }
}

impl Core {
    /// Takes over what the kernel has told of connections.
    pub(super) fn note_flows(&mut self, events: &[Event]) {
        let now_ns = now().boot_ns;
        for event in events {
            if let Some(flow) = self.live.note(event)
                && self.config.mode == Mode::Enforce
            {
                let until_ns = self.flow_until(&flow, now_ns);
                self.live.next_end_ns = self.live.next_end_ns.min(until_ns);
            }
        }
    }

    /// Makes room where many ends were not heard of.
    pub(super) fn forget_flows(&mut self) {
        if self.live.flows.len() > MOST_FLOWS / 2 {
            self.live.ask(Job::Look);
        }
    }

    /// Looks for connections whose right has ended by itself.
    pub(super) fn end_expired_flows(&mut self) {
        if self.live.next_end_ns <= now().boot_ns {
            self.end_unentitled_flows();
        }
    }

    /// Looks for connections that may not go on: their rights may have changed.
    pub(super) fn end_unentitled_flows(&mut self) {
        self.live.next_end_ns = Window::FOREVER;
        if self.config.mode == Mode::Enforce {
            self.live.ask(Job::Look);
        }
    }

    /// Ends those of the connections that may not go on.
    pub(super) fn judge_connections(&mut self, connections: &[Connection]) {
        // The newest are not known otherwise.
        self.take_all_events();
        let now_ns = now().boot_ns;
        self.live.keep(connections, now_ns);
        if self.config.mode != Mode::Enforce {
            return;
        }
        let ended: Vec<Flow> = connections
            .iter()
            .filter(|one| !self.may_go_on(one, now_ns))
            .map(|one| one.flow)
            .collect();
        if !ended.is_empty() {
            tracing::info!(connections = ended.len(), "ended: their right is gone");
            self.live.ask(Job::End(ended));
        }
        let ends = self.live.flows.values();
        let ends = ends.map(|flow| self.flow_until(flow, now_ns));
        self.live.next_end_ns = ends
            .filter(|end| *end > now_ns)
            .min()
            .unwrap_or(Window::FOREVER);
    }

    /// 0 if it may not go on.
    fn flow_until(&self, flow: &LiveFlow, now_ns: u64) -> u64 {
        let identity = self.identity_of_flow(flow);
        let until = self
            .maps
            .policy
            .entitled_until(identity, flow.endpoint, now_ns);
        until.unwrap_or(0)
    }

    pub(super) fn identity_of_flow(&self, flow: &LiveFlow) -> IdentityId {
        let Some(of_cgroup) = self.workloads.of_cgroup(flow.cgroup) else {
            return flow.identity;
        };
        match self.narrowed(of_cgroup.id, flow.pid) {
            Some(narrowed) => narrowed.id,
            // A process that has ended is what it was.
            None if self.narrowing.identity(flow.identity).is_some() => flow.identity,
            None => of_cgroup.id,
        }
    }

    fn may_go_on(&self, connection: &Connection, now_ns: u64) -> bool {
        let maker = connection
            .cgroup
            .and_then(|cgroup| self.workloads.of_cgroup(cgroup));
        let maker = maker.map(|identity| identity.id);
        if let Some(flow) = self.live.flows.get(&connection.flow.cookie) {
            let of = |identity, endpoint| {
                let destination = Destination::one(endpoint);
                self.maps
                    .policy
                    .decide(identity, &destination, now_ns)
                    .is_entitled()
            };
            let is_own = connection.cgroup == Some(flow.cgroup);
            return of(self.identity_of_flow(flow), flow.endpoint)
                && (is_own || maker.is_none_or(|maker| of(maker, flow.endpoint)));
        }
        let Some(identity) = maker else {
            return true;
        };
        self.certain_destinations(connection)
            .iter()
            .all(|destination| {
                self.maps
                    .policy
                    .decide(identity, destination, now_ns)
                    .is_entitled()
            })
    }

    /// What the address of a connection stands for, where it leaves nothing to the name.
    pub(super) fn certain_destinations(&self, connection: &Connection) -> Vec<Destination> {
        let remote = connection.flow.remote;
        let address = Address::from_ip(remote.ip());
        let mut found = self.maps.policy.prefix_matches(address, remote.port());
        let at = [remote.port(), 0].map(|port| self.installed_addresses.get(&(address, port)));
        found.extend(at.into_iter().flatten().copied().filter(|destination| {
            let by_address = Destination::BY_ADDRESS | Destination::EXCLUSIVE;
            destination.flags & by_address != 0
                || !destination.is_shared()
                    && destination.flags & Destination::SHARED == 0
                    && !self.maps.learned.is_ordinary(address, now().boot_ns)
        }));
        found
    }
}
