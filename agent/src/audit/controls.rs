//! Which controls a record is evidence of. The words are ours; the numbers are those of the
//! frameworks.

use super::Action;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Framework {
    NistCsf,
    NistAiRmf,
    OwaspAgentic,
    CsaMaestro,
}

impl Framework {
    pub const ALL: [Self; 4] = [
        Self::NistCsf,
        Self::NistAiRmf,
        Self::OwaspAgentic,
        Self::CsaMaestro,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NistCsf => "NIST CSF 2.0",
            Self::NistAiRmf => "NIST AI RMF 1.0",
            Self::OwaspAgentic => "OWASP Agentic 2026",
            Self::CsaMaestro => "CSA MAESTRO",
        }
    }
}

/// What an auditor ticks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Control {
    pub framework: Framework,
    pub id: &'static str,
    pub about: &'static str,
}

impl Control {
    /// `NIST CSF 2.0 PR.AA-05`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.framework.name(), self.id)
    }
}

const fn csf(id: &'static str, about: &'static str) -> Control {
    Control {
        framework: Framework::NistCsf,
        id,
        about,
    }
}

const fn rmf(id: &'static str, about: &'static str) -> Control {
    Control {
        framework: Framework::NistAiRmf,
        id,
        about,
    }
}

const fn owasp(id: &'static str, about: &'static str) -> Control {
    Control {
        framework: Framework::OwaspAgentic,
        id,
        about,
    }
}

const fn maestro(id: &'static str, about: &'static str) -> Control {
    Control {
        framework: Framework::CsaMaestro,
        id,
        about,
    }
}

const RIGHTS: Control = csf(
    "PR.AA-05",
    "rights are defined, least, kept apart, and reviewed",
);
const IDENTITIES: Control = csf("PR.AA-01", "identities of services are managed");
const POLICY: Control = csf("GV.PO-02", "policy is reviewed, updated and communicated");
const EXCEPTIONS: Control = csf(
    "ID.RA-07",
    "changes and exceptions are assessed and recorded",
);
const LOGS: Control = csf("PR.PS-04", "logs are made and kept for monitoring");
const NETWORK: Control = csf(
    "PR.IR-01",
    "networks are protected from use without a right",
);
const MONITORING: Control = csf("DE.CM-01", "network traffic is monitored for bad events");
const RUNTIME: Control = csf("DE.CM-09", "software and runtimes are monitored");
const ANOMALIES: Control = csf("DE.AE-02", "unusual events are analysed");
const CONTAINMENT: Control = csf("RS.MI-01", "incidents are contained");
const INTEGRITY: Control = csf(
    "RS.AN-06",
    "what was done is recorded, and the records' integrity is kept",
);

const ACCOUNTABLE: Control = rmf("GOVERN 2.1", "roles and responsibilities are clear");
const THIRD_PARTIES: Control = rmf("GOVERN 6.1", "policies cover risks of third parties");
const OVERSIGHT: Control = rmf("MAP 3.5", "people oversee by defined processes");
const IN_PRODUCTION: Control = rmf("MEASURE 2.4", "behaviour in production is monitored");
const SECURITY: Control = rmf("MEASURE 2.7", "security and resilience are evaluated");
const TRANSPARENCY: Control = rmf("MEASURE 2.8", "risks of transparency are examined");
const DISENGAGE: Control = rmf("MANAGE 2.4", "an AI system can be stopped or overruled");
const PROVIDERS: Control = rmf("MANAGE 3.1", "resources of third parties are controlled");

const TOOLS: Control = owasp(
    "ASI02",
    "tools are used for other ends than they are given for",
);
const PRIVILEGES: Control = owasp("ASI03", "identity and privileges are abused");
const SUPPLY: Control = owasp("ASI04", "components of others are trusted unseen");
const CASCADES: Control = owasp("ASI08", "one failure spreads through many agents");
const TRUST: Control = owasp("ASI09", "people are led to approve what they should not");
const ROGUES: Control = owasp("ASI10", "an agent acts outside what it was made for");

const MODELS: Control = maestro("Layer 1", "models and their interfaces");
const INFRASTRUCTURE: Control = maestro("Layer 4", "where agents run");
const OBSERVABILITY: Control = maestro("Layer 5", "what is measured and seen");
const COMPLIANCE: Control = maestro("Layer 6", "security and compliance across all layers");
const ECOSYSTEM: Control = maestro("Layer 7", "agents among agents and people");

/// What a record of `action` is evidence of, in the order of the frameworks.
#[must_use]
pub const fn controls(action: Action) -> &'static [Control] {
    match action {
        Action::GrantRequested => &[RIGHTS, OVERSIGHT, PRIVILEGES, COMPLIANCE],
        Action::GrantApproved | Action::GrantRejected => &[
            RIGHTS,
            ACCOUNTABLE,
            OVERSIGHT,
            PRIVILEGES,
            TRUST,
            COMPLIANCE,
        ],
        Action::GrantActivated => &[RIGHTS, IDENTITIES, PROVIDERS, PRIVILEGES, TOOLS, COMPLIANCE],
        Action::GrantRevoked => &[
            RIGHTS,
            CONTAINMENT,
            DISENGAGE,
            PRIVILEGES,
            CASCADES,
            COMPLIANCE,
        ],
        Action::GrantExpired => &[RIGHTS, DISENGAGE, PRIVILEGES, COMPLIANCE],
        Action::DenyAdded => &[NETWORK, CONTAINMENT, DISENGAGE, ROGUES, CASCADES, MODELS],
        Action::DenyRemoved => &[NETWORK, EXCEPTIONS, OVERSIGHT, ROGUES, MODELS],
        Action::PolicyApplied | Action::PolicyDeleted => {
            &[POLICY, EXCEPTIONS, THIRD_PARTIES, SUPPLY, COMPLIANCE]
        }
        Action::BreakGlass => &[
            EXCEPTIONS,
            RIGHTS,
            ACCOUNTABLE,
            OVERSIGHT,
            TRUST,
            COMPLIANCE,
        ],
        Action::ModeChanged => &[NETWORK, EXCEPTIONS, SECURITY, ROGUES, INFRASTRUCTURE],
        Action::AgentStarted | Action::AgentStopped => {
            &[LOGS, RUNTIME, SECURITY, ROGUES, INFRASTRUCTURE]
        }
        Action::CoverageChanged => &[MONITORING, RUNTIME, IN_PRODUCTION, ROGUES, OBSERVABILITY],
        Action::TaskBegun | Action::TaskEnded => {
            &[IDENTITIES, RIGHTS, IN_PRODUCTION, PRIVILEGES, ECOSYSTEM]
        }
        Action::InvocationRefused => &[
            NETWORK,
            MONITORING,
            IN_PRODUCTION,
            TOOLS,
            ROGUES,
            OBSERVABILITY,
        ],
        Action::InvocationHighRisk => &[
            MONITORING,
            LOGS,
            IN_PRODUCTION,
            PROVIDERS,
            TOOLS,
            OBSERVABILITY,
        ],
        Action::BudgetSpent => &[
            RIGHTS,
            MONITORING,
            CONTAINMENT,
            IN_PRODUCTION,
            TOOLS,
            OBSERVABILITY,
        ],
        Action::ChangeRefused => &[RIGHTS, ACCOUNTABLE, PRIVILEGES, COMPLIANCE],
        Action::AnomalyFound => &[
            ANOMALIES,
            MONITORING,
            IN_PRODUCTION,
            TOOLS,
            ROGUES,
            OBSERVABILITY,
        ],
        Action::AnomalyAcknowledged => &[ANOMALIES, OVERSIGHT, ROGUES, OBSERVABILITY],
        Action::AnomalyMuted | Action::AnomalyUnmuted => {
            &[MONITORING, EXCEPTIONS, OVERSIGHT, TRUST, OBSERVABILITY]
        }
        Action::AuditTampered => &[INTEGRITY, LOGS, TRANSPARENCY, ROGUES, OBSERVABILITY],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_is_evidence_in_every_framework() {
        for action in Action::ALL {
            let frameworks: BTreeSet<_> = controls(action)
                .iter()
                .map(|control| control.framework)
                .collect();
            assert_eq!(
                frameworks,
                BTreeSet::from(Framework::ALL),
                "{}",
                action.name()
            );
        }
    }
}
