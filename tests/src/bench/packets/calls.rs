//! Connections whose calls are counted: records of TLS each way, with nothing that is encrypted.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use agent_common::abi::program;

use super::{COUNTING, Connection, Meter, Place, ProgramRuns, interleave, policy};
use crate::bench::{
    measure::{Comparison, Effort, block},
    site::{Policy, Site, Unnamed},
    stats::Direction,
};

const COUNTS_SENT: Place = (program::CALLS_SENT, Direction::Egress, 1);
const COUNTS_RECEIVED: Place = (program::CALLS_RECEIVED, Direction::Ingress, 1);
/// Octets of a record that is no call and no answer, and of one that is.
const SHORT: u16 = 1;
const LONG: u16 = 700;

/// A connection that is granted, with its hello sent.
fn connection(site: &mut Site) -> anyhow::Result<Connection> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let SocketAddr::V4(address) = listener.local_addr()? else {
        anyhow::bail!("no address of IPv4");
    };
    site.attach()?;
    site.install(&Policy {
        granted: vec![address],
        ..policy(Unnamed::NeverMatters)
    })?;
    let mut connection = Connection::open(&listener)?;
    connection.say(&record(LONG))?;
    Ok(connection)
}

pub(super) fn records(site: &mut Site, rounds: usize) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 200,
        calls_per_sample: 8,
    };
    let mut connection = connection(site)?;
    let (short, long) = (record(SHORT), record(LONG));
    let variants = [
        ("not counted", &short, &COUNTING[..]),
        ("counted, no call", &short, &[]),
        ("not counted, 700 octets", &long, &COUNTING),
        ("counted, a call each time", &long, &[]),
    ];
    interleave(
        site,
        rounds,
        &variants.map(|(name, ..)| name),
        |site, index| {
            let (_, octets, without) = variants[index];
            site.attach_without(without)?;
            exchange(&mut connection, octets)?;
            Ok(block(&effort, || {
                let _ = exchange(&mut connection, octets);
            }))
        },
    )
}

/// What one run of the programs that count takes.
pub(super) fn runs(
    meter: &mut Meter<'_>,
    other: &mut Connection,
) -> anyhow::Result<Vec<ProgramRuns>> {
    let mut counted = connection(meter.site)?;
    let mut rows = Vec::new();
    for program in [COUNTS_SENT, COUNTS_RECEIVED] {
        rows.push(meter.measure(program, "TCP, not counted", || other.echo())?);
        for (packet, len) in [("no call", SHORT), ("a call", LONG)] {
            let record = record(len);
            rows.push(meter.measure(program, packet, || exchange(&mut counted, &record))?);
        }
    }
    Ok(rows)
}

/// Application data of this many octets.
fn record(len: u16) -> Vec<u8> {
    let mut record = vec![23, 3, 3];
    record.extend(len.to_be_bytes());
    record.resize(5 + usize::from(len), 7);
    record
}

/// The same each way.
fn exchange(connection: &mut Connection, octets: &[u8]) -> anyhow::Result<()> {
    let mut there = vec![0; octets.len()];
    connection.client.write_all(octets)?;
    connection.server.read_exact(&mut there)?;
    connection.server.write_all(octets)?;
    connection.client.read_exact(&mut there)?;
    Ok(())
}
