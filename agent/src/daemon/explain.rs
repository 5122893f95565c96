//! Would X reach Y, and why? Answered by the function that the kernel runs.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use agent_common::{
    address::Address,
    destination::Destination,
    policy::RuleId,
    verdict::{Decision, Reason, Verdict, settle},
};
use thiserror::Error;

use super::{Certainty, Core, LimitView, ProcessView, Recognised};
use crate::{
    host::{clock::now, process},
    identity::{Identity, Labels},
    policy::{Considered, ExplainError, PostureSource, explain},
    store::StoreError,
};

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Pid(u32),
    /// Path below the cgroup root, or the directory itself.
    Cgroup(String),
    /// Stable name, as `weir identities` prints it.
    Identity(String),
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Endpoint(String),
    Host(String),
    Address(SocketAddr),
}

/// The whole question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    About {
        subject: Subject,
        place: Place,
    },
    /// The attempt that an event tells of, judged by the policy of now.
    Event(u64),
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Explained {
    pub identity: String,
    pub labels: Labels,
    pub found_by: String,
    pub cgroup: Option<String>,
    pub pid: Option<u32>,
    /// The process and those that led to it, nearest first.
    pub lineage: Vec<ProcessView>,
    pub asked: String,
    pub targets: Vec<Recognised>,
    pub decision: Decision,
    pub verdict: Verdict,
    pub rule: Option<String>,
    pub posture: Option<PostureSource>,
    pub considered: Vec<Considered>,
    /// Of the grant that decides.
    pub limits: Vec<LimitView>,
    /// What the verdict leaves open, as a sentence.
    pub note: Option<String>,
}

#[derive(Debug, Error)]
pub enum QuestionError {
    #[error("no process {0}: it has ended, or runs in another pid namespace")]
    NoProcess(u32),
    #[error("no identity `{0}`; `weir identities` lists all")]
    NoIdentity(String),
    #[error("there is no cgroup `{0}` below the governed one")]
    NoCgroup(String),
    #[error("no event {0}; `weir events --json` shows their ids")]
    NoEvent(u64),
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The caller of the attempt.
pub(super) struct Caller {
    pub(super) identity: Identity,
    pub(super) found_by: String,
    pub(super) cgroup: Option<String>,
    pub(super) pid: Option<u32>,
    pub(super) lineage: Vec<ProcessView>,
}

impl Core {
    /// # Errors
    ///
    /// When caller or target cannot be found.
    pub fn explain(&self, question: Question) -> Result<Explained, QuestionError> {
        match question {
            Question::About { subject, place } => self.about(self.caller(subject)?, place),
            Question::Event(id) => {
                let event = self.store.event(id)?.ok_or(QuestionError::NoEvent(id))?;
                let name = self.store.names()?.identities.remove(&event.identity);
                let mut caller = self.caller(Subject::Identity(name.unwrap_or_default()))?;
                caller.found_by = format!(
                    "event {id} at {}, which was {}, {}",
                    event.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    event.verdict.name(),
                    event.reason.name()
                );
                caller.pid = event.pid;
                caller.cgroup = event.cgroup;
                let ip = event.address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
                let address = SocketAddr::new(ip, event.port);
                let at = self.recognise(&Place::Address(address));
                // What the first packets told is not in the address.
                let mut explained = match self.endpoint_name(event.endpoint) {
                    Some(name) => {
                        let found = at.into_iter().find(|one| one.endpoint == name);
                        let mut explained = self.about(caller, Place::Endpoint(name))?;
                        for target in &mut explained.targets {
                            match &found {
                                Some(found) => target.clone_from(found),
                                None => "the name in its first packets".clone_into(&mut target.how),
                            }
                        }
                        explained
                    }
                    None => self.about(caller, Place::Address(address))?,
                };
                explained.asked = format!("address {address}");
                explained.note = None;
                if is_about_names(event.reason) {
                    explained.decision =
                        Decision::new(event.reason, RuleId::NONE, explained.decision.endpoint());
                    explained.verdict = settle(self.config.mode, &explained.decision);
                    explained.rule = None;
                }
                Ok(explained)
            }
        }
    }

    pub(super) fn caller(&self, subject: Subject) -> Result<Caller, QuestionError> {
        match subject {
            Subject::Pid(pid) => {
                let path = process::cgroup_path(pid).map_err(|_| QuestionError::NoProcess(pid))?;
                let mut caller = self.in_cgroup(&path)?;
                caller.found_by = format!("process {pid} is in cgroup {path}");
                if let Some(narrowed) = self.narrowed(caller.identity.id, pid) {
                    caller.identity = narrowed.clone();
                    caller.found_by += ", and policy tells it from others there";
                }
                caller.pid = Some(pid);
                caller.lineage = self.process_reader().lineage(pid);
                Ok(caller)
            }
            Subject::Cgroup(path) => {
                let root = self.host.cgroup_root.display().to_string();
                let below = path.strip_prefix(&root).unwrap_or(&path);
                if !self
                    .host
                    .cgroup_root
                    .join(below.trim_start_matches('/'))
                    .is_dir()
                {
                    return Err(QuestionError::NoCgroup(path));
                }
                self.in_cgroup(if below.is_empty() { "/" } else { below })
            }
            Subject::Identity(name) => {
                let known = self.store.identities()?;
                let found = known.into_iter().find(|known| known.key == name);
                let found = found.ok_or(QuestionError::NoIdentity(name))?;
                Ok(Caller {
                    identity: found.into(),
                    found_by: "by its name".to_owned(),
                    cgroup: None,
                    pid: None,
                    lineage: Vec::new(),
                })
            }
        }
    }

    fn in_cgroup(&self, path: &str) -> Result<Caller, QuestionError> {
        let found = self.workloads.at_path(path);
        let (identity, at) = found.ok_or_else(|| QuestionError::NoCgroup(path.to_owned()))?;
        let found_by = if at == path {
            format!("cgroup {path}")
        } else {
            format!("cgroup {path} inherits from {at}")
        };
        Ok(Caller {
            identity: identity.clone(),
            found_by,
            cgroup: Some(path.to_owned()),
            pid: None,
            lineage: Vec::new(),
        })
    }

    fn about(&self, caller: Caller, place: Place) -> Result<Explained, QuestionError> {
        let asked = match &place {
            Place::Endpoint(name) => format!("endpoint {name}"),
            Place::Host(host) => format!("host {host}"),
            Place::Address(address) => format!("address {address}"),
        };
        let targets = self.recognise(&place);
        let mut decision = Decision::UNGOVERNED;
        let mut posture = None;
        let mut considered: Vec<Considered> = Vec::new();
        for Recognised { endpoint, .. } in &targets {
            let revision = &self.running.revision;
            let said = explain(
                &revision.set,
                &revision.numbers,
                &caller.identity,
                endpoint,
                now().wall,
            )?;
            decision = decision.or_stricter(said.decision);
            posture.get_or_insert(said.posture);
            for one in said.considered {
                if !considered.contains(&one) {
                    considered.push(one);
                }
            }
        }
        if let Place::Address(address) = &place {
            decision = decision.or_stricter(self.decide_address(&caller.identity, *address));
        }
        let at = now();
        decision = self.limited(decision, &caller.identity, &at);
        let limits = self.limits_of(&caller.identity, decision.rule(), &at);
        let note = self.left_open(&caller.identity, &place, &targets);
        let names = self.store.names()?;
        let rule = names
            .rules
            .get(&decision.rule())
            .map(|(_, name)| name.clone());
        Ok(Explained {
            identity: caller.identity.key(),
            labels: Arc::unwrap_or_clone(caller.identity.labels),
            found_by: caller.found_by,
            cgroup: caller.cgroup,
            pid: caller.pid,
            lineage: caller.lineage,
            asked,
            targets,
            verdict: settle(self.config.mode, &decision),
            decision,
            rule,
            posture,
            considered,
            limits,
            note,
        })
    }

    /// What name and address alone do not tell.
    fn left_open(
        &self,
        identity: &Identity,
        place: &Place,
        targets: &[Recognised],
    ) -> Option<String> {
        let by_name = targets.iter().any(|one| one.certainty == Certainty::ByName);
        let matters = self.inspection.is_ok() && self.maps.policy.names_matter_to(identity.id);
        let text = match (place, targets.is_empty()) {
            (Place::Endpoint(_), _) => return None,
            (Place::Address(_), false) if by_name => {
                "other names lead to this address, too: what the first packets ask for decides, and \
                 an ordinary name passes; ask with --host"
            }
            (Place::Address(_), true) if matters => {
                "this identity's first packets are read: a model endpoint's name is refused there, and \
                 so is what tells no name if the posture says so; ask with --host"
            }
            (Place::Host(_), true) if matters => {
                "at an address that only model endpoints are known to have, this name is refused as \
                 well; ask with --address"
            }
            (Place::Address(_) | Place::Host(_), _) => return None,
        };
        Some(text.to_owned())
    }

    pub(super) fn destinations(&self, address: SocketAddr) -> Vec<Destination> {
        let key = Address::from_ip(address.ip());
        let by_address = [address.port(), 0]
            .into_iter()
            .filter_map(|port| self.installed_addresses.get(&(key, port)).copied());
        by_address
            .chain(self.maps.policy.prefix_matches(key, address.port()))
            .collect()
    }

    /// By the rules in the kernel, prefixes of deny rules included.
    fn decide_address(&self, identity: &Identity, address: SocketAddr) -> Decision {
        let now_ns = now().boot_ns;
        let learned = self.learned(address).into_iter().map(Destination::one);
        let known = self.destinations(address);
        known
            .into_iter()
            .chain(learned)
            .fold(Decision::UNGOVERNED, |strictest, destination| {
                strictest.or_stricter(self.maps.policy.decide(identity.id, &destination, now_ns))
            })
    }
}

/// Whether a refusal says that no name could be told, which the policy of now cannot change.
const fn is_about_names(reason: Reason) -> bool {
    match reason {
        Reason::SharedAddress
        | Reason::NoSni
        | Reason::Ech
        | Reason::Quic
        | Reason::Undecidable => true,
        Reason::Ungoverned
        | Reason::Granted
        | Reason::DefaultAllow
        | Reason::NoGrant
        | Reason::DeniedByRule
        | Reason::Expired
        | Reason::NotYetValid
        | Reason::NoPolicy
        | Reason::ForeignSocket
        | Reason::RawSocket
        | Reason::LimitReached
        | Reason::BudgetSpent => false,
    }
}

/// A reason as a sentence.
#[must_use]
pub const fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::Ungoverned => "no model endpoint is known there, so nothing is governed",
        Reason::Granted => "a live grant entitles the identity",
        Reason::DefaultAllow => "no grant entitles the identity, and its posture allows that",
        Reason::NoGrant => "no grant entitles the identity, and its posture refuses that",
        Reason::DeniedByRule => "a deny rule refuses, whatever grants say",
        Reason::Expired => "the grant has ended",
        Reason::NotYetValid => "the grant has not begun",
        Reason::NoPolicy => "no policy is installed",
        Reason::SharedAddress => {
            "several services answer there, and what was sent does not tell which is meant"
        }
        Reason::NoSni => "the first packets name no server, and the posture refuses that",
        Reason::Ech => "the server's name is encrypted, and the posture refuses that",
        Reason::Quic => "QUIC hides the server's name, and the posture refuses that",
        Reason::Undecidable => {
            "the first packets do not tell what is asked for, and the posture refuses that"
        }
        Reason::LimitReached => "a limit of the grant is reached",
        Reason::BudgetSpent => "the calls or the cost that the grant allows are used up",
        Reason::ForeignSocket => "the socket was made by another workload",
        Reason::RawSocket => {
            "the socket is neither TCP nor UDP, so nothing can judge what it sends, and the posture \
             refuses that"
        }
    }
}
