//! The running revision: where it comes from, and how another takes its place.

use std::{collections::BTreeMap, path::PathBuf};

use agent_common::{destination::EndpointId, identity::IdentityId, policy::RuleEntry};
use jiff::Timestamp;

use super::{
    ChangeError, Checked, Core, StartError,
    audit::entries,
    changes::audit_all,
    lives::{Lives, Origin, write},
    revision::{API_SOURCE, Admitting, Revision, RevisionError, tables},
    sources::{self, Text},
};
use crate::{
    audit::Entry,
    bpf::{KernelError, policy::PolicyTables},
    config::Config,
    endpoint::Catalogue,
    error_chain,
    host::clock::{Now, boot_ns, now},
    identity::Identity,
    policy::{
        ApprovalRules, BuildOptions, Change, Compiler, Entries, Located, Object, OnExpired,
        PolicyError, PolicySet, Separation, diff, earlier, parse,
    },
    store::{Store, StoreError},
};

/// What is in force.
pub(super) struct Running {
    pub(super) revision: Revision,
    /// Counter of installed policy sets.
    pub(super) number: u64,
    pub(super) installed_at: Timestamp,
    /// When the kernel's copy lacks grants that begin later.
    refill_at_ns: Option<u64>,
    /// What the kernel's copy was made with. `None` before the first.
    compiler: Option<Compiler>,
}

/// What the kernel looks up for one identity.
pub(super) type Rules = BTreeMap<(IdentityId, EndpointId), RuleEntry>;

impl Running {
    /// The policy to start with: the files, or, if they have mistakes, what ran last; then with
    /// the mistakes.
    pub(super) fn first(
        config: &Config,
        store: &mut Store,
        lives: &Lives,
    ) -> Result<(Self, Vec<String>), StartError> {
        let admitting = Admitting {
            rules: &config.approval,
            lives,
            origin: Origin::Files,
            separation: config.separation_of_duties,
        };
        let directory = config.policy_dir.as_path();
        let now = now();
        let at = now.wall;
        let files = sources::list(directory).map_err(|source| StartError::PolicyDir {
            path: directory.display().to_string(),
            source,
        })?;
        let texts = sources::read(&files).map_err(|errors| lines(&errors));
        let built = texts.and_then(|texts| {
            let revision = build(&texts, store, &now, &admitting)?;
            Ok((texts, revision))
        });
        match built {
            Ok((texts, revision)) => {
                let number = store.next_revision()?;
                let running = Self::new(revision, number, at);
                let entries = since_last(&texts, &running, store, &now)?;
                store.at_once(|store| -> Result<(), StoreError> {
                    store.save_snapshot(&texts, number, at)?;
                    audit_all(store, at, &entries)
                })?;
                Ok((running, Vec::new()))
            }
            Err(errors) => match store.snapshot()? {
                Some(last) => {
                    tracing::error!(
                        ?errors,
                        revision = last.revision,
                        "policy has mistakes: the last good revision runs"
                    );
                    let revision = last_good(&last.files, store, &now, &admitting);
                    let revision = revision.map_err(StartError::Policy)?;
                    Ok((
                        Self::new(revision, last.revision, last.installed_at),
                        errors,
                    ))
                }
                None => Err(StartError::Policy(errors)),
            },
        }
    }

    fn new(revision: Revision, number: u64, installed_at: Timestamp) -> Self {
        Self {
            revision,
            number,
            installed_at,
            refill_at_ns: None,
            compiler: None,
        }
    }

    /// Wall time as the kernel counts it: it does not jump when the clock is set.
    pub(super) fn wall_of_kernel(&self) -> Timestamp {
        self.revision.built_at.wall_of(boot_ns())
    }

    pub(super) fn needs_refill(&self, now_ns: u64) -> bool {
        self.refill_at_ns.is_some_and(|at| at <= now_ns)
    }

    /// What the kernel gets, but for the addresses.
    pub(super) fn tables(
        &mut self,
        identities: &[Identity],
        at: &Now,
    ) -> Result<PolicyTables, KernelError> {
        let unsuitable = |error| KernelError::Unsuitable(error_chain(&error));
        let compiler = self.revision.compiler().map_err(unsuitable)?;
        let compiled = compiler
            .compile(identities, at.boot_ns)
            .map_err(unsuitable)?;
        self.refill_at_ns = compiled.refill_at_ns;
        self.compiler = Some(compiler);
        Ok(tables(&compiled, &self.revision, at))
    }

    /// What an identity that has just appeared adds to [`Running::tables`].
    pub(super) fn rules_of(&mut self, identity: &Identity, at: &Now) -> Rules {
        let Some(compiler) = &self.compiler else {
            return Rules::new();
        };
        let Entries {
            rules,
            refill_at_ns,
        } = compiler.entries(identity, at.boot_ns);
        self.refill_at_ns = earlier(self.refill_at_ns, refill_at_ns);
        let rules = rules.into_iter();
        rules
            .map(|(endpoint, entry)| ((identity.id, endpoint), entry))
            .collect()
    }
}

impl Core {
    /// Reads the files again and installs them with the objects of the API.
    pub(super) fn replace_files(&mut self) -> Result<(), Vec<String>> {
        let files = sources::list(&self.config.policy_dir)
            .map_err(|error| vec![format!("{}: {error}", self.config.policy_dir.display())])?;
        let texts = sources::read(&files).map_err(|errors| lines(&errors))?;
        let admitting = Admitting {
            rules: &self.config.approval,
            lives: &self.lives,
            origin: Origin::Files,
            separation: self.config.separation_of_duties,
        };
        let revision = build(&texts, &mut self.store, &now(), &admitting)?;
        self.check_duties(&revision)?;
        self.check_metered(&revision)?;
        self.begin_lives(&revision, Origin::Files)
            .map_err(|error| vec![error_chain(&error)])?;
        let changes = self.changes_by(&revision);
        let former = match self.replace(revision) {
            Ok(former) => former,
            Err(errors) => {
                self.give_lives_up("the kernel side refused");
                return Err(errors);
            }
        };
        let running = &self.running;
        let mut entries = entries(&changes, &former.revision, running, Origin::Files, None);
        let (moves, next) = self.moves_in_force(Origin::Files);
        entries.extend(self.told(&running.revision, &moves, Origin::Files));
        let (number, at) = (running.number, now().wall);
        self.store
            .at_once(|store| -> Result<(), StoreError> {
                store.save_snapshot(&texts, number, at)?;
                write(store, &moves)?;
                audit_all(store, at, &entries)
            })
            .map_err(|error| vec![error_chain(&error)])?;
        self.follow_lives(moves, next);
        Ok(())
    }

    /// Installs `revision` and returns the former one; if the kernel has no room, that one stays.
    pub(super) fn replace(&mut self, revision: Revision) -> Result<Running, Vec<String>> {
        let at = now().wall;
        let number = self
            .store
            .next_revision()
            .map_err(|error| vec![error_chain(&error)])?;
        let former = std::mem::replace(&mut self.running, Running::new(revision, number, at));
        if let Err(error) = self.install() {
            self.running = former;
            return Err(vec![error_chain(&error)]);
        }
        for warning in &self.running.revision.warnings {
            tracing::warn!(%warning, "policy");
        }
        crate::host::memory::give_back();
        Ok(former)
    }

    /// The objects of the running files, and those of the API.
    pub(super) fn objects(&self) -> Result<Vec<Located<Object>>, Vec<String>> {
        let snapshot = self
            .store
            .snapshot()
            .map_err(|error| vec![error_chain(&error)])?;
        let texts = snapshot.map(|snapshot| snapshot.files).unwrap_or_default();
        let mut objects = sources::parse_all(&texts).map_err(|errors| lines(&errors))?;
        objects.extend(api_objects(&self.store)?);
        Ok(objects)
    }

    /// Compiles the running policy for a clock that was set: what has an end after some time ends when
    /// that has passed, what has a date at that date.
    pub(super) fn follow_clock(&mut self) {
        let objects = self.objects().map_err(ChangeError::Invalid);
        match objects.and_then(|objects| self.build(objects, Origin::Files)) {
            Ok(revision) => {
                self.running.revision = revision;
                self.reinstall("the clock was set");
                if let Err(error) = self.settle_lives(Origin::Files) {
                    tracing::error!(error = error_chain(&error), "lives of grants not kept");
                }
            }
            // What the kernel has goes on by the boot clock.
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(error, "the clock was set: dates of grants do not follow");
            }
        }
    }

    /// What `new` would change.
    pub(super) fn changes_by(&self, new: &Revision) -> Vec<Change> {
        diff(&self.running.revision.set, &new.set)
    }
}

/// What the files say that they did not say when they were read last.
fn since_last(
    texts: &[Text],
    running: &Running,
    store: &mut Store,
    now: &Now,
) -> Result<Vec<Entry>, StoreError> {
    let last = store.snapshot()?.map(|last| last.files).unwrap_or_default();
    if last == texts {
        return Ok(Vec::new());
    }
    // Whether grants count is told by their lives.
    let admitting = Admitting {
        rules: &ApprovalRules::none(),
        lives: &Lives::default(),
        origin: Origin::Files,
        separation: Separation::Report,
    };
    // What another version kept and this one cannot read counts as nothing.
    let former = build(&last, store, now, &admitting)
        .or_else(|_| build(&[], store, now, &admitting))
        .map_err(|errors| tracing::error!(?errors, "changes of policy files not recorded"));
    let Ok(former) = former else {
        return Ok(Vec::new());
    };
    let changes = diff(&former.set, &running.revision.set);
    Ok(entries(&changes, &former, running, Origin::Files, None))
}

/// What has been in force runs on, although the configuration refuses by now that somebody both
/// manages and invokes.
fn last_good(
    texts: &[Text],
    store: &mut Store,
    now: &Now,
    admitting: &Admitting<'_>,
) -> Result<Revision, Vec<String>> {
    let built = build(texts, store, now, admitting);
    built.or_else(|errors| match admitting.separation {
        Separation::Report => Err(errors),
        Separation::Refuse => {
            let admitting = Admitting {
                separation: Separation::Report,
                ..*admitting
            };
            build(texts, store, now, &admitting)
        }
    })
}

/// The revision of these files together with the objects of the API.
fn build(
    texts: &[Text],
    store: &mut Store,
    now: &Now,
    admitting: &Admitting<'_>,
) -> Result<Revision, Vec<String>> {
    let mut objects = sources::parse_all(texts).map_err(|errors| lines(&errors))?;
    objects.extend(api_objects(store)?);
    Revision::build(objects, store, now, admitting).map_err(explain)
}

fn api_objects(store: &Store) -> Result<Vec<Located<Object>>, Vec<String>> {
    let stored = store
        .objects()
        .map_err(|error: StoreError| vec![error_chain(&error)])?;
    let mut objects = Vec::new();
    for object in stored {
        objects.extend(parse(API_SOURCE, &object.yaml).map_err(|errors| lines(&errors))?);
    }
    Ok(objects)
}

/// One line for each thing that is wrong.
pub(super) fn explain(error: RevisionError) -> Vec<String> {
    match error {
        RevisionError::Invalid(errors) => lines(&errors),
        RevisionError::Compile(_) | RevisionError::Store(_) => vec![error_chain(&error)],
    }
}

pub(super) fn lines(errors: &[PolicyError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Checks files without an agent: what they contain, mistakes and warnings.
///
/// # Errors
///
/// Every mistake, one line each.
pub fn check_files(files: &[PathBuf], at: Timestamp) -> Result<Checked, Vec<String>> {
    let texts = sources::read(files).map_err(|errors| lines(&errors))?;
    check_texts(&texts, at)
}

/// As [`check_files`], on texts.
///
/// # Errors
///
/// Every mistake, one line each.
pub(super) fn check_texts(texts: &[Text], at: Timestamp) -> Result<Checked, Vec<String>> {
    let objects = sources::parse_all(texts).map_err(|errors| lines(&errors))?;
    let n_objects = objects.len();
    let options = BuildOptions {
        now: at,
        on_expired: OnExpired::Refuse,
        issued_at: &|_, _| at,
        approval: &ApprovalRules::none(),
        life: &|_, _| None,
        separation: Separation::Report,
    };
    let built = PolicySet::build(objects, Catalogue::builtin(), &options);
    built
        .map(|built| Checked {
            n_objects,
            warnings: lines(&built.warnings),
            findings: built.set.duties().iter().map(ToString::to_string).collect(),
        })
        .map_err(|errors| lines(&errors))
}
