//! The program behind `cargo xtask bench`.

use anyhow::Context;
use clap::{Parser, ValueEnum};
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use weir_tests::bench::{
    agent,
    connect::{self, Span},
    measure::Comparison,
    site::Site,
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
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Connect,
    Agent,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    rounds: usize,
    tight_loop: Vec<Comparison>,
    loopback_connect: Vec<Comparison>,
    loopback_whole: Vec<Comparison>,
    scale: Comparison,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.what {
        What::Connect => connect_report(&args),
        What::Agent => agent_report(&args),
    }
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn connect_report(args: &Args) -> anyhow::Result<()> {
    let mut site = Site::enter()?;
    let report = Report {
        machine: machine(),
        rounds: args.rounds,
        tight_loop: connect::tight_loop(&mut site, args.rounds)?,
        loopback_connect: connect::loopback(&mut site, args.rounds, Span::Connect)?,
        loopback_whole: connect::loopback(&mut site, args.rounds, Span::Whole)?,
        scale: connect::scale(&mut site, args.rounds)?,
    };
    drop(site);
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&report).context("write JSON")?
        );
        return Ok(());
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
    ] {
        println!("\n{title}\n{}", table(rows));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn agent_report(args: &Args) -> anyhow::Result<()> {
    let figures = agent::figures(args.rounds.min(7))?;
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&figures).context("write JSON")?
        );
        return Ok(());
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
