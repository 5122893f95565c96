//! What is told to be recorded.

use serde_json::{Map, Value};

use super::{Action, Outcome};

/// How something came to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// By the agent itself.
    #[default]
    Agent,
    /// By a process on the API's socket.
    Api,
    /// By a policy file, of which only the owner is known.
    File,
    /// By a workload that called.
    Workload,
}

impl Via {
    pub const ALL: [Self; 4] = [Self::Agent, Self::Api, Self::File, Self::Workload];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Api => "api",
            Self::File => "file",
            Self::Workload => "workload",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.name() == name)
    }
}

/// Who did it, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    pub via: Via,
    pub uid: Option<u32>,
    /// Name of the user, at that time.
    pub user: Option<String>,
    pub pid: Option<u32>,
    /// Path below the cgroup root, `/` first.
    pub cgroup: Option<String>,
    /// Stable name of the workload.
    pub identity: Option<String>,
}

impl Actor {
    #[must_use]
    pub fn agent() -> Self {
        Self::default()
    }

    /// For the history of an object, and for log lines.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.via, self.uid, &self.identity) {
            (Via::Agent, _, _) => "agent".to_owned(),
            (_, Some(0), _) => "root".to_owned(),
            (_, Some(uid), _) => format!("uid {uid}"),
            (_, None, Some(identity)) => identity.clone(),
            (via, None, None) => via.name().to_owned(),
        }
    }
}

/// What it was done to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Kind of a policy object, `agent`, `task` or `endpoint`.
    pub kind: String,
    pub name: String,
}

impl Target {
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What happened, before it has a place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub action: Action,
    pub outcome: Outcome,
    pub actor: Actor,
    pub target: Target,
    /// Purpose of a right, or why something was done.
    pub reason: String,
    /// Facts of this action, for programs.
    pub details: Map<String, Value>,
}

impl Entry {
    /// Something that was done.
    #[must_use]
    pub fn new(action: Action, actor: Actor, target: Target) -> Self {
        Self {
            action,
            outcome: Outcome::Done,
            actor,
            target,
            reason: String::new(),
            details: Map::new(),
        }
    }

    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ..self
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn ended(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }
}
