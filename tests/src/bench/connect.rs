//! `connect`: what one connection pays, and whether the size of a policy matters.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use anyhow::ensure;

use super::{
    measure::{Comparison, Effort, block, compare},
    site::{NOWHERE, RawSocket, Site},
};

/// Where a variant connects to, and under what.
struct Variant {
    name: &'static str,
    is_attached: bool,
    target: SocketAddrV4,
    errno: i32,
}

/// A tight loop of TCP connects to a place without a route: nothing but the hook differs.
pub fn tight_loop(site: &mut Site, rounds: usize) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 400,
        calls_per_sample: 16,
    };
    let target = |port| SocketAddrV4::new(NOWHERE, port);
    site.install(&[target(443)], &[target(444)], 100)?;
    let variants = [
        ("nothing attached", false, 80, libc::ENETUNREACH),
        ("not a model endpoint", true, 80, libc::ENETUNREACH),
        ("granted, with event", true, 443, libc::ENETUNREACH),
        ("denied, with event", true, 444, libc::EPERM),
    ]
    .map(|(name, is_attached, port, errno)| Variant {
        name,
        is_attached,
        target: target(port),
        errno,
    });
    let socket = RawSocket::new()?;
    interleave(site, &effort, &variants, |variant| {
        socket.connect(variant.target)
    })
}

/// Whole connections over loopback, made and closed by one thread: the fastest there can be, so
/// the share is the least flattering one.
pub fn loopback(site: &mut Site, rounds: usize) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 300,
        calls_per_sample: 1,
    };
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let model = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let forbidden = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = |listener: &TcpListener| -> anyhow::Result<SocketAddrV4> {
        let port = listener.local_addr()?.port();
        Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    };
    let (plain_at, model_at, forbidden_at) =
        (address(&plain)?, address(&model)?, address(&forbidden)?);
    site.install(&[model_at], &[forbidden_at], 100)?;
    let variants = [
        ("nothing attached", false, plain_at, 0),
        ("not a model endpoint", true, plain_at, 0),
        ("granted, with event and bytes", true, model_at, 0),
        ("denied, with event", true, forbidden_at, libc::EPERM),
    ]
    .map(|(name, is_attached, target, errno)| Variant {
        name,
        is_attached,
        target,
        errno,
    });
    interleave(site, &effort, &variants, |variant| {
        let Ok(socket) = RawSocket::new() else {
            return -1;
        };
        let errno = socket.connect(variant.target);
        if errno == 0 {
            let listener = if variant.target == plain_at {
                &plain
            } else {
                &model
            };
            drop(listener.accept());
        }
        errno
    })
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
            site.install(&hot, &[], [100, 10_000][index])?;
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
    variants: &[Variant],
    call: impl Fn(&Variant) -> i32,
) -> anyhow::Result<Vec<Comparison>> {
    let mut times = Vec::new();
    for round in 0..effort.rounds {
        let mut row = vec![0.0; variants.len()];
        for step in 0..variants.len() {
            let index = (round + step) % variants.len();
            let variant = &variants[index];
            if variant.is_attached {
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
            row[index] = block(effort, || {
                std::hint::black_box(call(variant));
            });
            site.drain_events();
        }
        times.push(row);
    }
    site.detach()?;
    let names: Vec<_> = variants.iter().map(|variant| variant.name).collect();
    Ok(compare(&names, &times))
}
