//! Makes checkpoints and tells records to places outside, on a thread of its own: both wait for the
//! disk or for others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    audit::{Hash, Occasion, Record},
    config::Audit,
    error_chain,
    host::{
        checkpoints::Checkpoints,
        forward::{Forwarded, to_file, to_journal},
    },
    store::{AuditFilter, AuditReader},
};

/// How soon what failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How many records are told at a time.
const PORTION: u32 = 500;

/// The chain has come so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) end: (u64, Hash),
    pub(super) at: Timestamp,
    pub(super) occasion: Occasion,
}

/// The thread, which ends with it.
#[derive(Debug)]
pub(super) struct Witness {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    /// `found` is the last record of former agents: a place that is new is told what comes after.
    pub(super) fn start(
        checkpoints: Checkpoints,
        database: PathBuf,
        config: &Audit,
        found: u64,
    ) -> io::Result<Self> {
        let directory = database.parent().unwrap_or(Path::new("/")).to_owned();
        let mut worker = Worker {
            checkpoints,
            database,
            places: places(config),
            forwarded: Forwarded::read(&directory),
            found,
            failing: BTreeSet::new(),
        };
        let (jobs, received) = channel();
        let thread = thread::Builder::new()
            .name("weir-audit".to_owned())
            .spawn(move || worker.run(&received))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(super) fn tell(&self, job: Job) {
        // It ends with this only.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It does what it was told to do, then.
        self.jobs = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if ended.is_some_and(|ended| ended.is_err()) {
            tracing::error!("the audit's thread panicked");
        }
    }
}

#[derive(Clone, Debug)]
enum Place {
    Journal,
    File(PathBuf),
}

fn places(config: &Audit) -> BTreeMap<String, Place> {
    let journal = config
        .journald
        .then(|| ("journald".to_owned(), Place::Journal));
    let file = config.file.as_ref().map(|path| {
        let name = format!("file:{}", path.display());
        (name, Place::File(path.clone()))
    });
    journal.into_iter().chain(file).collect()
}

impl Place {
    fn tell(&self, records: &[Record]) -> io::Result<()> {
        match self {
            Self::Journal => to_journal(&records.iter().map(Record::journal).collect::<Vec<_>>()),
            Self::File(path) => {
                let lines = records.iter().map(|record| record.json().to_string());
                to_file(path, &lines.collect::<Vec<_>>())
            }
        }
    }
}

type Failure = Box<dyn std::error::Error>;

struct Worker {
    checkpoints: Checkpoints,
    database: PathBuf,
    places: BTreeMap<String, Place>,
    forwarded: Forwarded,
    found: u64,
    /// What did not work the last time; each is said once.
    failing: BTreeSet<String>,
}

impl Worker {
    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut unproven = None;
        let mut told = 0;
        loop {
            match jobs.recv_timeout(AGAIN) {
                Ok(job) => {
                    // Only the newest counts, but each occasion is worth a checkpoint.
                    told = job.end.0;
                    unproven = Some(job);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(job) = unproven {
                let proven = self.prove(job);
                if self.note("audit-checkpoints", proven) {
                    unproven = None;
                }
            }
            for (name, place) in self.places.clone() {
                let forwarded = self.forward(&name, &place, told);
                self.note(&name, forwarded);
            }
        }
    }

    /// Nothing is proven that a power failure could take back.
    fn prove(&mut self, job: Job) -> Result<(), Failure> {
        let log = self.database.with_extension("db-wal");
        for path in [&log, &self.database] {
            match File::open(path) {
                Ok(file) => file.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.checkpoints.add(job.end, job.at, job.occasion)?;
        Ok(())
    }

    fn forward(&mut self, name: &str, place: &Place, end: u64) -> Result<(), Failure> {
        let mut after = self.forwarded.get(name).unwrap_or(self.found);
        if after >= end {
            return Ok(());
        }
        let reader = AuditReader::open(&self.database)?;
        while after < end {
            let records = reader.records(&AuditFilter {
                after: Some(after),
                limit: PORTION,
                ..AuditFilter::default()
            })?;
            let Some(last) = records.last() else {
                return Ok(());
            };
            place.tell(&records)?;
            after = last.seq;
            self.forwarded.set(name, after)?;
        }
        Ok(())
    }

    /// True if it worked. A failure is said when it begins and when it ends.
    fn note(&mut self, what: &str, result: Result<(), Failure>) -> bool {
        match result {
            Ok(()) => {
                if self.failing.remove(what) {
                    tracing::info!(what, "the audit is told again");
                }
                true
            }
            Err(error) => {
                if self.failing.insert(what.to_owned()) {
                    let error = error_chain(&*error);
                    tracing::error!(error, what, "the audit cannot be told: tried again");
                }
                false
            }
        }
    }
}
