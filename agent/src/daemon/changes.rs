//! Objects made and removed while the agent runs: grants, deny rules, whole files.
//!
//! The kernel comes first, the store second: what a caller was told is in force is in force, and a
//! crash between the two takes a new right back instead of leaving one that nobody knows of.

use std::collections::BTreeSet;

use jiff::Timestamp;
use thiserror::Error;

use super::{
    Core,
    audit::{By, entries},
    policy::{explain, lines},
    revision::{API_SOURCE, Revision},
    sources::{self, Text},
};
use crate::{
    audit::{Actor, Entry},
    host::clock::now,
    policy::{Change, Kind, Located, Object, RenderError},
    store::{Removed, Store, StoreError, StoredObject},
};

/// How many names of installed objects a log line has.
const MOST_LOGGED: usize = 10;

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    #[error("the policy has mistakes")]
    Invalid(Vec<String>),
    #[error("the name `{name}` is taken by another {} ({source_name})", kind.name())]
    Exists {
        kind: Kind,
        name: String,
        source_name: String,
    },
    #[error("there is no {} `{name}`", kind.name())]
    NotFound { kind: Kind, name: String },
    #[error("{} `{name}` stands in {file}: change it there", kind.name())]
    InFile {
        kind: Kind,
        name: String,
        file: String,
    },
    #[error("expected one {}", .0.name())]
    Unexpected(Kind),
    #[error("the kernel side refused")]
    NotInstalled(Vec<String>),
    #[error("render the object")]
    Render(#[from] RenderError),
    #[error("remember the change")]
    Store(#[from] StoreError),
}

/// What a change did.
#[derive(Clone, Debug)]
pub struct Changed {
    pub revision: u64,
    pub changes: Vec<Change>,
    pub warnings: Vec<String>,
}

impl Core {
    /// Installs the one object of `kind` that `text` describes. Its name must be new, or that of a
    /// grant that has ended.
    ///
    /// # Errors
    ///
    /// When it has mistakes, exists already, or finds no room.
    pub fn create(&mut self, kind: Kind, text: &str, actor: &Actor) -> Result<Object, ChangeError> {
        let texts = request(text);
        let new = parse(&texts)?;
        let object = only(kind, &new)?;
        if let Some(source) = self.source(kind, object.name()) {
            if source != API_SOURCE || !self.has_ended(object.name()) {
                return Err(ChangeError::Exists {
                    kind,
                    name: object.name().to_owned(),
                    source_name: source,
                });
            }
            // A grant that is over makes room for the next of its name.
            self.remove(kind, object.name(), actor, Some("ended".to_owned()))?;
        }
        self.put(new, &texts, actor)?;
        Ok(object)
    }

    /// Installs all objects of `texts`, replacing those of the same name that were made so before.
    ///
    /// # Errors
    ///
    /// When one of them has mistakes, stands in a file of the policy directory, or finds no room:
    /// then none is installed.
    pub fn apply(&mut self, texts: &[Text], actor: &Actor) -> Result<Changed, ChangeError> {
        let new = parse(texts)?;
        self.put(new, texts, actor)
    }

    /// What [`Core::apply`] would change.
    ///
    /// # Errors
    ///
    /// As [`Core::apply`].
    pub fn diff(&mut self, texts: &[Text]) -> Result<Vec<Change>, ChangeError> {
        let revision = self.with(parse(texts)?, texts)?;
        Ok(self.changes_by(&revision))
    }

    /// Checks `texts` together with what is running.
    ///
    /// # Errors
    ///
    /// Every mistake.
    pub fn check(&mut self, texts: &[Text]) -> Result<(usize, Vec<String>), ChangeError> {
        let new = parse(texts)?;
        let n_objects = new.len();
        let revision = self.with(new, texts)?;
        Ok((n_objects, lines(&revision.warnings)))
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
        actor: &Actor,
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
        let objects = self.objects().map_err(ChangeError::Invalid)?;
        let left = objects
            .into_iter()
            .filter(|object| (object.value.kind(), object.value.name()) != (kind, name))
            .collect();
        let at = now().wall;
        let revision = Revision::build(left, &mut self.store, at)
            .map_err(|error| ChangeError::Invalid(explain(error)))?;
        let (changed, entries) =
            self.install_changed(revision, By::Actor(actor, why.as_deref()))?;
        let removed = Removed {
            by: actor.name(),
            at,
            why,
        };
        self.store.at_once(|store| -> Result<(), StoreError> {
            store.remove_object(kind.name(), name, &removed)?;
            audit_all(store, at, &entries)
        })?;
        let by = removed.by;
        tracing::info!(kind = kind.name(), name, by, "object removed");
        Ok(changed)
    }

    fn put(
        &mut self,
        new: Vec<Located<Object>>,
        texts: &[Text],
        actor: &Actor,
    ) -> Result<Changed, ChangeError> {
        let objects: Vec<_> = new.iter().map(|object| object.value.clone()).collect();
        let revision = self.with(new, texts)?;
        let (changed, entries) = self.install_changed(revision, By::Actor(actor, None))?;
        let by = actor.name();
        let created_at = now().wall;
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
            Ok(audit_all(store, created_at, &entries)?)
        })?;
        let names: Vec<_> = objects.iter().take(MOST_LOGGED).map(Object::name).collect();
        tracing::info!(objects = objects.len(), ?names, by, "objects installed");
        Ok(changed)
    }

    /// The running objects with `new` added; what has ended already is a mistake in a new object.
    fn with(&mut self, new: Vec<Located<Object>>, texts: &[Text]) -> Result<Revision, ChangeError> {
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
        let mut revision = Revision::build(objects, &mut self.store, now().wall)
            .map_err(|error| ChangeError::Invalid(explain(error)))?;
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

    fn install_changed(
        &mut self,
        revision: Revision,
        by: By<'_>,
    ) -> Result<(Changed, Vec<Entry>), ChangeError> {
        let changes = self.changes_by(&revision);
        let warnings = lines(&revision.warnings);
        let former = self.replace(revision).map_err(ChangeError::NotInstalled)?;
        let entries = entries(&changes, &former.revision, &self.running, by);
        let changed = Changed {
            revision: self.running.number,
            changes,
            warnings,
        };
        Ok((changed, entries))
    }

    /// Whether this is a grant that is over.
    fn has_ended(&self, name: &str) -> bool {
        let span = self.running.revision.set.span_of_grant(name);
        let end = span.and_then(|span| span.not_after);
        end.is_some_and(|end| end <= now().wall)
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
