//! The audit: records a second, and how long verification takes.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde::Serialize;
use weir::{
    audit::{Action, Actor, Entry, Key, Known, Proof, Target, Verifier, Via},
    store::{Store, StoreError, verify_audit},
};

/// What is written in one transaction, which waits for the disk.
const BATCH: u64 = 100;

#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub records: u64,
    /// Written in transactions of 100, each on the disk before the next.
    pub records_a_second: f64,
    /// One record in a transaction of its own, in µs, median.
    pub single_us: f64,
    pub verified: u64,
    pub verify_ms: f64,
    pub bytes_a_record: f64,
}

/// Writes `records` records and verifies them.
///
/// # Errors
///
/// When the store fails.
pub fn figures(records: u64) -> anyhow::Result<Figures> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let path = directory.path().join("weir.db");
    let mut store = Store::open(&path)?;
    let mut singles: Vec<f64> = Vec::new();
    for number in 0..BATCH {
        let start = Instant::now();
        write(&mut store, number, 1)?;
        singles.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let start = Instant::now();
    for batch in 1..records / BATCH {
        write(&mut store, batch * BATCH, BATCH)?;
    }
    let elapsed = start.elapsed();
    drop(store);
    let written = records / BATCH * BATCH;
    let bytes = path.metadata().context("look at the store")?.len();
    let (verified, took) = verify(&path)?;
    ensure!(verified == written, "{verified} of {written} verified");
    Ok(Figures {
        records: written,
        records_a_second: (written - BATCH) as f64 / elapsed.as_secs_f64(),
        single_us: super::measure::median(&mut singles),
        verified,
        verify_ms: took.as_secs_f64() * 1e3,
        bytes_a_record: bytes as f64 / written as f64,
    })
}

fn write(store: &mut Store, first: u64, n: u64) -> Result<(), StoreError> {
    store.at_once(|store| {
        for number in first..first + n {
            store.audit(Timestamp::now(), &entry(number))?;
        }
        Ok(())
    })
}

/// As a refusal looks, the most frequent one.
fn entry(number: u64) -> Entry {
    let actor = Actor {
        via: Via::Workload,
        identity: Some(format!("pod:shop/deployment/api-{}/server", number % 1_000)),
        ..Actor::default()
    };
    Entry::new(
        Action::InvocationRefused,
        actor,
        Target::new("endpoint", "openai.api"),
    )
    .because("no-grant")
    .with("count", number)
    .with("since", "2026-01-31T08:00:00Z")
}

fn verify(path: &std::path::Path) -> anyhow::Result<(u64, Duration)> {
    let key = Key::from_seed(&[7; 32]).public();
    let verifier = Verifier::new(key, &Proof::default(), Known::default());
    let start = Instant::now();
    let verified = verify_audit(path, verifier)?;
    // That nothing vouches for them is the only problem.
    ensure!(verified.problems.len() == 1, "{:?}", verified.problems);
    Ok((verified.records, start.elapsed()))
}
