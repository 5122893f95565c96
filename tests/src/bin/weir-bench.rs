//! The program behind `cargo xtask bench`.

use std::time::Duration;

use agent_common::settings::Mode;
use anyhow::Context;
use clap::{Parser, ValueEnum};
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use weir_tests::bench::{
    agent, anomaly, audit,
    connect::{self, Calls, Span},
    identities,
    measure::Comparison,
    names, packets, revocation,
    site::{Setup, Site},
};

/// Measures what Weir costs.
#[derive(Parser)]
struct Args {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// Interleaved rounds of each comparison
    #[arg(long, default_value_t = 31)]
    rounds: usize,
    /// Longer where a rate is kept
    #[arg(long)]
    full: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Connect,
    Identities,
    Names,
    Packets,
    Agent,
    Revocation,
    Audit,
    Anomaly,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    rounds: usize,
    tight_loop: Vec<Comparison>,
    loopback_connect: Vec<Comparison>,
    loopback_whole: Vec<Comparison>,
    scale: Comparison,
    observe_tight_loop: Vec<Comparison>,
    observe_connect: Vec<Comparison>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.what {
        What::Connect => connect_report(&args),
        What::Identities => identities_report(&args),
        What::Names => names_report(&args),
        What::Packets => packets_report(&args),
        What::Agent => agent_report(&args),
        What::Revocation => revocation_report(&args),
        What::Audit => audit_report(&args),
        What::Anomaly => anomaly_report(&args),
    }
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn connect_report(args: &Args) -> anyhow::Result<()> {
    let setup = |mode| Setup {
        mode,
        inspect: true,
    };
    let mut site = Site::enter(setup(Mode::Enforce))?;
    let tight_loop = connect::tight_loop(&mut site, args.rounds, Calls::All)?;
    let loopback_connect = connect::loopback(&mut site, args.rounds, Calls::All, Span::Connect)?;
    let loopback_whole = connect::loopback(&mut site, args.rounds, Calls::All, Span::Whole)?;
    let scale = connect::scale(&mut site, args.rounds)?;
    drop(site);
    let mut site = Site::enter(setup(Mode::Observe))?;
    let report = Report {
        machine: machine(),
        rounds: args.rounds,
        tight_loop,
        loopback_connect,
        loopback_whole,
        scale,
        observe_tight_loop: connect::tight_loop(&mut site, args.rounds, Calls::Unknown)?,
        observe_connect: connect::loopback(&mut site, args.rounds, Calls::Unknown, Span::Connect)?,
    };
    drop(site);
    if args.json {
        return print_json(&report);
    }
    println!(
        "{}, {} interleaved rounds, medians",
        report.machine, report.rounds
    );
    for (title, rows) in [
        ("connect in a tight loop, no route", &report.tight_loop),
        (
            "connect over loopback, the call alone",
            &report.loopback_connect,
        ),
        (
            "socket, connect, accept, close over loopback",
            &report.loopback_whole,
        ),
        (
            "hot destinations, against a policy of 100 grants and addresses",
            &vec![report.scale],
        ),
        (
            "connect in a tight loop, no route, observing",
            &report.observe_tight_loop,
        ),
        (
            "connect over loopback, the call alone, observing",
            &report.observe_connect,
        ),
    ] {
        println!("\n{title}\n{}", table(rows));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn revocation_report(args: &Args) -> anyhow::Result<()> {
    let figures = revocation::figures(args.rounds.min(15))?;
    if args.json {
        return print_json(&figures);
    }
    println!("{}", machine());
    println!(
        "a right ends with {} live connections beside {}; {} of others harmed",
        figures.own, figures.others, figures.harmed
    );
    for (from, felt) in [
        ("command typed", &figures.revoked),
        ("end of a ttl", &figures.expired),
    ] {
        for (to, ms) in [
            ("last octet through", &felt.through_ms),
            ("last caller told", &felt.ended_ms),
        ] {
            println!(
                "{from} to {to}: p50 {:.1} ms, max {:.1} ms of {} rounds",
                ms.p50, ms.max, ms.n
            );
        }
    }
    let us = &figures.refused_us;
    println!(
        "end of a ttl to first refusal returned, in a tight loop: p50 {:.0} us, max {:.0} us of {} \
         rounds; {} calls that began after the end went through",
        us.p50, us.max, us.n, figures.late
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn agent_report(args: &Args) -> anyhow::Result<()> {
    let figures = agent::figures(args.rounds.min(7))?;
    if args.json {
        return print_json(&figures);
    }
    println!("{}, medians", machine());
    println!("start to enforcing          {:>8.0} ms", figures.start_ms);
    println!("resident memory, idle       {:>8.1} MiB", figures.rss_mib);
    println!(
        "applying 10,000 grants      {:>8.0} ms",
        figures.apply_10k_grants_ms
    );
    println!(
        "resident memory, with them  {:>8.1} MiB",
        figures.rss_10k_grants_mib
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn audit_report(args: &Args) -> anyhow::Result<()> {
    let records = if args.full { 1_000_000 } else { 200_000 };
    let figures = audit::figures(records)?;
    if args.json {
        return print_json(&figures);
    }
    println!("{}", machine());
    println!(
        "records in transactions of 100 {:>10.0} a second",
        figures.records_a_second
    );
    println!(
        "one alone, on the disk         {:>10.0} us",
        figures.single_us
    );
    println!(
        "verifying {:>9} records    {:>10.0} ms",
        figures.verified, figures.verify_ms
    );
    println!(
        "one record                     {:>10.0} octets",
        figures.bytes_a_record
    );
    Ok(())
}

/// Seeds above 10: those below are for tuning.
#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn anomaly_report(args: &Args) -> anyhow::Result<()> {
    let figures = anomaly::figures(11..if args.full { 31 } else { 14 }, 60);
    let cost = anomaly::cost(100_000);
    if args.json {
        return print_json(&(figures, cost));
    }
    println!("{}", machine());
    println!(
        "{:.0} % of anomalies found, {:.3} false alarms for each series and week",
        100.0 * figures.recall(),
        figures.false_alarms()
    );
    let mut kinds = Table::new();
    kinds
        .load_style(NOTHING)
        .set_header(["KIND", "EVENTS", "ALARMED", "MEDIAN DELAY"]);
    for (kind, row) in &figures.kinds {
        let delay = row.median_delay();
        kinds.add_row([
            format!("{kind:?}"),
            row.events.to_string(),
            row.alarmed.to_string(),
            delay.map_or_else(String::new, |minutes| format!("{minutes} min")),
        ]);
    }
    println!("{kinds}");
    println!(
        "{} series of {} octets: {:.0} ns an update in order, {:.0} ns in random order",
        cost.series, cost.bytes_a_series, cost.sequential_ns, cost.random_ns
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn identities_report(args: &Args) -> anyhow::Result<()> {
    let duration = Duration::from_secs(if args.full { 60 } else { 10 });
    let figures = identities::figures(args.rounds.min(9), duration)?;
    if args.json {
        return print_json(&figures);
    }
    let naming = &figures.naming;
    println!("{}", machine());
    println!(
        "{} new cgroups in {:.0} s beside {}: named after p50 {} us, p99 {} us, max {} us",
        naming.made,
        naming.seconds,
        figures.cgroups,
        naming.median_us,
        naming.p99_us,
        naming.max_us
    );
    println!(
        "the agent meanwhile: {:.1} % of a processor, {:.1} MiB",
        naming.cpu_percent, naming.rss_mib
    );
    for hook in &figures.hooks {
        println!(
            "{:<16} {:>6.0} ns a run, of {} runs",
            hook.program, hook.ns, hook.runs
        );
    }
    println!("\nfork, exec and exit\n{}", table(&figures.process));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn names_report(args: &Args) -> anyhow::Result<()> {
    let figures = names::figures()?;
    if args.json {
        return print_json(&figures);
    }
    println!("{}", machine());
    for run in &figures.pairs {
        println!(
            "resolved, then connected: {} of {} missed, in {:.1} s",
            run.missed, run.pairs, run.seconds
        );
    }
    let refusal = &figures.refusal;
    println!(
        "refused by first flight, write() to error: p50 {:.0} us, p99 {:.0} us, max {:.0} us; of {} \
         {} without an error in time, {} with another",
        refusal.us.p50,
        refusal.us.p99,
        refusal.us.max,
        refusal.us.n as u32 + refusal.silent + refusal.other,
        refusal.silent,
        refusal.other
    );
    let shared = figures.shared;
    println!(
        "address of several names: {} of {} ordinary refused, {} of {} governed missed, in {:.1} s",
        shared.falsely_refused, shared.ordinary, shared.missed, shared.governed, shared.seconds
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn packets_report(args: &Args) -> anyhow::Result<()> {
    let figures = packets::figures(args.rounds)?;
    if args.json {
        return print_json(&figures);
    }
    println!("{}, {} interleaved rounds, medians", machine(), args.rounds);
    for (title, rows) in [
        ("one datagram over loopback", &figures.datagram),
        ("one octet each way on a TCP connection", &figures.echo),
        ("write() of a hello of 517 octets", &figures.hello),
        (
            "a record of TLS each way on a granted connection",
            &figures.records,
        ),
        ("one datagram, inspection off", &figures.off),
    ] {
        println!("\n{title}\n{}", table(rows));
    }
    println!(
        "programs that run for packets while inspection is off: {}",
        figures.off_programs
    );
    let mut runs = Table::new();
    runs.load_style(NOTHING)
        .set_header(["PROGRAM", "PACKET", "ONE RUN", "RUNS EACH"]);
    for row in &figures.runs {
        runs.add_row([
            row.program.to_owned(),
            row.packet.clone(),
            format!("{:.0} ns", row.ns),
            format!("{:.1}", row.runs),
        ]);
    }
    println!("\nas the kernel measures\n{runs}");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn print_json(report: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report).context("write JSON")?;
    println!("{text}");
    Ok(())
}

fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: ").map(ToOwned::to_owned))
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "Linux {}, {cpus} x {cpu}",
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn table(rows: &[Comparison]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["VARIANT", "ONE CALL", "ADDED", "QUARTILES", "RATIO"]);
    for row in rows {
        let (low, high) = row.added_ns_quartiles;
        table.add_row([
            row.variant.clone(),
            format!("{:.0} ns", row.median_ns),
            format!("{:+.0} ns", row.added_ns),
            format!("{low:+.0} .. {high:+.0} ns"),
            format!("{:.3}", row.ratio),
        ]);
    }
    table
}
