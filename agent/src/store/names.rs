//! Names and the numbers that the kernel knows them by.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use agent_common::{destination::EndpointId, identity::IdentityId, policy::RuleId};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Params, Row, Statement, params};

use super::{
    Store, StoreError,
    error::Attempt,
    labels::{self, More},
    micros, timestamp,
};
use crate::{
    host::clock::{CLOCK_LEEWAY, Now},
    identity::{Identity, Labels},
};

/// Which object a rule number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    Grant,
    Deny,
}

impl RuleKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Deny => "deny",
        }
    }

    fn from_name(name: &str) -> Self {
        if name == "grant" {
            Self::Grant
        } else {
            Self::Deny
        }
    }
}

/// An identity that has been seen at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIdentity {
    pub id: IdentityId,
    pub key: String,
    pub labels: Labels,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

impl From<KnownIdentity> for Identity {
    fn from(known: KnownIdentity) -> Self {
        Self {
            id: known.id,
            labels: known.labels.into(),
        }
    }
}

/// The name behind every number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub identities: BTreeMap<IdentityId, String>,
    /// Endpoints and the networks of deny rules.
    pub endpoints: BTreeMap<EndpointId, String>,
    pub rules: BTreeMap<RuleId, (RuleKind, String)>,
    /// Users of this host, which the store does not know.
    pub users: BTreeMap<u32, String>,
}

impl Store {
    /// The number of the identity called `key`, the same for ever; notes that it was seen.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn identity_number(
        &mut self,
        key: &str,
        labels: &Labels,
        now: Timestamp,
    ) -> Result<IdentityId, StoreError> {
        let Labels {
            cgroup,
            unit,
            slice,
            container,
            pod,
            ..
        } = labels;
        let more = More::from(labels);
        let at = micros(now);
        let number: i64 = self
            .connection
            .prepare_cached(
                "INSERT INTO identity
                     (key, cgroup, unit, slice, container, pod, more, first_seen, last_seen)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
                 ON CONFLICT (key) DO UPDATE SET cgroup = ?2, unit = ?3, slice = ?4,
                     container = ?5, pod = ?6, more = ?7, last_seen = ?8
                 RETURNING number",
            )
            .and_then(|mut statement| {
                let values = params![key, cgroup, unit, slice, container, pod, more, at];
                one_number(&mut statement, values)
            })
            .attempt("number an identity")?;
        number_below(number, u32::MAX, "identity").map(IdentityId::from_raw)
    }

    /// The number of the identity called `key`, if it was ever seen.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn identity_called(&self, key: &str) -> Result<Option<IdentityId>, StoreError> {
        let number: Option<i64> = self
            .connection
            .prepare_cached("SELECT number FROM identity WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
            .attempt("look for an identity")?;
        let number = number.map(|number| number_below(number, u32::MAX, "identity"));
        Ok(number.transpose()?.map(IdentityId::from_raw))
    }

    /// The number of the endpoint called `name`, the same for ever.
    ///
    /// # Errors
    ///
    /// When the database fails or all numbers are taken.
    pub fn endpoint_number(&mut self, name: &str) -> Result<EndpointId, StoreError> {
        let number = self.number("endpoint", name)?;
        let limit = EndpointId::OVERFLOW.to_raw();
        number_below(number, limit, "endpoint").map(EndpointId::from_raw)
    }

    /// The number of a network that deny rules name, the same for ever.
    ///
    /// # Errors
    ///
    /// When the database fails or all numbers are taken.
    pub fn prefix_number(&mut self, name: &str) -> Result<EndpointId, StoreError> {
        let number = self.number("prefix", name)?;
        let limit = EndpointId::FIRST_PREFIX;
        number_below(number, limit, "network")
            .map(|number| EndpointId::from_raw(EndpointId::FIRST_PREFIX + number))
    }

    /// The number of a grant or deny rule, the same for ever.
    ///
    /// # Errors
    ///
    /// When the database fails or all numbers are taken.
    pub fn rule_number(&mut self, kind: RuleKind, name: &str) -> Result<RuleId, StoreError> {
        let what = "number a rule";
        let found = self
            .connection
            .prepare_cached("SELECT number FROM rule WHERE kind = ?1 AND name = ?2")
            .and_then(|mut statement| {
                let mut rows = statement.query(params![kind.name(), name])?;
                rows.next()?.map(|row| row.get::<_, i64>(0)).transpose()
            })
            .attempt(what)?;
        let number = match found {
            Some(number) => number,
            None => self
                .connection
                .prepare_cached("INSERT INTO rule (kind, name) VALUES (?1, ?2) RETURNING number")
                .and_then(|mut statement| one_number(&mut statement, params![kind.name(), name]))
                .attempt(what)?,
        };
        number_below(number, RuleId::LIMIT, "rule").map(RuleId::from_raw)
    }

    /// Every identity that has been seen, in the order of its number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn identities(&self) -> Result<Vec<KnownIdentity>, StoreError> {
        self.rows(
            "SELECT number, key, cgroup, unit, slice, container, pod, more, first_seen, last_seen
             FROM identity ORDER BY number",
            |row| {
                Ok(KnownIdentity {
                    id: IdentityId::from_raw(row.get(0)?),
                    key: row.get(1)?,
                    labels: labels::read(row, 2)?,
                    first_seen: timestamp(row.get(8)?),
                    last_seen: timestamp(row.get(9)?),
                })
            },
        )
    }

    /// The name behind every number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn names(&self) -> Result<Names, StoreError> {
        let identities = self.rows("SELECT number, key FROM identity", |row| {
            Ok((IdentityId::from_raw(row.get(0)?), row.get(1)?))
        })?;
        let endpoints = self.rows("SELECT number, name FROM endpoint", |row| {
            Ok((EndpointId::from_raw(row.get(0)?), row.get(1)?))
        })?;
        let prefixes = self.rows("SELECT number, name FROM prefix", |row| {
            let number: u32 = row.get(0)?;
            Ok((
                EndpointId::from_raw(EndpointId::FIRST_PREFIX + number),
                row.get(1)?,
            ))
        })?;
        let rules = self.rows("SELECT number, kind, name FROM rule", |row| {
            let kind = RuleKind::from_name(&row.get::<_, String>(1)?);
            Ok((RuleId::from_raw(row.get(0)?), (kind, row.get(2)?)))
        })?;
        Ok(Names {
            identities: identities.into_iter().collect(),
            endpoints: endpoints.into_iter().chain(prefixes).collect(),
            rules: rules.into_iter().collect(),
            users: BTreeMap::new(),
        })
    }

    /// When exactly this object was first seen, which is now if it never was, or when a person has
    /// approved it: by the clock as it goes now, whatever it was set to since, if that was in this
    /// boot. Empty: of no boot.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn first_seen(
        &mut self,
        kind: &str,
        name: &str,
        digest: &str,
        now: &Now,
        boot: &str,
    ) -> Result<Timestamp, StoreError> {
        let (at, boot_then, boot_ns) = self
            .connection
            .prepare_cached(
                "INSERT INTO first_seen (kind, name, digest, at, boot, boot_ns)
                 VALUES (?1, ?2, ?3, ?4, NULLIF(?5, ''), ?6)
                 ON CONFLICT DO UPDATE SET at = at RETURNING at, boot, boot_ns",
            )
            .and_then(|mut statement| {
                let boot_ns = now.boot_ns.cast_signed();
                let values = params![kind, name, digest, micros(now.wall), boot, boot_ns];
                statement.query_row(values, |row| {
                    let boot_then: Option<String> = row.get(1)?;
                    let boot_ns: Option<i64> = row.get(2)?;
                    Ok((timestamp(row.get(0)?), boot_then, boot_ns))
                })
            })
            .attempt("remember an object")?;
        let by_clock_now = boot_ns
            .filter(|_| boot_then.is_some_and(|then| then == boot))
            .map(|boot_ns| now.wall_of(boot_ns.cast_unsigned()))
            // Else the same every time: the two clocks are not read at the same instant.
            .filter(|then| then.duration_since(at).abs() > CLOCK_LEEWAY);
        Ok(by_clock_now.unwrap_or(at))
    }

    /// Lets what a life is of count from its approval, which is now.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn count_from_approval(
        &mut self,
        life: i64,
        at: Timestamp,
        boot_ns: u64,
        boot: &str,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE first_seen SET at = ?2, boot = NULLIF(?3, ''), boot_ns = ?4
                 FROM grant_life AS life
                 WHERE life.id = ?1 AND first_seen.kind = 'InvocationGrant'
                     AND first_seen.name = life.name AND first_seen.digest = life.digest",
            )
            .and_then(|mut statement| {
                statement.execute(params![life, micros(at), boot, boot_ns.cast_signed()])
            })
            .attempt("remember an approval")?;
        Ok(())
    }

    /// Keeps the last addresses of a host in place of the former ones.
    ///
    /// # Errors
    ///
    /// When the database fails: then the former ones stay.
    pub fn keep_addresses(
        &mut self,
        host: &str,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), StoreError> {
        let what = "keep a host's addresses";
        let transaction = self.connection.transaction().attempt(what)?;
        transaction
            .execute("DELETE FROM host_address WHERE host = ?1", [host])
            .attempt(what)?;
        for address in addresses {
            transaction
                .execute(
                    "INSERT INTO host_address (host, address) VALUES (?1, ?2)",
                    params![host, address.to_string()],
                )
                .attempt(what)?;
        }
        transaction.commit().attempt(what)
    }

    /// The addresses kept last, by host.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn addresses(&self) -> Result<BTreeMap<String, BTreeSet<IpAddr>>, StoreError> {
        let rows = self.rows("SELECT host, address FROM host_address", |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let mut known: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for (host, address) in rows {
            known
                .entry(host)
                .or_default()
                .extend(address.parse::<IpAddr>());
        }
        Ok(known)
    }

    /// `table` is one of ours, never input.
    fn number(&mut self, table: &'static str, name: &str) -> Result<i64, StoreError> {
        let what = "number a name";
        let found = self
            .connection
            .prepare_cached(&format!("SELECT number FROM {table} WHERE name = ?1"))
            .and_then(|mut statement| {
                let mut rows = statement.query([name])?;
                rows.next()?.map(|row| row.get(0)).transpose()
            })
            .attempt(what)?;
        if let Some(number) = found {
            return Ok(number);
        }
        self.connection
            .prepare_cached(&format!(
                "INSERT INTO {table} (name) VALUES (?1) RETURNING number"
            ))
            .and_then(|mut statement| one_number(&mut statement, [name]))
            .attempt(what)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        read: impl Fn(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map([], read)?.collect())
            .attempt("read names")
    }
}

/// Runs a statement to its end: only there SQLite looks at the length of its log.
fn one_number(statement: &mut Statement<'_>, values: impl Params) -> Result<i64, rusqlite::Error> {
    let numbers = statement.query_map(values, |row| row.get(0))?;
    let last = numbers.last().transpose()?;
    last.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

fn number_below(number: i64, limit: u32, what: &'static str) -> Result<u32, StoreError> {
    match u32::try_from(number) {
        Ok(number) if number < limit => Ok(number),
        Ok(_) | Err(_) => Err(StoreError::Exhausted { what }),
    }
}
