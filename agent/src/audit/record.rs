//! A record in the chain: its fields as they are stored, and the hash over them.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Actor, Entry, Outcome, Target, Via};

/// SHA-256.
pub type Hash = [u8; 32];

/// What the first record follows.
pub const GENESIS: Hash = [0; 32];

/// Told to the hash first, so that no other program's bytes can pass for a record.
const DOMAIN: &[u8] = b"weir audit record 1\0";

/// A record exactly as it is stored, whatever somebody may have written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    pub seq: u64,
    /// Microseconds since 1970.
    pub at: i64,
    pub action: &'a str,
    pub outcome: &'a str,
    pub via: &'a str,
    pub uid: Option<i64>,
    pub user: Option<&'a str>,
    pub pid: Option<i64>,
    pub cgroup: Option<&'a str>,
    pub identity: Option<&'a str>,
    pub kind: &'a str,
    pub name: &'a str,
    pub reason: &'a str,
    /// A JSON object, its names in order.
    pub details: &'a str,
}

impl<'a> Row<'a> {
    /// `details` is the text of the entry's details.
    #[must_use]
    pub fn of(seq: u64, at: Timestamp, entry: &'a Entry, details: &'a str) -> Self {
        let Entry {
            action,
            outcome,
            actor,
            target,
            reason,
            details: _,
        } = entry;
        let Actor {
            via,
            uid,
            user,
            pid,
            cgroup,
            identity,
        } = actor;
        let Target { kind, name } = target;
        Self {
            seq,
            at: at.as_microsecond(),
            action: action.name(),
            outcome: outcome.name(),
            via: via.name(),
            uid: uid.map(i64::from),
            user: user.as_deref(),
            pid: pid.map(i64::from),
            cgroup: cgroup.as_deref(),
            identity: identity.as_deref(),
            kind,
            name,
            reason,
            details,
        }
    }

    /// Covers every field and the hash of the record before. Every text says how long it is, so two
    /// different records never are the same bytes.
    #[must_use]
    pub fn hash(&self, previous: &Hash) -> Hash {
        let Self {
            seq,
            at,
            action,
            outcome,
            via,
            uid,
            user,
            pid,
            cgroup,
            identity,
            kind,
            name,
            reason,
            details,
        } = self;
        let mut bytes = Bytes(Vec::with_capacity(256 + details.len()));
        bytes.0.extend_from_slice(DOMAIN);
        bytes.0.extend_from_slice(previous);
        bytes.0.extend_from_slice(&seq.to_be_bytes());
        bytes.number(*at);
        bytes.text(action);
        bytes.text(outcome);
        bytes.text(via);
        bytes.option(*uid, Bytes::number);
        bytes.option(*user, Bytes::text);
        bytes.option(*pid, Bytes::number);
        bytes.option(*cgroup, Bytes::text);
        bytes.option(*identity, Bytes::text);
        bytes.text(kind);
        bytes.text(name);
        bytes.text(reason);
        bytes.text(details);
        Sha256::digest(&bytes.0).into()
    }
}

struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// A record for reading. Texts are as they are stored, so one of a newer weir can be shown, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub seq: u64,
    pub at: Timestamp,
    pub action: String,
    pub outcome: String,
    pub actor: Actor,
    pub target: Target,
    pub reason: String,
    /// JSON.
    pub details: String,
    pub hash: Hash,
}

impl Record {
    #[must_use]
    pub fn new(row: &Row<'_>, hash: Hash) -> Self {
        let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        let text = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self {
            seq: row.seq,
            at: Timestamp::from_microsecond(row.at).unwrap_or_default(),
            action: row.action.to_owned(),
            outcome: row.outcome.to_owned(),
            actor: Actor {
                via: Via::from_name(row.via).unwrap_or_default(),
                uid: number(row.uid),
                user: text(row.user),
                pid: number(row.pid),
                cgroup: text(row.cgroup),
                identity: text(row.identity),
            },
            target: Target::new(row.kind, row.name),
            reason: row.reason.to_owned(),
            details: row.details.to_owned(),
            hash,
        }
    }

    #[must_use]
    pub fn is(&self, action: super::Action) -> bool {
        self.action == action.name()
    }

    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::from_name(&self.outcome)
    }

    /// A fact of the details.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<serde_json::Value> {
        let details: serde_json::Value = serde_json::from_str(&self.details).ok()?;
        details.get(name).cloned()
    }
}

/// Two digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that [`hex`] wrote; `None` for anything else.
#[must_use]
pub fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        // A sign would pass as a digit.
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row<'static> = Row {
        seq: 7,
        at: 1,
        action: "grant-revoked",
        outcome: "done",
        via: "api",
        uid: Some(0),
        user: Some("root"),
        pid: Some(42),
        cgroup: Some("/a"),
        identity: None,
        kind: "InvocationGrant",
        name: "nightly",
        reason: "incident",
        details: "{}",
    };

    #[test]
    fn every_field_and_the_record_before_count() {
        let row = ROW;
        let changed = [
            Row { seq: 8, ..row },
            Row { at: 2, ..row },
            Row {
                action: "grant-expired",
                ..row
            },
            Row {
                outcome: "failed",
                ..row
            },
            Row { via: "file", ..row },
            Row {
                uid: Some(1),
                ..row
            },
            Row { uid: None, ..row },
            Row { user: None, ..row },
            Row {
                pid: Some(43),
                ..row
            },
            Row {
                cgroup: Some("/b"),
                ..row
            },
            Row {
                cgroup: None,
                identity: Some("/a"),
                ..row
            },
            Row {
                kind: "InvocationGran",
                name: "tnightly",
                ..row
            },
            Row {
                name: "nightl",
                ..row
            },
            Row { reason: "", ..row },
            Row {
                details: "{ }",
                ..row
            },
        ];
        let mut hashes: Vec<_> = changed.iter().map(|row| row.hash(&GENESIS)).collect();
        hashes.push(row.hash(&GENESIS));
        hashes.push(row.hash(&[1; 32]));
        let n_hashes = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), n_hashes);
    }

    #[test]
    fn digits_lead_back() {
        assert_eq!(parse_hex(&hex(&[0, 15, 255])), Some([0, 15, 255]));
        assert_eq!(parse_hex::<1>("+f"), None);
        assert_eq!(parse_hex::<1>("0"), None);
        assert_eq!(parse_hex::<1>("éé"), None);
    }
}
