//! What people ask about anomalies, and what they say to them.

use jiff::Timestamp;
use thiserror::Error;
use wildmatch::WildMatch;

use super::{
    super::Author,
    Core,
    wording::{endpoint_name, identity_name},
};
use crate::{
    anomaly::Kind,
    audit::{Action, Entry, Target},
    host::clock::now,
    store::{Ack, AnomalyFilter, Mute, Names, StoreError, StoredAnomaly},
};

/// One anomaly with its names.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyView {
    pub id: i64,
    pub identity: Option<String>,
    pub endpoint: Option<String>,
    pub anomaly: StoredAnomaly,
}

/// How much is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watching {
    /// Pairs of identity and endpoint.
    pub series: u64,
    /// How often a pair was seen that there was no room for, since this agent started.
    pub unwatched: u64,
    /// When the watch began, over all agents.
    pub since: Timestamp,
    /// Notices that other programs got and did not get, since this agent started.
    pub told: u64,
    pub untold: u64,
}

#[derive(Debug, Error)]
pub enum AnomalyError {
    #[error("no anomaly {0}; `weir anomalies list --all` lists those that are kept")]
    NoAnomaly(i64),
    #[error("no mute {0}; `weir anomalies mute --list` lists those that hold")]
    NoMute(i64),
    #[error("a mute of everything hides what matters: name a kind, an identity or an endpoint")]
    MutesAll,
    #[error("say why: an empty reason proves nothing")]
    NoReason,
    #[error("that time is over already: give one that is to come")]
    MuteIsOver,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Core {
    /// `None` if nothing is watched.
    #[must_use]
    pub fn watching(&self) -> Option<Watching> {
        let anomalies = self.anomalies.as_ref()?;
        let since = anomalies.watch.common().since;
        Some(Watching {
            series: anomalies.watch.len() as u64,
            unwatched: anomalies.watch.unwatched(),
            since: Timestamp::from_second(since).unwrap_or_default(),
            told: anomalies.tellers.heard,
            untold: anomalies.tellers.given_up,
        })
    }

    /// The newest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn anomalies(&self, filter: &AnomalyFilter) -> Result<Vec<AnomalyView>, StoreError> {
        let found = self.store.anomalies(filter)?;
        let names = self.names()?;
        let views = found
            .into_iter()
            .map(|(id, anomaly)| view(id, anomaly, &names));
        Ok(views.collect())
    }

    /// # Errors
    ///
    /// When there is none of this number, or the store cannot be read.
    pub fn anomaly(&self, id: i64) -> Result<AnomalyView, AnomalyError> {
        let anomaly = self.store.anomaly(id)?;
        let anomaly = anomaly.ok_or(AnomalyError::NoAnomaly(id))?;
        Ok(view(id, anomaly, &self.names()?))
    }

    /// Takes note of an anomaly.
    ///
    /// # Errors
    ///
    /// When there is none of this number, no reason is given, or the store fails.
    pub fn ack_anomaly(
        &mut self,
        id: i64,
        why: &str,
        author: &Author,
    ) -> Result<AnomalyView, AnomalyError> {
        let found = self.anomaly(id)?;
        if why.trim().is_empty() {
            return Err(AnomalyError::NoReason);
        }
        let ack = Ack {
            at: now().wall,
            by: author.actor.name(),
            why: why.to_owned(),
        };
        let target = Target::new("anomaly", &id.to_string());
        let entry = Entry::new(Action::AnomalyAcknowledged, author.actor.clone(), target)
            .because(why)
            .with("summary", found.anomaly.summary.as_str());
        self.store.at_once(|store| {
            store.ack_anomaly(id, &ack)?;
            store.audit(ack.at, &entry).map(drop)
        })?;
        self.anomaly(id)
    }

    /// Has nobody told of what matches, for a time. What is open already stays told.
    ///
    /// # Errors
    ///
    /// When it matches everything, no reason is given, or the store fails.
    pub fn mute(&mut self, mute: Mute, author: &Author) -> Result<Mute, AnomalyError> {
        if mute.kind.is_none() && mute.identity.is_none() && mute.endpoint.is_none() {
            return Err(AnomalyError::MutesAll);
        }
        if mute.why.trim().is_empty() {
            return Err(AnomalyError::NoReason);
        }
        let at = now().wall;
        if mute.until <= at {
            return Err(AnomalyError::MuteIsOver);
        }
        let mute = Mute {
            made: at,
            by: author.actor.name(),
            ..mute
        };
        let entry = muting(Action::AnomalyMuted, &mute, author);
        let id = self.store.at_once(|store| {
            let id = store.add_mute(&mute)?;
            store.audit(at, &entry.with("mute", id))?;
            Ok::<_, StoreError>(id)
        })?;
        Ok(Mute { id, ..mute })
    }

    /// # Errors
    ///
    /// When there is none of this number, or the store fails.
    pub fn unmute(&mut self, id: i64, author: &Author) -> Result<(), AnomalyError> {
        let at = now().wall;
        let mutes = self.mutes()?;
        let mute = mutes.iter().find(|mute| mute.id == id);
        let mute = mute.ok_or(AnomalyError::NoMute(id))?;
        let entry = muting(Action::AnomalyUnmuted, mute, author).with("mute", id);
        self.store.at_once(|store| {
            store.remove_mute(id)?;
            store.audit(at, &entry).map(drop)
        })?;
        Ok(())
    }

    /// Those that hold.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn mutes(&self) -> Result<Vec<Mute>, StoreError> {
        self.store.mutes(now().wall)
    }

    /// Open and all of each kind, by name.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn anomaly_counts(&self) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let counts = self.store.anomaly_counts()?;
        let of = |kind: Kind| {
            let found = counts.iter().find(|(name, ..)| name == kind.name());
            let (_, all, open) = found.cloned().unwrap_or_default();
            (kind.name().to_owned(), all, open)
        };
        Ok(Kind::ALL.map(of).to_vec())
    }

    pub(super) fn is_muted(
        &self,
        anomaly: &StoredAnomaly,
        names: &Names,
    ) -> Result<bool, StoreError> {
        let identity = anomaly.identity.map(|id| identity_name(id, names));
        let endpoint = anomaly.endpoint.map(|id| endpoint_name(id, names));
        let mutes = self.mutes()?;
        Ok(mutes.iter().any(|mute| {
            mute.kind.is_none_or(|kind| kind == anomaly.kind)
                && is_like(mute.identity.as_deref(), identity.as_deref())
                && is_like(mute.endpoint.as_deref(), endpoint.as_deref())
        }))
    }
}

fn is_like(pattern: Option<&str>, name: Option<&str>) -> bool {
    pattern.is_none_or(|pattern| name.is_some_and(|name| WildMatch::new(pattern).matches(name)))
}

fn view(id: i64, anomaly: StoredAnomaly, names: &Names) -> AnomalyView {
    AnomalyView {
        id,
        identity: anomaly.identity.map(|id| identity_name(id, names)),
        endpoint: anomaly.endpoint.map(|id| endpoint_name(id, names)),
        anomaly,
    }
}

fn muting(action: Action, mute: &Mute, author: &Author) -> Entry {
    let name = [
        mute.kind.map(Kind::name),
        mute.identity.as_deref(),
        mute.endpoint.as_deref(),
    ];
    let name: Vec<_> = name.into_iter().flatten().collect();
    let target = Target::new("anomalies", &name.join(" "));
    Entry::new(action, author.actor.clone(), target)
        .because(&mute.why)
        .with("until", mute.until.to_string())
}
