//! What packets cost: those that have nothing to do with names, answers of the DNS, first flights.
//!
//! Two views. Interleaved rounds say what a caller notices. The kernel's own measurement says what
//! one run of a program takes; it has a part of the clock's cost in it.

mod calls;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    time::Instant,
};

use agent_common::{abi::program, settings::Mode};
use anyhow::{Context, ensure};
use serde::Serialize;

use super::{
    measure::{Comparison, Effort, block, block_timed, compare, median},
    site::{Policy, Setup, Site, Unnamed},
    stats::{Direction, Measuring, Runs},
};
use crate::harness::{
    resolver::{GOVERNED, ORDINARY},
    wire,
};

#[derive(Clone, Debug, Serialize)]
pub struct PacketFigures {
    /// One datagram, sent and received.
    pub datagram: Vec<Comparison>,
    /// One octet each way on a connection that lasts.
    pub echo: Vec<Comparison>,
    /// `write()` of a hello.
    pub hello: Vec<Comparison>,
    /// A record each way on a connection that is granted.
    pub records: Vec<Comparison>,
    pub runs: Vec<ProgramRuns>,
    /// One datagram where names are not found out.
    pub off: Vec<Comparison>,
    /// Programs that run for packets there.
    pub off_programs: usize,
}

/// Runs of one program for one kind of packet.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramRuns {
    pub program: &'static str,
    pub packet: String,
    pub ns: f64,
    /// Runs in one call.
    pub runs: f64,
}

const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 53, 0, 3);
/// Answers are about this many addresses from here on.
const ADDRESSES: (Ipv4Addr, u32) = (Ipv4Addr::new(127, 160, 0, 0), 4_096);
/// Hooks of one direction, and those that only count.
const SENT: [&str; 2] = [program::EGRESS, program::CALLS_SENT];
const RECEIVED: [&str; 2] = [program::INGRESS, program::CALLS_RECEIVED];
const COUNTING: [&str; 2] = [program::CALLS_SENT, program::CALLS_RECEIVED];
const CALLS_EACH_ROUND: u32 = 1_000;

/// # Errors
///
/// When something cannot be measured.
pub fn figures(rounds: usize) -> anyhow::Result<PacketFigures> {
    let mut site = Site::enter(Setup {
        mode: Mode::Enforce,
        inspect: true,
    })?;
    site.believe(RESOLVER)?;
    let datagram = datagrams(
        &mut site,
        rounds,
        &[
            ("nothing attached", Some(&[])),
            ("only received packets", Some(&SENT)),
            ("only sent packets", Some(&RECEIVED)),
            ("both, no calls counted", Some(&COUNTING)),
            ("both", None),
        ],
    )?;
    let echo = echo(&mut site, rounds)?;
    let hello = hello(&mut site, rounds)?;
    let records = calls::records(&mut site, rounds)?;
    let runs = runs(&mut site, rounds)?;
    drop(site);
    let mut site = Site::enter(Setup {
        mode: Mode::Enforce,
        inspect: false,
    })?;
    let off = datagrams(
        &mut site,
        rounds,
        &[("nothing attached", Some(&[])), ("inspection off", None)],
    )?;
    site.attach()?;
    let off_programs = [Direction::Ingress, Direction::Egress]
        .into_iter()
        .map(|direction| Ok(site.packet_programs(direction)?.len()))
        .sum::<anyhow::Result<usize>>()?;
    Ok(PacketFigures {
        datagram,
        echo,
        hello,
        records,
        runs,
        off,
        off_programs,
    })
}

fn policy(unnamed: Unnamed) -> Policy {
    Policy {
        n: 100,
        unnamed,
        ..Policy::default()
    }
}

/// Two UDP sockets.
struct Datagrams {
    client: UdpSocket,
    server: UdpSocket,
}

impl Datagrams {
    fn new() -> anyhow::Result<Self> {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        client.connect(server.local_addr()?)?;
        Ok(Self { client, server })
    }

    fn pass(&self) -> anyhow::Result<()> {
        self.client.send(&[7; 64])?;
        self.server.recv(&mut [0; 64])?;
        Ok(())
    }
}

/// Name, and the hooks that are left out; none of `[]` means that nothing is attached.
type Hooks<'a> = (&'static str, Option<&'a [&'static str]>);

fn datagrams(
    site: &mut Site,
    rounds: usize,
    variants: &[Hooks<'_>],
) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 200,
        calls_per_sample: 16,
    };
    let sockets = Datagrams::new()?;
    let names: Vec<_> = variants.iter().map(|(name, _)| *name).collect();
    interleave(site, rounds, &names, |site, index| {
        match variants[index].1 {
            None => site.attach()?,
            Some([]) => site.detach()?,
            Some(hooks) => site.attach_without(hooks)?,
        }
        sockets.pass()?;
        let time = block(&effort, || {
            let _ = sockets.pass();
        });
        site.detach()?;
        Ok(time)
    })
}

/// A connection, both ends.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn open(listener: &TcpListener) -> anyhow::Result<Self> {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok(Self { client, server })
    }

    fn say(&mut self, hello: &[u8]) -> anyhow::Result<()> {
        self.client.write_all(hello)?;
        self.server.read_exact(&mut vec![0; hello.len()])?;
        Ok(())
    }

    fn echo(&mut self) -> anyhow::Result<()> {
        self.client.write_all(&[7])?;
        self.server.read_exact(&mut [0])?;
        self.server.write_all(&[7])?;
        self.client.read_exact(&mut [0])?;
        Ok(())
    }
}

fn echo(site: &mut Site, rounds: usize) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 200,
        calls_per_sample: 8,
    };
    let [mut unmarked, mut decided] = connections(site)?;
    let names = ["nothing attached", "never inspected", "after its decision"];
    interleave(site, rounds, &names, |site, index| {
        if index == 0 {
            site.detach()?;
        } else {
            site.attach()?;
        }
        let connection = if index == 2 {
            &mut decided
        } else {
            &mut unmarked
        };
        connection.echo()?;
        Ok(block(&effort, || {
            let _ = connection.echo();
        }))
    })
}

/// One that was never inspected, and one whose first flight has told an ordinary name.
fn connections(site: &mut Site) -> anyhow::Result<[Connection; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    site.attach()?;
    site.install(&policy(Unnamed::NeverMatters))?;
    let unmarked = Connection::open(&listener)?;
    site.install(&policy(Unnamed::Governed))?;
    let mut decided = Connection::open(&listener)?;
    decided.say(&wire::client_hello(ORDINARY))?;
    Ok([unmarked, decided])
}

fn hello(site: &mut Site, rounds: usize) -> anyhow::Result<Vec<Comparison>> {
    let effort = Effort {
        rounds,
        samples: 300,
        calls_per_sample: 1,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let hello = wire::client_hello(ORDINARY);
    let names = ["nothing attached", "not inspected", "inspected"];
    interleave(site, rounds, &names, |site, index| {
        if index == 0 {
            site.detach()?;
        } else {
            site.attach()?;
            site.install(&policy(if index == 1 {
                Unnamed::NeverMatters
            } else {
                Unnamed::Governed
            }))?;
        }
        Ok(block_timed(&effort, || {
            let Ok(mut connection) = Connection::open(&listener) else {
                return 0.0;
            };
            let begin = Instant::now();
            let _ = connection.client.write_all(&hello);
            begin.elapsed().as_nanos() as f64
        }))
    })
}

fn runs(site: &mut Site, rounds: usize) -> anyhow::Result<Vec<ProgramRuns>> {
    let [mut unmarked, mut decided] = connections(site)?;
    let datagrams = Datagrams::new()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let hello = wire::client_hello(ORDINARY);
    let mut answers = Answers::new()?;
    let _measuring = Measuring::start().context("measure programs")?;
    let mut meter = Meter { site, rounds };
    let mut rows = vec![
        meter.measure(INGRESS, "UDP, not from port 53", || datagrams.pass())?,
        meter.measure(INGRESS, "TCP", || unmarked.echo())?,
    ];
    for (name, kind) in [(ORDINARY, "ordinary"), (GOVERNED, "governed")] {
        for n in [1, 2, 4, 20] {
            let packet = format!("answer, {n} addresses of {kind} name");
            rows.push(meter.measure(INGRESS, &packet, || answers.pass(name, n))?);
        }
    }
    rows.extend([
        meter.measure(EGRESS, "UDP, never inspected", || datagrams.pass())?,
        meter.measure(EGRESS, "TCP, never inspected", || unmarked.echo())?,
        meter.measure(EGRESS, "TCP, after its decision", || decided.echo())?,
        meter.measure(EGRESS, "whole connection with hello, both ends", || {
            Connection::open(&listener)?.say(&hello)
        })?,
    ]);
    rows.extend(calls::runs(&mut meter, &mut unmarked)?);
    Ok(rows)
}

/// A program, its direction, and the how manieth of its direction it is.
type Place = (&'static str, Direction, usize);

const INGRESS: Place = (program::INGRESS, Direction::Ingress, 0);
const EGRESS: Place = (program::EGRESS, Direction::Egress, 0);

struct Meter<'a> {
    site: &'a mut Site,
    rounds: usize,
}

impl Meter<'_> {
    fn measure(
        &mut self,
        (program, direction, index): Place,
        packet: &str,
        mut call: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<ProgramRuns> {
        let programs = self.site.packet_programs(direction)?;
        ensure!(
            programs.len() == 2,
            "{} programs are attached",
            programs.len()
        );
        let id = programs[index];
        let mut means = Vec::new();
        let mut total = Runs::default();
        for _ in 0..self.rounds {
            let before = Runs::of(id)?;
            for _ in 0..CALLS_EACH_ROUND {
                call()?;
            }
            let spent = Runs::of(id)?.since(before);
            ensure!(spent.count > 0, "the program did not run");
            means.push(spent.mean_ns());
            total.count += spent.count;
            self.site.drain_events();
        }
        Ok(ProgramRuns {
            program,
            packet: packet.to_owned(),
            ns: median(&mut means),
            runs: total.count as f64 / self.rounds as f64 / f64::from(CALLS_EACH_ROUND),
        })
    }
}

/// Answers of a resolver that is believed, about ever other addresses.
struct Answers {
    server: UdpSocket,
    client: UdpSocket,
    next: u32,
}

impl Answers {
    fn new() -> anyhow::Result<Self> {
        let server = UdpSocket::bind((RESOLVER, 53))?;
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        server.connect(client.local_addr()?)?;
        Ok(Self {
            server,
            client,
            next: 0,
        })
    }

    fn pass(&mut self, name: &str, n: u32) -> anyhow::Result<()> {
        let (from, count) = ADDRESSES;
        let addresses: Vec<_> = (0..n)
            .map(|index| Ipv4Addr::from_bits(from.to_bits() + (self.next + index) % count))
            .collect();
        self.next += n;
        let answer = wire::dns_answer(&wire::dns_query(1, name), &addresses);
        self.server.send(&answer)?;
        self.client.recv(&mut [0; 512])?;
        Ok(())
    }
}

/// `time` is given which variant is meant, and answers its time in ns.
fn interleave(
    site: &mut Site,
    rounds: usize,
    names: &[&str],
    mut time: impl FnMut(&mut Site, usize) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Comparison>> {
    let mut times = Vec::new();
    for round in 0..rounds {
        let mut row = vec![0.0; names.len()];
        for step in 0..names.len() {
            let index = (round + step) % names.len();
            row[index] = time(site, index)?;
            site.drain_events();
        }
        times.push(row);
    }
    site.detach()?;
    Ok(compare(names, &times))
}
