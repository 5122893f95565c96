//! What is done now and then, in small steps: a new cgroup may wait for one of them, not for all.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Core, core::files_seen};
use crate::{
    audit::Occasion,
    error_chain,
    host::{clock::now, name_servers},
};

/// How often the kernel's counters are taken over.
const DRAIN_EVERY: Duration = Duration::from_secs(2);
/// How often the policy directory is compared with what was read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often everything is checked that should have been noticed by itself.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often all cgroups and processes are looked for, although the kernel tells of them.
const SEARCH_EVERY: Duration = Duration::from_secs(60);
/// How many identities that are gone may leave their rules in the kernel.
const MOST_LEFT_RULES: usize = 4_096;
/// Processes that are looked for in one step.
const PROCESSES: usize = 64;

/// When what is due, and what is left to do of what was.
pub(super) struct Chores {
    drain: Instant,
    look: Instant,
    sweep: Instant,
    search: Instant,
    left: VecDeque<Chore>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chore {
    Look,
    Drain,
    KeepWatch,
    Search,
    /// Where the kernel does not tell of cgroups.
    SearchInstead,
    Rename,
    ForgetCgroups,
    ForgetWindows,
    ForgetFlows,
    NotePods,
    RecordAudit,
    ForgetNames,
    ExpectPaths,
    BelieveNameServers,
    UpdateAddresses,
    PruneUsage,
    ListProcesses,
    ForgetProcesses(Vec<u32>),
}

const SWEEP: [Chore; 13] = [
    Chore::SearchInstead,
    Chore::Rename,
    Chore::ForgetCgroups,
    Chore::ForgetWindows,
    Chore::ForgetFlows,
    Chore::NotePods,
    Chore::RecordAudit,
    Chore::ForgetNames,
    Chore::ExpectPaths,
    Chore::BelieveNameServers,
    Chore::UpdateAddresses,
    Chore::PruneUsage,
    Chore::KeepWatch,
];

impl Chores {
    pub(super) fn new(at: Instant) -> Self {
        Self {
            drain: at + DRAIN_EVERY,
            look: at + LOOK_EVERY,
            sweep: at + SWEEP_EVERY,
            search: at + SEARCH_EVERY,
            left: VecDeque::new(),
        }
    }

    fn next(&mut self, at: Instant) -> Option<Chore> {
        if self.look <= at {
            self.look = at + LOOK_EVERY;
            return Some(Chore::Look);
        }
        if self.drain <= at {
            self.drain = at + DRAIN_EVERY;
            return Some(Chore::Drain);
        }
        if self.left.is_empty() && self.sweep <= at {
            self.sweep = at + SWEEP_EVERY;
            self.left.extend(SWEEP);
        } else if self.left.is_empty() && self.search <= at {
            self.search = at + SEARCH_EVERY;
            self.left.extend([Chore::Search, Chore::ListProcesses]);
        }
        self.left.pop_front()
    }
}

impl Core {
    /// Does one thing, if anything is due.
    pub(super) fn do_what_is_due(&mut self, chores: &mut Chores) {
        self.end_expired_flows();
        if self.tasks_are_unchecked() {
            self.check_tasks();
        }
        if let Some(chore) = chores.next(Instant::now())
            && let Some(rest) = self.do_chore(chore)
        {
            chores.left.push_front(rest);
        }
    }

    fn look(&mut self) {
        self.check_tasks();
        self.advance_lives();
        self.prove(Occasion::Running);
        if files_seen(&self.config.policy_dir) != self.files_seen {
            self.reload();
        } else if self.narrowing.look(&self.running.revision.set) {
            self.reinstall("executables or users that policy names have changed");
        } else if self.running.needs_refill(now().boot_ns) {
            self.reinstall("windows of grants have passed");
        } else if self.running.revision.clock_was_set(&now()) {
            self.follow_clock();
        }
    }

    /// Returns what is left of it.
    fn do_chore(&mut self, chore: Chore) -> Option<Chore> {
        let at = now();
        match chore {
            Chore::Look => self.look(),
            Chore::Drain => {
                self.drain();
                self.look_for_anomalies();
            }
            Chore::KeepWatch => {
                return self.keep_what_was_learnt(false).then_some(Chore::KeepWatch);
            }
            Chore::Search => self.search(),
            Chore::SearchInstead if self.hears_of_cgroups => {}
            Chore::SearchInstead => self.search(),
            Chore::Rename => self.rename(&at),
            Chore::ForgetCgroups => self.forget_cgroups(at.boot_ns),
            Chore::ForgetFlows => self.forget_flows(),
            Chore::ForgetWindows => {
                if let Err(error) = self.maps.policy.forget_past_windows(at.boot_ns) {
                    tracing::warn!(error = error_chain(&error), "used limits not forgotten");
                }
            }
            Chore::NotePods => self.note_pods(at.wall),
            Chore::RecordAudit => {
                self.record_coverage();
                self.record_tallies(false);
                self.record_refusals(false);
            }
            Chore::ForgetNames => self.labels.forget_names(self.workloads.labels()),
            Chore::ExpectPaths => {
                if let Err(error) = self.maps.paths.replace(&self.workloads.expected()) {
                    tracing::warn!(error = error_chain(&error), "paths of cgroups not expected");
                }
            }
            Chore::BelieveNameServers => self.believe_name_servers(),
            Chore::UpdateAddresses => {
                self.book.expire(at.boot_ns);
                self.update_addresses();
                self.telling.forget_old(at.boot_ns);
            }
            Chore::PruneUsage => match self.store.prune(at.wall) {
                Ok(is_more) => return is_more.then_some(Chore::PruneUsage),
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), "old usage not dropped");
                }
            },
            Chore::ListProcesses => {
                return Some(Chore::ForgetProcesses(self.maps.processes.numbers()));
            }
            Chore::ForgetProcesses(mut numbers) => {
                let rest = numbers.split_off(numbers.len().min(PROCESSES));
                self.forget_those_that_ended(&numbers);
                return (!rest.is_empty()).then_some(Chore::ForgetProcesses(rest));
            }
        }
        None
    }

    fn forget_cgroups(&mut self, now_ns: u64) {
        let n_before = self.workloads.n_live();
        let gone = self.workloads.sweep(now_ns);
        for cgroup in &gone {
            if let Err(error) = self.maps.identities.remove(*cgroup) {
                tracing::warn!(error = error_chain(&error), cgroup, "cgroup not forgotten");
            }
        }
        self.forget_crowds(&gone);
        self.n_left_rules += n_before.saturating_sub(self.workloads.n_live());
        if self.n_left_rules > MOST_LEFT_RULES {
            self.reinstall("many workloads are gone whose rules are not");
        }
    }

    /// Reads again which resolvers this host asks.
    pub(super) fn believe_name_servers(&mut self) {
        let found = name_servers::discover(&self.config.name_servers);
        if found == self.name_servers {
            return;
        }
        let is_hint = |trust| trust == name_servers::Trust::Hint;
        let hints = found.iter().map(|(ip, trust)| (*ip, is_hint(*trust)));
        match self.maps.resolvers.replace(&hints.collect()) {
            Ok(()) => self.name_servers = found,
            Err(error) => tracing::error!(error = error_chain(&error), "resolvers not believed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_as_often_as_it_is_due() {
        let start = Instant::now();
        let mut chores = Chores::new(start);
        let mut done = Vec::new();
        for step in 0..12_500 {
            done.extend(chores.next(start + Duration::from_millis(10 * step)));
        }
        let count = |chore: &Chore| done.iter().filter(|one| *one == chore).count();
        assert_eq!(count(&Chore::Look), 124);
        assert_eq!(count(&Chore::Drain), 62);
        for chore in SWEEP {
            assert_eq!(count(&chore), 12, "{chore:?}");
        }
        assert_eq!(count(&Chore::Search), 2);
        assert_eq!(count(&Chore::ListProcesses), 2);
    }
}
