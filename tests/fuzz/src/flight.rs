//! What a first flight says, however its octets arrive.

use agent_common::{
    flight::{Flight, Outcome},
    name::Name,
};

/// All names with the ports that belong to them, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) names: Vec<(Name, u16)>,
    pub(crate) outcome: Outcome,
}

impl Said {
    pub(crate) fn begins_with(&self, host: &str) -> bool {
        let host = Name::of(host);
        let first = self.names.first();
        first.is_some_and(|(name, _)| name.is_same_as(&host))
    }

    pub(crate) fn names_with_port(&self, host: &str, port: u16) -> bool {
        let host = Name::of(host);
        let same = |(name, own): &(Name, u16)| *own == port && name.is_same_as(&host);
        self.names.iter().any(same)
    }

    /// Ports aside.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let mut pairs = self.names.iter().zip(&other.names);
        self.outcome == other.outcome
            && self.names.len() == other.names.len()
            && pairs.all(|((one, _), (other, _))| one.is_same_as(other))
    }
}

/// Whether `host` can be looked up: labels of letters, digits, `-` and `_`, no address.
pub(crate) fn is_host(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    let is_number = |label: &str| label.bytes().all(|octet| octet.is_ascii_digit());
    host.len() <= 253
        && host.split('.').all(is_label)
        && !host.rsplit('.').next().is_some_and(is_number)
}

/// Reads all of `octets` in three ways, which must agree: in one go, octet by octet with what may
/// be skipped skipped, and without skipping anything.
pub(crate) fn read(octets: &[u8]) -> Said {
    let mut names = Vec::new();
    let mut flight = Flight::NEW;
    let outcome = flight.read(octets, |flight| names.push((flight.name, flight.port())));
    let whole = Said { names, outcome };

    let mut single = Said {
        names: Vec::new(),
        outcome: Outcome::More,
    };
    let mut flight = Flight::NEW;
    for octet in octets {
        single.outcome = flight.read(&[*octet], |flight| {
            single.names.push((flight.name, flight.port()));
        });
        if single.outcome != Outcome::More {
            break;
        }
    }
    let unskipped = read_unskipped(octets);
    for other in [&single, &unskipped] {
        assert!(
            whole.is_same_as(other) && ports(&whole).eq(ports(other)),
            "{whole:?} or {other:?}"
        );
    }
    whole
}

fn read_unskipped(octets: &[u8]) -> Said {
    let mut flight = Flight::NEW;
    let mut names = Vec::new();
    for octet in octets {
        let outcome = flight.take(*octet);
        if matches!(outcome, Outcome::Name | Outcome::Hello) {
            names.push((flight.name, flight.port()));
        }
        match outcome {
            Outcome::More | Outcome::Name | Outcome::Hello => {}
            outcome => return Said { names, outcome },
        }
    }
    let outcome = Outcome::More;
    Said { names, outcome }
}

fn ports(said: &Said) -> impl Iterator<Item = u16> {
    said.names.iter().map(|(_, port)| *port)
}
