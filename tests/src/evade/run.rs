//! Runs techniques, first with nothing enforced and then against the agent, and says what became of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    FAMILIES, Technique, find,
    place::{Place, Setting},
};
use crate::harness::{Agent, eventually};

/// Attempts at the same time.
const WORKERS: usize = 4;
/// Longest time for one.
const LIFE: Duration = Duration::from_secs(12);
/// For what an attempt has sent to arrive.
const PATIENCE: Duration = Duration::from_millis(600);
/// The same in the first run, where nothing is held back.
const LONG_PATIENCE: Duration = Duration::from_secs(3);
/// What has to pass before and after each run.
const CONTROL: &str = "tcp4";
/// Who makes the last call of a run.
const LAST: &str = "last";

/// What became of one technique under one setting.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub setting: &'static str,
    pub family: &'static str,
    pub id: &'static str,
    pub title: &'static str,
    pub limit: Option<&'static str>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// It did not arrive with nothing enforced either.
    Impossible { why: String },
    /// It arrived.
    Open,
    /// It did not arrive: reasons of the agent's events, and what the caller saw.
    Stopped { reasons: Vec<String>, seen: String },
    /// It did not arrive, for a reason that is none of the agent's: the run proves nothing.
    Unclear { why: String },
}

impl Outcome {
    /// Of what did not arrive.
    fn held_back(reasons: Vec<String>, seen: &str) -> Self {
        /// How refusals look that no event tells of.
        const REFUSALS: [&str; 7] = [
            "EPERM",
            "EACCES",
            "ECONNABORTED",
            "ECONNRESET",
            "EPIPE",
            "EDESTADDRREQ",
            "silence",
        ];
        if reasons.is_empty() && !REFUSALS.contains(&seen) {
            return Self::Unclear {
                why: seen.to_owned(),
            };
        }
        Self::Stopped {
            reasons,
            seen: seen.to_owned(),
        }
    }
}

/// How an attempt looked to the one who made it, and whether it arrived.
#[derive(Clone, Debug)]
struct Try {
    token: String,
    seen: String,
    arrived: bool,
}

/// A technique and the name of its family.
type Chosen = (&'static str, &'static Technique);

/// Runs all techniques whose name contains `filter` under each setting; `tell` gets each finding.
///
/// # Errors
///
/// When the place cannot be made, or an entitled call does not pass.
///
/// # Panics
///
/// When the agent does not start.
pub fn run(
    settings: &[Setting],
    filter: &str,
    mut tell: impl FnMut(&Finding),
) -> io::Result<Vec<Finding>> {
    let program = std::env::current_exe()?;
    let place = Place::new(&program)?;
    let all = FAMILIES.iter().flat_map(|family| {
        let techniques = family.techniques.iter();
        techniques.map(|technique| (family.name, technique))
    });
    let chosen: Vec<Chosen> = all
        .filter(|(_, technique)| technique.id.contains(filter))
        .collect();
    let free = Round::new(&place, &program, "free", LONG_PATIENCE);
    free.make_cgroups(&chosen);
    let free = free.attempts(&chosen)?;
    let mut findings = Vec::new();
    for &setting in settings {
        let outcomes = against_agent(&place, &program, setting, &chosen, &free)?;
        for (&(family, technique), outcome) in chosen.iter().zip(outcomes) {
            let finding = Finding {
                setting: setting.name(),
                family,
                id: technique.id,
                title: technique.title,
                limit: technique.limit,
                outcome,
            };
            tell(&finding);
            findings.push(finding);
        }
    }
    Ok(findings)
}

/// Outcomes in the order of `chosen`. What did not arrive with nothing enforced is not tried.
fn against_agent(
    place: &Place,
    program: &Path,
    setting: Setting,
    chosen: &[Chosen],
    free: &Tries,
) -> io::Result<Vec<Outcome>> {
    let arrived = |technique: &Technique| free.get(technique.id).is_some_and(|found| found.arrived);
    let possible = chosen.iter().filter(|(_, technique)| arrived(technique));
    let possible: Vec<Chosen> = possible.copied().collect();
    let round = Round::new(place, program, setting.name(), PATIENCE);
    round.make_cgroups(&possible);
    let agent = place.agent(setting);
    round.control()?;
    let tries = round.attempts(&possible)?;
    let mut reasons = round.reasons(&agent, &tries)?;
    agent.stop();
    let outcomes = chosen.iter().map(|(_, technique)| {
        let id = technique.id;
        match tries.get(id) {
            None => Outcome::Impossible {
                why: free
                    .get(id)
                    .map_or(String::new(), |found| found.seen.clone()),
            },
            Some(found) if found.arrived => Outcome::Open,
            Some(found) => {
                let reasons = reasons.remove(id).unwrap_or_default();
                Outcome::held_back(reasons, &found.seen)
            }
        }
    });
    Ok(outcomes.collect())
}

/// All attempts under one setting.
struct Round<'a> {
    place: &'a Place,
    program: &'a Path,
    name: &'static str,
    patience: Duration,
    n_tokens: AtomicUsize,
}

type Tries = BTreeMap<&'static str, Try>;

impl<'a> Round<'a> {
    fn new(place: &'a Place, program: &'a Path, name: &'static str, patience: Duration) -> Self {
        Self {
            place,
            program,
            name,
            patience,
            n_tokens: AtomicUsize::new(0),
        }
    }

    fn make_cgroups(&self, chosen: &[Chosen]) {
        let ids = chosen.iter().map(|(_, technique)| technique.id);
        self.place.make_cgroups(self.name, ids.chain([LAST]));
    }

    fn attempts(&self, chosen: &[Chosen]) -> io::Result<Tries> {
        let next = AtomicUsize::new(0);
        let tries = Mutex::new(Tries::new());
        let failure = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Some((_, technique)) =
                        chosen.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let own = self.place.cgroup(self.name, technique.id);
                        match self.attempt(technique, &own) {
                            Ok(found) => lock(&tries).insert(technique.id, found),
                            Err(error) => {
                                lock(&failure).replace(error);
                                return;
                            }
                        };
                    }
                });
            }
        });
        if let Some(error) = lock(&failure).take() {
            return Err(error);
        }
        let mut tries = tries.into_inner().unwrap_or_else(PoisonError::into_inner);
        // What came late came all the same.
        for found in tries.values_mut() {
            found.arrived = self.place.arrivals.wait(&found.token, Duration::ZERO);
        }
        Ok(tries)
    }

    /// An entitled call, without which nothing that was stopped would prove anything.
    fn control(&self) -> io::Result<()> {
        let technique = find(CONTROL).ok_or(io::ErrorKind::NotFound)?;
        let found = self.attempt(technique, &self.place.out())?;
        if found.arrived {
            return Ok(());
        }
        let Self { name, .. } = self;
        let seen = found.seen;
        Err(io::Error::other(format!(
            "{name}: an entitled call did not arrive: {seen}"
        )))
    }

    fn attempt(&self, technique: &Technique, own: &Path) -> io::Result<Try> {
        let number = self.n_tokens.fetch_add(1, Ordering::Relaxed);
        let round: u32 = self.name.bytes().map(u32::from).sum();
        let process = std::process::id() & 0xff_ffff;
        let token = format!("EVADE-{process:06x}{round:04x}{number:06x}");
        let mut command = Command::new(self.program);
        let child = command
            .args(["attempt", technique.id, &token])
            .args([own, &self.place.out()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let seen = ended(child, own)?;
        if own != self.place.out() {
            // Whatever it has left running.
            end_all(own).or_else(ignore_missing)?;
        }
        let arrived = self.place.arrivals.wait(&token, self.patience);
        Ok(Try {
            token,
            seen,
            arrived,
        })
    }

    /// Reasons of the agent's events about each attempt that was stopped.
    ///
    /// # Errors
    ///
    /// When an entitled call does not pass any more.
    fn reasons(
        &self,
        agent: &Agent,
        tries: &Tries,
    ) -> io::Result<BTreeMap<&'static str, Vec<String>>> {
        let mut reasons: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        // Events come in order: with that of a last call, which is refused, all are there.
        let last = self.place.cgroup(self.name, LAST);
        self.attempt(find(CONTROL).ok_or(io::ErrorKind::NotFound)?, &last)?;
        let identity = self.place.identity(self.name, LAST);
        eventually("the last event", || {
            agent.events(&[("identity", &identity)]).pop()
        });
        self.control()?;
        let events = agent.events(&[("verdict", "deny")]);
        for id in tries
            .iter()
            .filter(|(_, found)| !found.arrived)
            .map(|(id, _)| id)
        {
            let Some(technique) = find(id) else {
                continue;
            };
            let identity = self.place.identity(self.name, technique.id);
            for event in &events {
                let who = event["identity"].as_str().unwrap_or_default();
                if who == identity
                    || who
                        .strip_prefix(&identity)
                        .is_some_and(|rest| rest.starts_with('/'))
                {
                    let reason = event["reason"].as_str().unwrap_or_default().to_owned();
                    reasons.entry(id).or_default().insert(reason);
                }
            }
        }
        let sorted = |reasons: BTreeSet<String>| reasons.into_iter().collect();
        let reasons = reasons
            .into_iter()
            .map(|(id, reasons)| (id, sorted(reasons)));
        Ok(reasons.collect())
    }
}

/// Ends whatever is in a cgroup; before 5.14 processes end by themselves.
fn end_all(cgroup: &Path) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .open(cgroup.join("cgroup.kill"))?;
    file.write_all(b"1")
}

/// A cgroup that an attempt has removed, or a file that this kernel has not.
fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        return Ok(());
    }
    Err(error)
}

/// What an attempt says of itself.
fn ended(mut child: Child, own: &Path) -> io::Result<String> {
    let deadline = Instant::now() + LIFE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            let _: io::Result<()> = end_all(own);
            child.kill()?;
            child.wait()?;
            return Ok("silence".into());
        }
        thread::park_timeout(Duration::from_millis(3));
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    Ok(if last.is_empty() {
        format!("ended with {}", output.status)
    } else {
        last.to_owned()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
