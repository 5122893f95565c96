//! Signed checkpoints: how far the chain went, and when.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{GENESIS, Hash, hex, parse_hex};

/// Why a checkpoint was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// Before a started agent has added anything.
    Start,
    Running,
    /// After the last record of an agent that stopped in order.
    Stop,
}

impl Occasion {
    const fn number(self) -> u8 {
        match self {
            Self::Start => 0,
            Self::Running => 1,
            Self::Stop => 2,
        }
    }
}

/// Up to here the chain is as the agent has written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts from 1.
    pub number: u64,
    /// The last record; 0 for none.
    pub seq: u64,
    pub hash: Hash,
    pub at: Timestamp,
    pub occasion: Occasion,
    /// Hash of the line before.
    pub previous: Hash,
}

/// What a signature is for: one cannot be used as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A line of the file that only grows.
    Line,
    /// The one file that always says how many lines there are.
    Head,
}

/// A checkpoint as it stands in a file, its signature unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub checkpoint: Checkpoint,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    number: u64,
    seq: u64,
    hash: String,
    at: Timestamp,
    occasion: Occasion,
    previous: String,
    signature: String,
}

impl Checkpoint {
    fn message(&self, purpose: Purpose) -> Vec<u8> {
        let Self {
            number,
            seq,
            hash,
            at,
            occasion,
            previous,
        } = self;
        let domain: &[u8] = match purpose {
            Purpose::Line => b"weir audit checkpoint 1\0",
            Purpose::Head => b"weir audit head 1\0",
        };
        let mut message = domain.to_vec();
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&seq.to_be_bytes());
        message.extend_from_slice(hash);
        message.extend_from_slice(&at.as_microsecond().to_be_bytes());
        message.push(occasion.number());
        message.extend_from_slice(previous);
        message
    }
}

impl Signed {
    /// One line of JSON, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        let Checkpoint {
            number,
            seq,
            hash,
            at,
            occasion,
            previous,
        } = self.checkpoint;
        let wire = Wire {
            number,
            seq,
            hash: hex(&hash),
            at,
            occasion,
            previous: hex(&previous),
            signature: hex(&self.signature.to_bytes()),
        };
        // Plain fields always have a form; an empty line would not pass for a checkpoint.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// `None` for what is no checkpoint.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let Wire {
            number,
            seq,
            hash,
            at,
            occasion,
            previous,
            signature,
        } = serde_json::from_str(line).ok()?;
        Some(Self {
            checkpoint: Checkpoint {
                number,
                seq,
                hash: parse_hex(&hash)?,
                at,
                occasion,
                previous: parse_hex(&previous)?,
            },
            signature: Signature::from_bytes(&parse_hex(&signature)?),
        })
    }
}

/// What the next checkpoint names as the one before.
#[must_use]
pub fn line_hash(line: &str) -> Hash {
    Sha256::digest(line.as_bytes()).into()
}

/// What the first line follows.
pub const FIRST_LINE: Hash = GENESIS;

/// The agent's key, with which it signs.
pub struct Key(SigningKey);

impl Key {
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    #[must_use]
    pub fn sign(&self, checkpoint: Checkpoint, purpose: Purpose) -> Signed {
        Signed {
            checkpoint,
            signature: self.0.sign(&checkpoint.message(purpose)),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.public()).finish()
    }
}

/// With which everybody can check what the agent has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = parse_hex(text.trim())?;
        VerifyingKey::from_bytes(&bytes).ok().map(Self)
    }

    #[must_use]
    pub fn text(&self) -> String {
        hex(self.0.as_bytes())
    }

    /// Whether the agent with this key has signed it.
    #[must_use]
    pub fn has_signed(&self, signed: &Signed, purpose: Purpose) -> bool {
        let message = signed.checkpoint.message(purpose);
        self.0.verify_strict(&message, &signed.signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINT: Checkpoint = Checkpoint {
        number: 2,
        seq: 7,
        hash: [3; 32],
        at: Timestamp::constant(1_750_000_000, 123_456_000),
        occasion: Occasion::Running,
        previous: [4; 32],
    };

    #[test]
    fn a_line_leads_back_and_its_signature_holds_for_it_alone() {
        let key = Key::from_seed(&[1; 32]);
        let signed = key.sign(CHECKPOINT, Purpose::Line);
        let read = Signed::parse(&signed.line()).expect("a checkpoint");
        assert_eq!(read, signed);
        assert!(key.public().has_signed(&read, Purpose::Line));
        assert!(!key.public().has_signed(&read, Purpose::Head));
        let other = Key::from_seed(&[2; 32]);
        assert!(!other.public().has_signed(&read, Purpose::Line));
        let read = PublicKey::parse(&key.public().text());
        assert_eq!(read, Some(key.public()));
    }

    #[test]
    fn a_changed_field_has_no_signature() {
        let key = Key::from_seed(&[1; 32]);
        let signed = key.sign(CHECKPOINT, Purpose::Line);
        let changed = [
            Checkpoint {
                number: 3,
                ..CHECKPOINT
            },
            Checkpoint {
                seq: 8,
                ..CHECKPOINT
            },
            Checkpoint {
                hash: [5; 32],
                ..CHECKPOINT
            },
            Checkpoint {
                at: Timestamp::UNIX_EPOCH,
                ..CHECKPOINT
            },
            Checkpoint {
                occasion: Occasion::Stop,
                ..CHECKPOINT
            },
            Checkpoint {
                previous: [5; 32],
                ..CHECKPOINT
            },
        ];
        for checkpoint in changed {
            let forged = Signed {
                checkpoint,
                ..signed.clone()
            };
            assert!(
                !key.public().has_signed(&forged, Purpose::Line),
                "{checkpoint:?}"
            );
        }
        assert_eq!(Signed::parse("{}"), None);
    }
}
