//! The program behind `cargo xtask bench`.

use anyhow::Context;
use clap::Parser;
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use weir_tests::bench::{connect, measure::Comparison, site::Site};

/// Measures what the kernel side adds to a connection.
#[derive(Parser)]
struct Args {
    /// Interleaved rounds of each comparison
    #[arg(long, default_value_t = 31)]
    rounds: usize,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    tight_loop: Vec<Comparison>,
    loopback: Vec<Comparison>,
    scale: Comparison,
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut site = Site::enter()?;
    let report = Report {
        machine: machine(),
        tight_loop: connect::tight_loop(&mut site, args.rounds)?,
        loopback: connect::loopback(&mut site, args.rounds)?,
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
        "{}, {} interleaved rounds, medians\n",
        report.machine, args.rounds
    );
    println!(
        "connect in a tight loop, no route\n{}\n",
        table(&report.tight_loop)
    );
    println!(
        "connect over loopback, accept and close\n{}\n",
        table(&report.loopback)
    );
    println!(
        "size of the policy, hot destinations (baseline: 100 of each)\n{}",
        table(&[report.scale])
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
