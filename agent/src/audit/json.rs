//! Records for other programs: as JSON, and as fields of the journal.

use serde_json::{Value, json};

use super::{Action, Control, Outcome, Record, controls, hex};

/// Longer details are left out of the journal: a datagram has to hold them.
const MOST_JOURNAL_DETAILS: usize = 32 << 10;

impl Record {
    /// Names of the controls that this is evidence of.
    #[must_use]
    pub fn controls(&self) -> Vec<String> {
        let action = Action::from_name(&self.action);
        let controls = action.map_or(&[][..], controls);
        controls.iter().map(Control::name).collect()
    }

    /// As the API has it.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self {
            seq,
            at,
            action,
            outcome,
            actor,
            target,
            reason,
            details,
            hash,
        } = self;
        json!({
            "seq": seq,
            "at": at,
            "action": action,
            "outcome": outcome,
            "actor": {
                "via": actor.via.name(),
                "name": actor.name(),
                "uid": actor.uid,
                "user": actor.user,
                "pid": actor.pid,
                "cgroup": actor.cgroup,
                "identity": actor.identity,
            },
            "kind": target.kind,
            "name": target.name,
            "reason": reason,
            "details": serde_json::from_str::<Value>(details).unwrap_or_default(),
            "controls": self.controls(),
            "hash": hex(hash),
        })
    }

    /// One line for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self {
            action,
            target,
            actor,
            reason,
            ..
        } = self;
        let what = format!(
            "{action} {} {} by {}",
            target.kind,
            target.name,
            actor.name()
        );
        if reason.is_empty() {
            what
        } else {
            format!("{what}: {reason}")
        }
    }

    /// A message of the journal's native protocol.
    #[must_use]
    pub fn journal(&self) -> Vec<u8> {
        let priority = match self.outcome() {
            Some(Outcome::Done) => "5",
            Some(Outcome::Refused | Outcome::WouldRefuse | Outcome::Failed) | None => "4",
        };
        let priority = if self.is(Action::AuditTampered) {
            "2"
        } else {
            priority
        };
        let seq = self.seq.to_string();
        let (message, actor, hash) = (self.sentence(), self.actor.name(), hex(&self.hash));
        let controls = self.controls().join(", ");
        let mut fields = vec![
            ("MESSAGE", message.as_str()),
            ("PRIORITY", priority),
            ("SYSLOG_IDENTIFIER", "weir-audit"),
            ("WEIR_AUDIT_SEQ", &seq),
            ("WEIR_AUDIT_HASH", &hash),
            ("WEIR_AUDIT_ACTION", &self.action),
            ("WEIR_AUDIT_OUTCOME", &self.outcome),
            ("WEIR_AUDIT_ACTOR", &actor),
            ("WEIR_AUDIT_KIND", &self.target.kind),
            ("WEIR_AUDIT_NAME", &self.target.name),
            ("WEIR_AUDIT_CONTROLS", &controls),
        ];
        if self.details.len() <= MOST_JOURNAL_DETAILS {
            fields.push(("WEIR_AUDIT_DETAILS", &self.details));
        }
        let mut message = Vec::new();
        for (name, value) in fields {
            message.extend_from_slice(name.as_bytes());
            if value.contains('\n') {
                message.push(b'\n');
                message.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                message.push(b'=');
            }
            message.extend_from_slice(value.as_bytes());
            message.push(b'\n');
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::audit::{Action, Actor, Entry, Record, Row, Target};

    fn record(reason: &str) -> Record {
        let target = Target::new("InvocationGrant", "nightly");
        let entry = Entry::new(Action::GrantRevoked, Actor::agent(), target).because(reason);
        Record::new(&Row::of(5, Timestamp::UNIX_EPOCH, &entry, "{}"), [1; 32])
    }

    #[test]
    fn a_field_of_several_lines_forges_no_other_field() {
        let message = record("x\nPRIORITY=0").journal();
        let text = "grant-revoked InvocationGrant nightly by agent: x\nPRIORITY=0";
        let mut expected = b"MESSAGE\n".to_vec();
        expected.extend_from_slice(&(text.len() as u64).to_le_bytes());
        expected.extend_from_slice(text.as_bytes());
        expected.extend_from_slice(b"\nPRIORITY=5\n");
        assert!(message.starts_with(&expected), "{message:?}");
    }

    #[test]
    fn json_has_the_details_as_json() {
        let json = record("incident").json();
        assert_eq!(json["details"], serde_json::json!({}));
        assert_eq!(json["actor"]["name"], "agent");
    }
}
