//! Ends connections that the kernel has refused after they had been made, so that their callers
//! get an error at once. The refusal itself does not depend on it: their packets are dropped.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use agent_common::inspected::Refusal;

use crate::{
    bpf::refusals::RefusalRing,
    error_chain,
    host::sock_destroy::{Destroyed, Flow, Protocol, SocketDestroyer},
};

/// How often what nobody needs any more is let go, and whether the agent still runs is looked at.
const IDLE: Duration = Duration::from_secs(1);

/// How refused connections ended.
#[derive(Debug, Default)]
pub(super) struct EndedCounts {
    /// Their callers got an error.
    pub(super) ended: AtomicU64,
    /// They were gone already.
    pub(super) gone: AtomicU64,
    /// Their callers have to wait for a timeout of their own.
    pub(super) failed: AtomicU64,
}

impl EndedCounts {
    /// Ended, gone, failed.
    pub(super) fn read(&self) -> [u64; 3] {
        let Self {
            ended,
            gone,
            failed,
        } = self;
        [ended, gone, failed].map(|count| count.load(Ordering::Relaxed))
    }

    fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the thread. It ends when nobody else holds `counts`: with the agent.
pub(super) fn start(ring: RefusalRing, counts: Arc<EndedCounts>) -> io::Result<()> {
    thread::Builder::new()
        .name("weir-ending".to_owned())
        .spawn(move || run(ring, &counts))
        .map(drop)
}

fn run(mut ring: RefusalRing, counts: &Arc<EndedCounts>) {
    let mut destroyer = SocketDestroyer::new();
    while Arc::strong_count(counts) > 1 {
        if let Err(error) = ring.wait(IDLE) {
            tracing::error!(%error, "refused connections are not ended any more");
            return;
        }
        while let Some(refusal) = ring.take() {
            end(&mut destroyer, &flow(&refusal), counts);
        }
        destroyer.forget_idle(Instant::now());
    }
}

/// Ends one connection and counts what became of it.
pub(super) fn end(destroyer: &mut SocketDestroyer, flow: &Flow, counts: &EndedCounts) {
    match destroyer.destroy(flow) {
        Ok(Destroyed::Done | Destroyed::ShutDown) => EndedCounts::add(&counts.ended),
        Ok(Destroyed::Gone) => EndedCounts::add(&counts.gone),
        Err(error) => {
            EndedCounts::add(&counts.failed);
            tracing::warn!(
                error = error_chain(&error),
                pid = flow.pid,
                remote = %flow.remote,
                "a refused connection is cut off but not ended: its caller waits"
            );
        }
    }
}

fn flow(refusal: &Refusal) -> Flow {
    let is_v6_socket = i32::from(refusal.family) == libc::AF_INET6;
    let protocol = match i32::from(refusal.protocol) {
        libc::IPPROTO_UDP => Protocol::Udp,
        _ => Protocol::Tcp,
    };
    let address = |words: [u32; 4], port| {
        let ip = if is_v6_socket {
            let octets: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let octets = <[u8; 16]>::try_from(octets).unwrap_or_default();
            IpAddr::from(Ipv6Addr::from(octets))
        } else {
            IpAddr::from(Ipv4Addr::from(words[0].to_ne_bytes()))
        };
        SocketAddr::new(ip, port)
    };
    Flow {
        protocol,
        local: address(refusal.local, refusal.local_port),
        remote: address(refusal.remote, refusal.remote_port),
        cookie: refusal.cookie,
        pid: refusal.pid,
        is_v6_socket,
        bound_interface: refusal.interface,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(family: i32, local: [u32; 4], remote: [u32; 4]) -> Refusal {
        Refusal {
            cookie: 7,
            local,
            remote,
            local_port: 40_000,
            remote_port: 443,
            family: family as u16,
            protocol: 17,
            pid: 1,
            interface: 0,
        }
    }

    #[test]
    fn addresses_are_read_in_network_order() {
        let [a, b] = [[127, 0, 0, 1], [192, 0, 2, 9]].map(u32::from_ne_bytes);
        let v4 = flow(&refusal(libc::AF_INET, [a, 0, 0, 0], [b, 0, 0, 0]));
        assert_eq!(v4.local.to_string(), "127.0.0.1:40000");
        assert_eq!(v4.remote.to_string(), "192.0.2.9:443");
        assert_eq!(v4.protocol, Protocol::Udp);
        let one = u32::from_ne_bytes([0, 0, 0, 1]);
        let v6 = flow(&refusal(libc::AF_INET6, [0, 0, 0, one], [0, 0, 0, one]));
        assert_eq!(v6.remote.to_string(), "[::1]:443");
        assert!(v6.is_v6_socket);
    }
}
