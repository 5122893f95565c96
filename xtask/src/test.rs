//! `test`: every check there is, in stages that run on after a failure.
//!
//! The kernel matrix emulates its machines and needs minutes of CPU rather than root, so it runs
//! beside the host tests; the end-to-end tests measure time and get the machine to themselves.

mod cargo_test;

use std::{collections::BTreeSet, path::Path, thread};

use anyhow::{Result, anyhow};

use crate::{
    build, evade, kube, lint, machine, man, process, prometheus,
    report::{Outcome, Tally},
    setup::{self, Group},
    vm,
};

pub(crate) fn run() -> Result<Tally> {
    let mut total = Tally::default();
    let groups = BTreeSet::from([Group::Build, Group::Test]);
    if let Err(error) = setup::ensure(&groups) {
        total.record("setup", Outcome::Fail(format!("{error:#}")));
    }
    setup::ensure_clients();
    if nix::unistd::geteuid().is_root() {
        for made in [kube::ensure(), machine::ensure()] {
            if let Err(error) = made {
                eprintln!("warning: {error:#}; tests skip what needs it");
            }
        }
    }
    if let Err(error) = prometheus::ensure() {
        eprintln!("warning: {error:#}; tests skip what needs it");
    }
    let binary = build::run().map_err(|error| {
        total.record("build", Outcome::Fail(format!("{error:#}")));
    });
    total.absorb("lint", lint::run());
    total.record("alerting rules", prometheus::rules());
    let Ok(binary) = binary else {
        total.absorb("host tests", cargo_test::host());
        total.absorb("fuzz corpus", cargo_test::corpus());
        return Ok(total);
    };
    let (host, guests) = side_by_side(&binary);
    total.absorb("host tests", host);
    total.absorb("vm", guests);
    total.absorb("fuzz corpus", cargo_test::corpus());
    total.absorb("end-to-end tests", end_to_end(&binary));
    total.absorb("evasion suite", evasion(&binary));
    total.record("man pages and completions are current", man_pages(&binary));
    total.record("demo", demo());
    Ok(total)
}

fn side_by_side(binary: &Path) -> (Result<Tally>, Result<Tally>) {
    thread::scope(|scope| {
        let guests = scope.spawn(|| {
            let mut guests = vm::test_kernels(&vm::SERIES.map(str::to_owned), binary)?;
            guests.absorb("clock", vm::test_clock(binary));
            Ok(guests)
        });
        let host = cargo_test::host();
        let guests = guests
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the kernel matrix panicked")));
        (host, guests)
    })
}

fn end_to_end(binary: &Path) -> Result<Tally> {
    as_root("end-to-end tests", || cargo_test::end_to_end(binary))
}

fn evasion(binary: &Path) -> Result<Tally> {
    as_root("evasion suite", || evade::quick(binary))
}

fn as_root(name: &str, run: impl FnOnce() -> Result<Tally>) -> Result<Tally> {
    if nix::unistd::geteuid().is_root() {
        return run();
    }
    let mut tally = Tally::default();
    let why = "needs root to load kernel programs";
    tally.record(name, Outcome::Skip(why.into()));
    Ok(tally)
}

fn man_pages(binary: &Path) -> Outcome {
    match man::stale(binary) {
        Ok(stale) if stale.is_empty() => Outcome::Pass,
        Ok(stale) => {
            let stale: Vec<_> = stale.into_iter().collect();
            Outcome::Fail(format!(
                "stale: {}; run `cargo xtask man`",
                stale.join(", ")
            ))
        }
        Err(error) => Outcome::Fail(format!("{error:#}")),
    }
}

/// In a process of its own: it moves into other namespaces.
fn demo() -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return Outcome::Skip("needs root to load kernel programs".into());
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return Outcome::Fail(format!("find this program: {error}")),
    };
    match process::run(std::process::Command::new(own).arg("demo")) {
        Ok(()) => Outcome::Pass,
        Err(error) => Outcome::Fail(format!("{error:#}")),
    }
}
