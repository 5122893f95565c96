//! The life of a grant: `requested → approved → active → expired | revoked | rejected`.
//!
//! One life belongs to one content of one name: whoever changes the content begins another life.
//! This is the only place that says which step may follow which, and who may take it. It keeps
//! nothing and reads no clock: steps come with their instants.

mod person;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

pub use self::person::{By, NotAnother, Person};

/// How long a grant holds at most that nobody else has approved.
pub const BREAK_GLASS: SignedDuration = SignedDuration::from_hours(1);

/// Where a grant is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Waits for approval, and entitles nobody.
    Requested,
    /// Counts; its time has not begun.
    Approved,
    Active,
    Expired,
    Revoked,
    Rejected,
}

/// What moves a life on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Request,
    Approve(Basis),
    Activate,
    Expire,
    Revoke,
    Reject,
}

/// What an approval rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// No rule demands a second person.
    Rules,
    /// It hands on a right that its requester has.
    Lease,
    /// Another person than the requester.
    Person,
    /// Nobody else: for [`BREAK_GLASS`] at most.
    BreakGlass,
}

/// One step: who took it, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub step: Step,
    pub by: By,
    pub at: Timestamp,
    pub why: String,
}

/// What all steps so far have led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    stage: Stage,
    needs_approval: bool,
    requester: By,
    approval: Option<Approval>,
    last: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    pub basis: Basis,
    pub by: By,
    pub at: Timestamp,
}

/// Why a step cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error("it was {} by {by} at {at}, so it cannot be {} any more", done(*last), done(*step))]
    TooLate {
        step: Step,
        last: Step,
        by: By,
        at: Timestamp,
    },
    #[error("no rule demands an approval of it")]
    NotNeeded,
    #[error("a rule demands that another person approves it")]
    Needed,
    #[error(transparent)]
    NotAnother(#[from] NotAnother),
    #[error("say why: an empty reason proves nothing")]
    NoReason,
    #[error("only the agent records that")]
    NotByPeople,
    #[error("a life begins with a request, and only once")]
    NoBeginning,
}

impl Life {
    /// The life that `request` begins; `needs_approval` says whether any rule demands one.
    ///
    /// # Errors
    /// If the entry is another step.
    pub fn begin(needs_approval: bool, request: &Entry) -> Result<Self, StepError> {
        if request.step != Step::Request {
            return Err(StepError::NoBeginning);
        }
        Ok(Self {
            stage: Stage::Requested,
            needs_approval,
            requester: request.by,
            approval: None,
            last: request.clone(),
        })
    }

    /// The life of a lease that hands on a right which `by` has.
    #[must_use]
    pub fn lease(by: By, at: Timestamp) -> Option<Self> {
        let entry = |step, by| Entry {
            step,
            by,
            at,
            why: String::new(),
        };
        let approval = entry(Step::Approve(Basis::Lease), By::Agent);
        let request = Self::begin(true, &entry(Step::Request, by));
        request.and_then(|life| life.after(&approval)).ok()
    }

    /// The life that `entries` have led to, the oldest first.
    ///
    /// # Errors
    /// If one of them could not be taken.
    pub fn replay(needs_approval: bool, entries: &[Entry]) -> Result<Self, StepError> {
        let (request, rest) = entries.split_first().ok_or(StepError::NoBeginning)?;
        let begun = Self::begin(needs_approval, request)?;
        rest.iter().try_fold(begun, |life, entry| life.after(entry))
    }

    /// This life with one more step.
    ///
    /// # Errors
    /// If the step does not follow, or is not for whoever takes it: then nothing has changed.
    pub fn after(&self, entry: &Entry) -> Result<Self, StepError> {
        let stage = self.next(entry)?;
        let approval = match entry.step {
            Step::Approve(basis) => Some(Approval {
                basis,
                by: entry.by,
                at: entry.at,
            }),
            Step::Request | Step::Activate | Step::Expire | Step::Revoke | Step::Reject => {
                self.approval
            }
        };
        Ok(Self {
            stage,
            approval,
            last: entry.clone(),
            ..self.clone()
        })
    }

    fn next(&self, entry: &Entry) -> Result<Stage, StepError> {
        let stage = match (self.stage, entry.step) {
            (_, Step::Request) => return Err(StepError::NoBeginning),
            (Stage::Requested, Step::Approve(_)) => Stage::Approved,
            (Stage::Requested, Step::Reject) => Stage::Rejected,
            (Stage::Approved, Step::Activate) => Stage::Active,
            (Stage::Requested | Stage::Approved | Stage::Active, Step::Revoke) => Stage::Revoked,
            (Stage::Requested | Stage::Approved | Stage::Active, Step::Expire) => Stage::Expired,
            (
                Stage::Requested
                | Stage::Approved
                | Stage::Active
                | Stage::Expired
                | Stage::Revoked
                | Stage::Rejected,
                step @ (Step::Approve(_)
                | Step::Activate
                | Step::Expire
                | Step::Revoke
                | Step::Reject),
            ) => {
                return Err(StepError::TooLate {
                    step,
                    last: self.last.step,
                    by: self.last.by,
                    at: self.last.at,
                });
            }
        };
        self.check_who(entry)?;
        Ok(stage)
    }

    fn check_who(&self, entry: &Entry) -> Result<(), StepError> {
        let by_agent = entry.by == By::Agent;
        match entry.step {
            Step::Approve(Basis::Rules) if self.needs_approval => Err(StepError::Needed),
            Step::Approve(Basis::Rules | Basis::Lease) | Step::Activate | Step::Expire
                if !by_agent =>
            {
                Err(StepError::NotByPeople)
            }
            Step::Approve(Basis::Person | Basis::BreakGlass) if !self.needs_approval => {
                Err(StepError::NotNeeded)
            }
            Step::Approve(Basis::Person | Basis::BreakGlass) | Step::Reject
                if entry.why.trim().is_empty() =>
            {
                Err(StepError::NoReason)
            }
            Step::Approve(Basis::Person) => Ok(entry.by.is_another_than(self.requester)?),
            Step::Approve(Basis::BreakGlass) if by_agent => Err(NotAnother::Nobody.into()),
            Step::Request
            | Step::Approve(Basis::Rules | Basis::Lease | Basis::BreakGlass)
            | Step::Activate
            | Step::Expire
            | Step::Revoke
            | Step::Reject => Ok(()),
        }
    }

    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    #[must_use]
    pub const fn requester(&self) -> By {
        self.requester
    }

    /// The step taken last.
    #[must_use]
    pub const fn last(&self) -> &Entry {
        &self.last
    }

    #[must_use]
    pub const fn approval(&self) -> Option<Approval> {
        self.approval
    }

    /// The instant at which it ends whatever it says, where its time counts from `begun`.
    #[must_use]
    pub fn ends_at_latest(&self, begun: Timestamp) -> Option<Timestamp> {
        let broken = self
            .approval
            .filter(|approval| approval.basis == Basis::BreakGlass);
        let cap = broken.map(|_| begun.checked_add(BREAK_GLASS).unwrap_or(begun));
        let expired = (self.stage == Stage::Expired).then_some(self.last.at);
        cap.into_iter().chain(expired).min()
    }

    /// Whether it was let through by rules of which one demands an approval by now.
    #[must_use]
    pub fn lacks(&self, needs: &[String]) -> bool {
        let by_rules = |approval: Approval| approval.basis == Basis::Rules;
        self.approval.is_some_and(by_rules) && !self.stage.is_over() && !needs.is_empty()
    }
}

/// Where a grant stands that has this life, or none yet, and of which rules demand `needs`.
#[must_use]
pub fn stage_of(life: Option<&Life>, needs: &[String]) -> Stage {
    match life {
        Some(life) if life.lacks(needs) => Stage::Requested,
        Some(life) => life.stage,
        None if needs.is_empty() => Stage::Approved,
        None => Stage::Requested,
    }
}

impl Stage {
    pub const ALL: [Self; 6] = [
        Self::Requested,
        Self::Approved,
        Self::Active,
        Self::Expired,
        Self::Revoked,
        Self::Rejected,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
        }
    }

    /// Whether the grant is part of what the kernel gets. One that has run out still explains why a
    /// connection is refused.
    #[must_use]
    pub const fn counts(self) -> bool {
        match self {
            Self::Approved | Self::Active | Self::Expired => true,
            Self::Requested | Self::Revoked | Self::Rejected => false,
        }
    }

    /// Whether no step follows.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Requested | Self::Approved | Self::Active => false,
            Self::Expired | Self::Revoked | Self::Rejected => true,
        }
    }
}

impl Step {
    pub const ALL: [Self; 9] = [
        Self::Request,
        Self::Approve(Basis::Rules),
        Self::Approve(Basis::Lease),
        Self::Approve(Basis::Person),
        Self::Approve(Basis::BreakGlass),
        Self::Activate,
        Self::Expire,
        Self::Revoke,
        Self::Reject,
    ];

    /// Whether the time of the grant counts from here: a person has approved it.
    #[must_use]
    pub const fn counts_anew(self) -> bool {
        match self {
            Self::Approve(Basis::Person | Basis::BreakGlass) => true,
            Self::Request
            | Self::Approve(Basis::Rules | Basis::Lease)
            | Self::Activate
            | Self::Expire
            | Self::Revoke
            | Self::Reject => false,
        }
    }

    /// Unique, for the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Approve(Basis::Rules) => "approve-by-rules",
            Self::Approve(Basis::Lease) => "approve-lease",
            Self::Approve(Basis::Person) => "approve",
            Self::Approve(Basis::BreakGlass) => "break-glass",
            Self::Activate => "activate",
            Self::Expire => "expire",
            Self::Revoke => "revoke",
            Self::Reject => "reject",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

const fn done(step: Step) -> &'static str {
    match step {
        Step::Request => "requested",
        Step::Approve(Basis::BreakGlass) => "let through by breaking glass",
        Step::Approve(Basis::Rules | Basis::Lease | Basis::Person) => "approved",
        Step::Activate => "activated",
        Step::Expire => "ended",
        Step::Revoke => "revoked",
        Step::Reject => "rejected",
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(done(*self))
    }
}

#[cfg(test)]
mod tests;
