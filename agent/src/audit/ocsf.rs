//! Records in the Open Cybersecurity Schema Framework, version 1.5.0.
//!
//! Rights and rules are managed entities, invocations are API activity, the agent itself is an
//! application. What the schema has no place for stands in `unmapped`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Action, Actor, Outcome, Record, hex};

const VERSION: &str = "1.5.0";
/// `(class, category)`.
const ENTITY_MANAGEMENT: (u32, u32) = (3004, 3);
const LIFECYCLE: (u32, u32) = (6002, 6);
const API_ACTIVITY: (u32, u32) = (6003, 6);
const OTHER: u32 = 99;

/// One event. `host` is the name of this machine.
#[must_use]
pub fn ocsf(record: &Record, host: &str) -> Value {
    let action = Action::from_name(&record.action);
    let ((class, category), activity) = classify(action);
    let (status, status_name) = match record.outcome() {
        Some(Outcome::Done) => (1, "Success"),
        Some(Outcome::Refused | Outcome::Failed) => (2, "Failure"),
        Some(Outcome::WouldRefuse) | None => (99, record.outcome.as_str()),
    };
    let details: Value = serde_json::from_str(&record.details).unwrap_or_default();
    let mut event = json!({
        "activity_id": activity,
        "activity_name": record.action,
        "category_uid": category,
        "class_uid": class,
        "type_uid": class * 100 + activity,
        "severity_id": severity(action),
        "time": record.at.as_millisecond(),
        "status_id": status,
        "status": status_name,
        "message": record.sentence(),
        "metadata": {
            "version": VERSION,
            "product": product(),
            "log_name": "audit",
            "uid": record.seq.to_string(),
            "sequence": record.seq,
        },
        "unmapped": {
            "seq": record.seq,
            "hash": hex(&record.hash),
            "via": record.actor.via.name(),
            "by": record.actor.name(),
            "cgroup": record.actor.cgroup,
            "controls": record.controls(),
            "details": details,
        },
    });
    let more = match (class, category) {
        ENTITY_MANAGEMENT => json!({
            "actor": actor(&record.actor),
            "entity": {"name": record.target.name, "type": record.target.kind},
            "comment": record.reason,
            "src_endpoint": {"hostname": host},
        }),
        API_ACTIVITY => json!({
            "actor": actor(&record.actor),
            "api": {"operation": "invoke", "service": {"name": record.target.name}},
            "src_endpoint": {"hostname": host},
            "dst_endpoint": {"svc_name": record.target.name},
            "status_detail": record.reason,
            "count": details.get("count").cloned().unwrap_or_else(|| json!(1)),
            "start_time": since(&details).unwrap_or(record.at).as_millisecond(),
            "end_time": record.at.as_millisecond(),
        }),
        _ => json!({"app": product()}),
    };
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    event
}

/// When what a record adds up began.
fn since(details: &Value) -> Option<Timestamp> {
    details.get("since")?.as_str()?.parse().ok()
}

const fn classify(action: Option<Action>) -> ((u32, u32), u32) {
    let Some(action) = action else {
        return (ENTITY_MANAGEMENT, OTHER);
    };
    match action {
        Action::GrantRequested | Action::DenyAdded | Action::TaskBegun => (ENTITY_MANAGEMENT, 1),
        Action::PolicyApplied => (ENTITY_MANAGEMENT, 3),
        Action::GrantRevoked | Action::DenyRemoved | Action::PolicyDeleted | Action::TaskEnded => {
            (ENTITY_MANAGEMENT, 4)
        }
        Action::GrantActivated | Action::BreakGlass => (ENTITY_MANAGEMENT, 10),
        Action::GrantExpired => (ENTITY_MANAGEMENT, 11),
        Action::GrantApproved
        | Action::GrantRejected
        | Action::ChangeRefused
        | Action::AnomalyAcknowledged
        | Action::AnomalyMuted
        | Action::AnomalyUnmuted => (ENTITY_MANAGEMENT, OTHER),
        Action::AgentStarted => (LIFECYCLE, 3),
        Action::AgentStopped => (LIFECYCLE, 4),
        Action::ModeChanged | Action::CoverageChanged | Action::AuditTampered => (LIFECYCLE, OTHER),
        Action::InvocationRefused
        | Action::InvocationHighRisk
        | Action::BudgetSpent
        | Action::AnomalyFound => (API_ACTIVITY, OTHER),
    }
}

/// 1 informational to 5 critical.
const fn severity(action: Option<Action>) -> u32 {
    match action {
        Some(Action::AuditTampered) => 5,
        Some(Action::BreakGlass) => 4,
        Some(
            Action::InvocationRefused
            | Action::ChangeRefused
            | Action::ModeChanged
            | Action::CoverageChanged
            | Action::BudgetSpent
            | Action::AnomalyFound,
        ) => 3,
        Some(
            Action::GrantRequested
            | Action::GrantApproved
            | Action::GrantRejected
            | Action::GrantActivated
            | Action::GrantRevoked
            | Action::GrantExpired
            | Action::DenyAdded
            | Action::DenyRemoved
            | Action::PolicyApplied
            | Action::AnomalyAcknowledged
            | Action::AnomalyMuted
            | Action::AnomalyUnmuted
            | Action::PolicyDeleted
            | Action::AgentStarted
            | Action::AgentStopped
            | Action::TaskBegun
            | Action::TaskEnded
            | Action::InvocationHighRisk,
        )
        | None => 1,
    }
}

fn product() -> Value {
    json!({"name": "Weir", "vendor_name": "Weir", "version": env!("CARGO_PKG_VERSION")})
}

/// One of these has to be there: a user, a process or the name of an application.
fn actor(actor: &Actor) -> Value {
    let mut told = Map::new();
    let app = actor.identity.as_deref();
    told.insert(
        "app_name".to_owned(),
        json!(app.unwrap_or(actor.via.name())),
    );
    if let Some(uid) = actor.uid {
        let mut user = json!({"uid": uid.to_string()});
        if let (Some(user), Some(name)) = (user.as_object_mut(), &actor.user) {
            user.insert("name".to_owned(), json!(name));
        }
        told.insert("user".to_owned(), user);
    }
    if let Some(pid) = actor.pid {
        told.insert("process".to_owned(), json!({"pid": pid}));
    }
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Entry, Row, Target, Via};

    fn record(action: Action) -> Record {
        let actor = Actor {
            via: Via::Api,
            uid: Some(0),
            user: Some("root".to_owned()),
            pid: Some(42),
            ..Actor::default()
        };
        let entry = Entry::new(action, actor, Target::new("InvocationGrant", "nightly"))
            .because("incident 4711")
            .with("count", 7);
        let row = Row::of(5, Timestamp::UNIX_EPOCH, &entry, "{\"count\":7}");
        Record::new(&row, [1; 32])
    }

    #[test]
    fn a_revocation_is_the_deletion_of_an_entity() {
        let event = ocsf(&record(Action::GrantRevoked), "db1");
        assert_eq!(event["class_uid"], 3004);
        assert_eq!(event["type_uid"], 300_404);
        assert_eq!(event["entity"]["name"], "nightly");
        assert_eq!(event["actor"]["user"]["name"], "root");
        assert_eq!(
            event["message"],
            "grant-revoked InvocationGrant nightly by root: incident 4711"
        );
    }

    #[test]
    fn invocations_have_their_count() {
        let event = ocsf(&record(Action::InvocationRefused), "db1");
        assert_eq!(event["class_uid"], 6003);
        assert_eq!(event["count"], 7);
        assert_eq!(event["src_endpoint"]["hostname"], "db1");
    }

    /// What every class of the schema requires.
    #[test]
    fn no_event_lacks_what_is_required() {
        for action in Action::ALL {
            let event = ocsf(&record(action), "db1");
            for name in [
                "activity_id",
                "category_uid",
                "class_uid",
                "metadata",
                "severity_id",
                "time",
                "type_uid",
            ] {
                assert!(event.get(name).is_some(), "{name} of {}", action.name());
            }
            let required: &[&str] = match event["class_uid"].as_u64() {
                Some(3004) => &["entity"],
                Some(6002) => &["app"],
                _ => &["actor", "api", "src_endpoint"],
            };
            for name in required {
                assert!(event.get(name).is_some(), "{name} of {}", action.name());
            }
        }
    }
}
