//! Tells records to places outside, each of them at least once.

use std::{io, path::PathBuf};

use super::super::Core;
use crate::{
    audit::Record,
    error_chain,
    host::forward::{to_file, to_journal},
    store::{AuditFilter, StoreError},
};

/// How many records are told at a time, and how often in a row.
const PORTION: u32 = 500;
const MOST_PORTIONS: usize = 20;

#[derive(Clone, Debug)]
enum Place {
    Journal,
    File(PathBuf),
}

impl Place {
    /// For the store: another file is told from its own beginning.
    fn name(&self) -> String {
        match self {
            Self::Journal => "journald".to_owned(),
            Self::File(path) => format!("file:{}", path.display()),
        }
    }

    fn tell(&self, records: &[Record]) -> io::Result<()> {
        match self {
            Self::Journal => to_journal(&records.iter().map(Record::journal).collect::<Vec<_>>()),
            Self::File(path) => {
                let lines = records.iter().map(|record| record.json().to_string());
                to_file(path, &lines.collect::<Vec<_>>())
            }
        }
    }
}

impl Core {
    /// Tells what has been recorded to everybody who is to know.
    pub(in crate::daemon) fn forward(&mut self) {
        for place in self.places() {
            let name = place.name();
            let told = self.forward_to(&place, &name);
            let is_failing = self.prover.failing.contains(&name);
            match told {
                Ok(()) if is_failing => {
                    tracing::info!(place = name, "records of the audit are forwarded again");
                    self.prover.failing.remove(&name);
                }
                Ok(()) => {}
                // Said once; every look tries again.
                Err(error) if !is_failing => {
                    let error = error_chain(&*error);
                    tracing::error!(error, place = name, "records of the audit not forwarded");
                    self.prover.failing.insert(name);
                }
                Err(_) => {}
            }
        }
    }

    fn places(&self) -> Vec<Place> {
        let audit = &self.config.audit;
        let file = audit.file.clone().map(Place::File);
        audit
            .journald
            .then_some(Place::Journal)
            .into_iter()
            .chain(file)
            .collect()
    }

    fn forward_to(&mut self, place: &Place, name: &str) -> Result<(), Box<dyn std::error::Error>> {
        for _ in 0..MOST_PORTIONS {
            let after = self.forwarded(name)?;
            if self.store.audit_end().is_none_or(|end| end.seq <= after) {
                return Ok(());
            }
            let records = self.store.audit_records(&AuditFilter {
                after: Some(after),
                limit: PORTION,
                ..AuditFilter::default()
            })?;
            let Some(last) = records.last() else {
                return Ok(());
            };
            place.tell(&records)?;
            self.store.set_audit_forwarded(name, last.seq)?;
        }
        Ok(())
    }

    /// A place that is new is told what this agent does.
    fn forwarded(&mut self, name: &str) -> Result<u64, StoreError> {
        if let Some(seq) = self.store.audit_forwarded(name)? {
            return Ok(seq);
        }
        let first = self.prover.found;
        self.store.set_audit_forwarded(name, first)?;
        Ok(first)
    }
}
