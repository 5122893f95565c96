//! `connect`: what one connection pays, and whether the size of a policy matters.

use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    time::Instant,
};

use anyhow::ensure;

use super::{
    measure::{Comparison, Effort, block, block_timed, compare},
    site::{NOWHERE, Policy, RawSocket, Site, Unnamed},
};

/// Where a variant connects to, and under what.
struct Variant {
    name: &'static str,
    is_attached: bool,
    target: SocketAddrV4,
    errno: i32,
    unnamed: Unnamed,
}

/// Name, whether attached, what names mean, place of the target in a list, errno.
type Row = (&'static str, bool, Unnamed, usize, i32);

fn variants(rows: &[Row], targets: &[SocketAddrV4]) -> Vec<Variant> {
    rows.iter()
        .map(|(name, is_attached, unnamed, place, errno)| Variant {
            name,
            is_attached: *is_attached,
            target: targets[*place],
            errno: *errno,
            unnamed: *unnamed,
        })
        .collect()
}

/// Calls to known and unknown places: an endpoint, a forbidden one, anything else.
fn rows(route: i32, granted: &'static str) -> Vec<Row> {
    let anything = Unnamed::NeverMatters;
    let mut rows = unknown_rows(route);
    rows.insert(1, ("not a model endpoint", true, anything, 0, route));
    rows.insert(2, (granted, true, anything, 1, route));
    rows.insert(3, ("denied, with event", true, anything, 2, libc::EPERM));
    rows
}

/// Calls to an unknown place where names matter.
fn unknown_rows(route: i32) -> Vec<Row> {
    vec![
        ("nothing attached", false, Unnamed::NeverMatters, 0, route),
        ("unknown, caller unbound", true, Unnamed::Allowed, 0, route),
        ("unknown, caller bound", true, Unnamed::Governed, 0, route),
    ]
}

fn policy(targets: &[SocketAddrV4], unnamed: Unnamed) -> Policy {
    Policy {
        granted: vec![targets[1]],
        denied: vec![targets[2]],
        n: 100,
        unnamed,
    }
}

/// Which calls are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    All,
    /// To places of which nothing is known.
    Unknown,
}

/// A tight loop of TCP connects to a place without a route: nothing but the hook differs.
pub fn tight_loop(site: &mut Site, rounds: usize, calls: Calls) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 400,
        calls_per_sample: 16,
    };
    let targets = [80, 443, 444].map(|port| SocketAddrV4::new(NOWHERE, port));
    let rows = match calls {
        Calls::All => rows(libc::ENETUNREACH, "granted, with event"),
        Calls::Unknown => unknown_rows(libc::ENETUNREACH),
    };
    let variants = variants(&rows, &targets);
    let socket = RawSocket::new()?;
    let call = |variant: &Variant| socket.connect(variant.target);
    interleave(
        site,
        &effort,
        &targets,
        &variants,
        call,
        |effort, variant| {
            block(effort, || {
                std::hint::black_box(call(variant));
            })
        },
    )
}

/// What part of a loopback connection is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The call to `connect` alone.
    Connect,
    /// Making the socket, connecting, accepting and closing both ends.
    Whole,
}

/// Connections over loopback, made and closed by one thread: the fastest there can be, so the
/// share is the least flattering one.
pub fn loopback(
    site: &mut Site,
    rounds: usize,
    calls: Calls,
    span: Span,
) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 300,
        calls_per_sample: 1,
    };
    let listeners = [
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
    ];
    let mut addresses = Vec::new();
    for listener in &listeners {
        let port = listener.local_addr()?.port();
        addresses.push(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    }
    let rows = match calls {
        Calls::All => rows(0, "granted, with event and bytes"),
        Calls::Unknown => unknown_rows(0),
    };
    let variants = variants(&rows, &addresses);
    // (errno, ns of the span)
    let call = |variant: &Variant| -> (i32, f64) {
        let start = Instant::now();
        let Ok(socket) = RawSocket::new() else {
            return (-1, 0.0);
        };
        let before = Instant::now();
        let errno = socket.connect(variant.target);
        let connect = before.elapsed();
        if errno == 0 {
            let listener = &listeners[usize::from(variant.target != addresses[0])];
            drop(listener.accept());
        }
        drop(socket);
        let spent = match span {
            Span::Connect => connect,
            Span::Whole => start.elapsed(),
        };
        (errno, spent.as_nanos() as f64)
    };
    interleave(
        site,
        &effort,
        &addresses,
        &variants,
        |variant| call(variant).0,
        |effort, variant| block_timed(effort, || call(variant).1),
    )
}

/// The same hot destinations under a policy of 100 and of 10,000 grants and addresses.
pub fn scale(site: &mut Site, rounds: usize) -> anyhow::Result<Comparison> {
    let effort = Effort {
        rounds,
        samples: 400,
        calls_per_sample: 16,
    };
    let hot: Vec<_> = (0..64_u8)
        .map(|n| SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, n + 1), 443))
        .collect();
    let socket = RawSocket::new()?;
    site.attach()?;
    let mut times = Vec::new();
    for round in 0..effort.rounds {
        let mut row = vec![0.0; 2];
        for step in 0..2 {
            let index = (round + step) % 2;
            site.install(&Policy {
                granted: hot.clone(),
                n: [100, 10_000][index],
                ..Policy::default()
            })?;
            let mut next = hot.iter().cycle();
            row[index] = block(&effort, || {
                let target = next.next().copied().unwrap_or(hot[0]);
                std::hint::black_box(socket.connect(target));
            });
            site.drain_events();
        }
        times.push(row);
    }
    site.detach()?;
    let names = ["100 grants and addresses", "10,000 grants and addresses"];
    let mut compared = compare(&names, &times);
    Ok(compared.remove(1))
}

fn interleave(
    site: &mut Site,
    effort: &Effort,
    targets: &[SocketAddrV4],
    variants: &[Variant],
    call: impl Fn(&Variant) -> i32,
    time: impl Fn(&Effort, &Variant) -> f64,
) -> anyhow::Result<Vec<Comparison>> {
    let mut times = Vec::new();
    for round in 0..effort.rounds {
        let mut row = vec![0.0; variants.len()];
        for step in 0..variants.len() {
            let index = (round + step) % variants.len();
            let variant = &variants[index];
            if variant.is_attached {
                site.install(&policy(targets, variant.unnamed))?;
                site.attach()?;
            } else {
                site.detach()?;
            }
            let errno = call(variant);
            ensure!(
                errno == variant.errno,
                "{}: errno {errno}, expected {}",
                variant.name,
                variant.errno
            );
            row[index] = time(effort, variant);
            site.drain_events();
        }
        times.push(row);
    }
    site.detach()?;
    let names: Vec<_> = variants.iter().map(|variant| variant.name).collect();
    Ok(compare(&names, &times))
}
