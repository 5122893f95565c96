//! Turns kernel events into records for people: times, processes, durations.
//!
//! Everything added here is best effort and says so: a process that is gone has no name, a close
//! whose connect was not seen has no duration.

use std::collections::BTreeMap;

use agent_common::event::{Event, EventKind};

use super::{processes::ProcessView, workloads::Workloads};
use crate::{
    host::{clock::Now, process},
    store::EventRecord,
};

/// How long a name is believed: a process id is not used again within that time.
const NAME_NS: u64 = 1_000_000_000;
/// How many open connections are remembered for their duration.
const MAX_OPEN: usize = 65_536;
/// How long a connection is remembered that never closes.
const OPEN_NS: u64 = 24 * 3600 * 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Telling {
    names: BTreeMap<u32, (u64, ProcessView)>,
    /// By socket cookie.
    open: BTreeMap<u64, Open>,
}

/// What a process was at an instant of the boot clock, as far as that is remembered.
pub(super) type Past<'a> = dyn Fn(u32, u64) -> Option<ProcessView> + 'a;

/// What a connect knew that its close will want.
#[derive(Clone, Copy, Debug)]
struct Open {
    at_ns: u64,
    cgroup: u64,
    pid: u32,
    user: u32,
}

impl Telling {
    pub(super) fn records(
        &mut self,
        events: &[Event],
        workloads: &Workloads,
        past: &Past<'_>,
        at: &Now,
    ) -> Vec<EventRecord> {
        events
            .iter()
            .filter_map(|event| self.record(event, workloads, past, at))
            .collect()
    }

    pub(super) fn forget_old(&mut self, now_ns: u64) {
        self.names.retain(|_, (seen, _)| *seen + NAME_NS > now_ns);
        self.open.retain(|_, open| open.at_ns + OPEN_NS > now_ns);
    }

    /// `None` for a record of a kind that this version does not know.
    fn record(
        &mut self,
        event: &Event,
        workloads: &Workloads,
        past: &Past<'_>,
        at: &Now,
    ) -> Option<EventRecord> {
        let kind = event.kind()?;
        let verdict = event.verdict()?;
        let reason = event.reason()?;
        let is_close = kind == EventKind::Close;
        let open = if is_close {
            self.open.remove(&event.cookie)
        } else {
            let (pid, user) = event.caller();
            let open = Open {
                at_ns: event.at_ns,
                cgroup: event.detail[0],
                pid,
                user,
            };
            if kind == EventKind::Connect && !event.has(Event::UDP) && self.open.len() < MAX_OPEN {
                self.open.insert(event.cookie, open);
            }
            Some(open)
        };
        let process = match open {
            Some(open) => self.process(&open, past, at.boot_ns),
            None => ProcessView::default(),
        };
        let [bytes_out, bytes_in] = event.detail;
        let (address, port) = if kind == EventKind::Socket {
            (socket(event), 0)
        } else {
            (event.address.to_ip().to_string(), event.port())
        };
        Some(EventRecord {
            at: at.wall_of(event.at_ns),
            kind,
            verdict,
            reason,
            identity: event.identity,
            endpoint: event.endpoint,
            rule: event.rule,
            address,
            port,
            is_udp: event.has(Event::UDP),
            is_shared: event.has(Event::SHARED),
            pid: open.map(|open| open.pid),
            comm: process.comm,
            exe: process.exe,
            script: process.script,
            user: open.map(|open| open.user),
            cgroup: open.and_then(|open| workloads.path(open.cgroup).map(ToOwned::to_owned)),
            bytes_out: is_close.then_some(bytes_out),
            bytes_in: is_close.then_some(bytes_in),
            duration_ms: open
                .filter(|_| is_close)
                .map(|open| event.at_ns.saturating_sub(open.at_ns) / 1_000_000),
        })
    }

    /// As the kernel remembers it; where it does not, as `/proc` does, if it is still there.
    fn process(&mut self, open: &Open, past: &Past<'_>, now_ns: u64) -> ProcessView {
        if let Some(found) = past(open.pid, open.at_ns)
            && found.exe.is_some()
        {
            return found;
        }
        if let Some((seen, process)) = self.names.get(&open.pid)
            && *seen + NAME_NS > now_ns
        {
            return process.clone();
        }
        let found = process::look_up(open.pid);
        let process = ProcessView {
            pid: open.pid,
            comm: found.comm,
            exe: found.exe,
            ..ProcessView::default()
        };
        self.names.insert(open.pid, (now_ns, process.clone()));
        process
    }
}

/// Which socket was asked for.
fn socket(event: &Event) -> String {
    let (family, is_raw, protocol) = event.socket();
    if family == Event::TUN {
        return "tun".to_owned();
    }
    let family = match family as i32 {
        libc::AF_INET => "ipv4",
        libc::AF_INET6 => "ipv6",
        libc::AF_PACKET => "packet",
        libc::AF_VSOCK => "vsock",
        libc::AF_TIPC => "tipc",
        libc::AF_XDP => "xdp",
        libc::AF_RDS => "rds",
        other => return format!("family {other}"),
    };
    match (is_raw, protocol) {
        (true, 1..) => format!("{family} raw, protocol {protocol}"),
        (true, 0) => format!("{family} raw"),
        (false, 1..) => format!("{family}, protocol {protocol}"),
        (false, 0) => family.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use agent_common::{
        address::Address,
        destination::EndpointId,
        identity::IdentityId,
        policy::RuleId,
        verdict::{Reason, Verdict},
    };

    use super::*;

    const AT: Now = Now {
        wall: jiff::Timestamp::UNIX_EPOCH,
        boot_ns: 10_000_000_000,
    };

    fn event(kind: EventKind, at_ns: u64, detail: [u64; 2]) -> Event {
        Event {
            at_ns,
            cookie: 7,
            detail,
            address: Address::LOCALHOST_V4,
            identity: IdentityId::from_raw(1),
            endpoint: EndpointId::from_raw(2),
            rule: RuleId::NONE,
            port: 443_u16.to_be(),
            kind_and_verdict: Event::pack_kind(kind, Verdict::Allow as u8),
            reason_and_flags: Reason::DefaultAllow as u8,
        }
    }

    fn nothing(_pid: u32, _at_ns: u64) -> Option<ProcessView> {
        None
    }

    #[test]
    fn what_the_kernel_remembers_comes_first() {
        let past = |pid: u32, at_ns: u64| {
            (pid, at_ns).eq(&(7, 1_000_000_000)).then(|| ProcessView {
                exe: Some("/opt/agent".to_owned()),
                script: Some("/opt/job.py".to_owned()),
                ..ProcessView::default()
            })
        };
        let caller = Event::pack_caller(7, 1007);
        let connect = event(EventKind::Connect, 1_000_000_000, [5, caller]);
        let records = Telling::default().records(&[connect], &Workloads::default(), &past, &AT);
        let record = records.first().expect("one record");
        assert_eq!((record.pid, record.user), (Some(7), Some(1007)));
        assert_eq!(record.exe.as_deref(), Some("/opt/agent"));
        assert_eq!(record.script.as_deref(), Some("/opt/job.py"));
    }

    #[test]
    fn a_close_has_the_process_and_the_duration_of_its_connect() {
        let mut telling = Telling::default();
        let own = u64::from(std::process::id());
        let events = [
            event(EventKind::Connect, 1_000_000_000, [5, own]),
            event(EventKind::Close, 3_500_000_000, [100, 200]),
        ];
        let records = telling.records(&events, &Workloads::default(), &nothing, &AT);
        let close = records.last().expect("two records");
        assert_eq!((close.bytes_out, close.bytes_in), (Some(100), Some(200)));
        assert_eq!(close.duration_ms, Some(2_500));
        assert_eq!(close.pid, Some(std::process::id()));
        assert!(close.comm.is_some());
    }

    #[test]
    fn a_close_without_its_connect_has_bytes_only() {
        let mut telling = Telling::default();
        let close = event(EventKind::Close, 1, [100, 200]);
        let records = telling.records(&[close], &Workloads::default(), &nothing, &AT);
        let record = records.first().expect("one record");
        assert_eq!((record.pid, record.duration_ms), (None, None));
        assert_eq!(record.bytes_in, Some(200));
    }
}
