//! Objects made and removed while the agent runs: grants, deny rules, whole files.
//!
//! What is asked for is recorded first, then the kernel gets it, then the store keeps the object: what
//! a caller was told is in force is in force, and a crash in between takes a new right back, or
//! completes a revocation, when the agent starts again.

mod error;

use std::collections::BTreeSet;

pub use self::error::ChangeError;
use super::{
    Core,
    audit::{Author, entries},
    lives::{Origin, entry, removal, write},
    policy::{explain, lines},
    revision::{API_SOURCE, Admitting, Revision},
    sources::{self, Text},
};
use crate::{
    audit::Entry,
    host::{clock::now, fault},
    policy::{Change, Kind, Located, Object, Stage, Step},
    store::{Store, StoreError, StoredObject},
};
use jiff::Timestamp;

/// How many names of installed objects a log line has.
const MOST_LOGGED: usize = 10;

/// What a change did.
#[derive(Clone, Debug)]
pub struct Changed {
    pub revision: u64,
    pub changes: Vec<Change>,
    pub warnings: Vec<String>,
    /// Grants among the new objects that wait for approval, and why.
    pub waiting: Vec<Waiting>,
}

/// What a check found that is no mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub n_objects: usize,
    pub warnings: Vec<String>,
    /// Allowed, and still worth a look.
    pub findings: Vec<String>,
}

/// A grant that entitles nobody until it is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub name: String,
    pub needs: Vec<String>,
}

impl Core {
    /// Installs the one object of `kind` that `text` describes. Its name must be new, or that of a
    /// grant that has ended.
    ///
    /// # Errors
    ///
    /// When it has mistakes, exists already, or finds no room.
    pub fn create(
        &mut self,
        kind: Kind,
        text: &str,
        author: &Author,
    ) -> Result<Object, ChangeError> {
        self.create_from(kind, text, Origin::Api(author))
    }

    /// Installs a lease that hands on what its author may.
    pub(super) fn create_lease(&mut self, text: &str, author: &Author) -> Result<(), ChangeError> {
        let kind = Kind::InvocationGrant;
        let lease = one(kind, text)?;
        self.create_from(kind, text, Origin::Lease(author, lease.name()))
            .map(drop)
    }

    fn create_from(
        &mut self,
        kind: Kind,
        text: &str,
        origin: Origin<'_>,
    ) -> Result<Object, ChangeError> {
        let texts = request(text);
        let new = parse(&texts)?;
        let object = only(kind, &new)?;
        if let Some(source) = self.source(kind, object.name()) {
            if source != API_SOURCE || !self.has_ended(kind, object.name()) {
                return Err(ChangeError::Exists {
                    kind,
                    name: object.name().to_owned(),
                    source_name: source,
                });
            }
            // A grant that is over makes room for the next of its name.
            self.remove(
                kind,
                object.name(),
                &Author::agent(),
                Some("another of its name was issued".to_owned()),
            )?;
        }
        self.put(new, &texts, origin)?;
        Ok(object)
    }

    /// Installs all objects of `texts`, replacing those of the same name that were made so before.
    ///
    /// # Errors
    ///
    /// When one of them has mistakes, stands in a file of the policy directory, or finds no room:
    /// then none is installed.
    pub fn apply(&mut self, texts: &[Text], author: &Author) -> Result<Changed, ChangeError> {
        let new = parse(texts)?;
        self.put(new, texts, Origin::Api(author))
    }

    /// Checks `texts` together with what is running.
    ///
    /// # Errors
    ///
    /// Every mistake.
    pub fn check(&mut self, texts: &[Text]) -> Result<Checked, ChangeError> {
        let new = parse(texts)?;
        let n_objects = new.len();
        let revision = self.with(new, texts, Origin::Files)?;
        Ok(Checked {
            n_objects,
            warnings: lines(&revision.warnings),
            findings: self.findings(&revision.set),
        })
    }

    /// Removes an object that was made over the API.
    ///
    /// # Errors
    ///
    /// When there is none, or it stands in a file.
    pub fn remove(
        &mut self,
        kind: Kind,
        name: &str,
        author: &Author,
        why: Option<String>,
    ) -> Result<Changed, ChangeError> {
        match self.source(kind, name) {
            None => {
                let name = name.to_owned();
                return Err(ChangeError::NotFound { kind, name });
            }
            Some(file) if file != API_SOURCE => {
                let name = name.to_owned();
                return Err(ChangeError::InFile { kind, name, file });
            }
            Some(_) => {}
        }
        let origin = Origin::Api(author);
        let entry = entry(
            Step::Revoke,
            author.by(),
            why.as_deref().unwrap_or_default(),
        );
        let removed = removal(&entry);
        let gone = if kind == Kind::InvocationGrant {
            self.end_life(name, entry, origin)?
        } else {
            None
        };
        fault::point("revoke-recorded");
        let objects = self.objects().map_err(ChangeError::Invalid)?;
        let left = objects
            .into_iter()
            .filter(|object| (object.value.kind(), object.value.name()) != (kind, name))
            .collect();
        let revision = self.build(left, origin)?;
        let (changed, entries) = self.install_changed(revision, origin, why.as_deref())?;
        fault::point("revoke-installed");
        self.store.at_once(|store| -> Result<(), StoreError> {
            store.remove_object(kind.name(), name, &removed)?;
            write(store, gone.as_slice())?;
            audit_all(store, removed.at, &entries)
        })?;
        self.lives.follow(gone.into_iter().collect());
        fault::point("revoke-kept");
        self.settle_lives(origin)?;
        tracing::info!(kind = kind.name(), name, by = removed.by, "object removed");
        Ok(changed)
    }

    fn put(
        &mut self,
        new: Vec<Located<Object>>,
        texts: &[Text],
        origin: Origin<'_>,
    ) -> Result<Changed, ChangeError> {
        let objects: Vec<_> = new.iter().map(|object| object.value.clone()).collect();
        self.ask_again(&objects)?;
        let revision = self.with(new, texts, origin)?;
        self.check_duties(&revision).map_err(ChangeError::Invalid)?;
        self.check_metered(&revision)
            .map_err(ChangeError::Invalid)?;
        self.begin_lives(&revision, origin)?;
        fault::point("issue-recorded");
        let (changed, mut entries) = match self.install_changed(revision, origin, None) {
            Ok(changed) => changed,
            Err(error) => {
                self.give_lives_up("the kernel side refused");
                return Err(error);
            }
        };
        fault::point("issue-installed");
        let created_at = now().wall;
        let by = origin.by().to_string();
        let (moves, next) = self.moves_in_force(origin);
        entries.extend(self.told(&self.running.revision, &moves, origin));
        self.store.at_once(|store| -> Result<(), ChangeError> {
            for object in &objects {
                store.put_object(&StoredObject {
                    kind: object.kind().name().to_owned(),
                    name: object.name().to_owned(),
                    yaml: object.to_yaml()?,
                    created_by: by.clone(),
                    created_at,
                })?;
            }
            write(store, &moves)?;
            Ok(audit_all(store, created_at, &entries)?)
        })?;
        self.follow_lives(moves, next);
        fault::point("issue-kept");
        let names: Vec<_> = objects.iter().take(MOST_LOGGED).map(Object::name).collect();
        tracing::info!(objects = objects.len(), ?names, by, "objects installed");
        let waiting = self.waiting(&objects);
        Ok(Changed { waiting, ..changed })
    }

    /// A revision of these objects.
    pub(super) fn build(
        &mut self,
        objects: Vec<Located<Object>>,
        origin: Origin<'_>,
    ) -> Result<Revision, ChangeError> {
        let admitting = Admitting {
            rules: &self.config.approval,
            lives: &self.lives,
            origin,
            separation: self.config.separation_of_duties,
        };
        Revision::build(objects, &mut self.store, &now(), &admitting)
            .map_err(|error| ChangeError::Invalid(explain(error)))
    }

    /// The running objects with `new` added; what has ended already is a mistake in a new object.
    fn with(
        &mut self,
        new: Vec<Located<Object>>,
        texts: &[Text],
        origin: Origin<'_>,
    ) -> Result<Revision, ChangeError> {
        let keys: BTreeSet<_> = new
            .iter()
            .map(|object| (object.value.kind(), object.value.name().to_owned()))
            .collect();
        for (kind, name) in &keys {
            if let Some(file) = self.source(*kind, name)
                && file != API_SOURCE
            {
                return Err(ChangeError::InFile {
                    kind: *kind,
                    name: name.clone(),
                    file,
                });
            }
        }
        let mut objects = self.objects().map_err(ChangeError::Invalid)?;
        objects.retain(|object| {
            !keys.contains(&(object.value.kind(), object.value.name().to_owned()))
        });
        objects.extend(new);
        let mut revision = self.build(objects, origin)?;
        let is_new = |file: &str| texts.iter().any(|(name, _)| name == file);
        let ended: Vec<_> = revision
            .warnings
            .iter()
            .filter(|warning| is_new(&warning.file))
            .map(ToString::to_string)
            .collect();
        if !ended.is_empty() {
            return Err(ChangeError::Invalid(ended));
        }
        for key in keys {
            revision.sources.insert(key, API_SOURCE.to_owned());
        }
        Ok(revision)
    }

    pub(super) fn install_changed(
        &mut self,
        revision: Revision,
        origin: Origin<'_>,
        why: Option<&str>,
    ) -> Result<(Changed, Vec<Entry>), ChangeError> {
        let changes = self.changes_by(&revision);
        let warnings = lines(&revision.warnings);
        let former = self.replace(revision).map_err(ChangeError::NotInstalled)?;
        let entries = entries(&changes, &former.revision, &self.running, origin, why);
        let changed = Changed {
            revision: self.running.number,
            changes,
            warnings,
            waiting: Vec::new(),
        };
        Ok((changed, entries))
    }

    /// Whether this is a grant that is over.
    fn has_ended(&self, kind: Kind, name: &str) -> bool {
        if kind != Kind::InvocationGrant {
            return false;
        }
        let stage = self.lives.of(name).map(|known| known.life.stage());
        let span = self.running.revision.set.span_of_grant(name);
        let end = span.and_then(|span| span.not_after);
        stage.is_some_and(Stage::is_over) || end.is_some_and(|end| end <= now().wall)
    }

    /// Where a running object comes from.
    #[must_use]
    pub fn source(&self, kind: Kind, name: &str) -> Option<String> {
        let sources = &self.running.revision.sources;
        sources.get(&(kind, name.to_owned())).cloned()
    }
}

pub(super) fn audit_all(
    store: &mut Store,
    at: Timestamp,
    entries: &[Entry],
) -> Result<(), StoreError> {
    for entry in entries {
        store.audit(at, entry)?;
    }
    Ok(())
}

/// The one object of `kind` that `text` describes.
pub(super) fn one(kind: Kind, text: &str) -> Result<Object, ChangeError> {
    only(kind, &parse(&request(text))?)
}

fn only(kind: Kind, objects: &[Located<Object>]) -> Result<Object, ChangeError> {
    match objects {
        [object] if object.value.kind() == kind => Ok(object.value.clone()),
        _ => Err(ChangeError::Unexpected(kind)),
    }
}

fn request(text: &str) -> [Text; 1] {
    [("request".to_owned(), text.to_owned())]
}

fn parse(texts: &[Text]) -> Result<Vec<Located<Object>>, ChangeError> {
    sources::parse_all(texts).map_err(|errors| ChangeError::Invalid(lines(&errors)))
}
