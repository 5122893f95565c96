//! Rules that no linter knows: which module may name what, and how long a file may be.
//!
//! Test modules are exempt from both. Paths are read from the syntax tree, so an import hidden in
//! a group or a path written out in an expression counts alike.

mod layers;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{paths, report::Outcome};

/// Lines of a file outside its tests; a file that needs more holds two nouns.
const MAX_LINES: usize = 400;
const CRATES: [&str; 6] = [
    "agent-common/src",
    "agent-ebpf/src",
    "agent/src",
    "tests/fuzz/src",
    "tests/src",
    "xtask/src",
];

pub(crate) fn check() -> Result<Outcome> {
    let root = paths::root();
    let mut problems = Vec::new();
    for dir in CRATES {
        for file in rust_files(&root.join(dir))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let name = file.strip_prefix(&root).unwrap_or(&file);
            problems.extend(problems_of(name, &text)?);
        }
    }
    for problem in &problems {
        println!("{problem}");
    }
    Ok(match problems.len() {
        0 => Outcome::Pass,
        n => Outcome::Fail(format!("{n} problems, listed above")),
    })
}

/// `name` is relative to the repository, as the rules are.
fn problems_of(name: &Path, text: &str) -> Result<Vec<String>> {
    if is_test_file(name) {
        return Ok(Vec::new());
    }
    let source = source::read(text).with_context(|| format!("parse {}", name.display()))?;
    let mut problems = Vec::new();
    if source.n_lines > MAX_LINES {
        problems.push(format!(
            "{}: {} lines outside tests, at most {MAX_LINES} are allowed; split it by noun",
            name.display(),
            source.n_lines
        ));
    }
    for used in &source.used {
        if let Some(rule) = layers::broken_rule(name, &used.path) {
            problems.push(format!(
                "{}:{}: `{}` has no place here: {rule}",
                name.display(),
                used.line,
                used.path
            ));
        }
    }
    Ok(problems)
}

fn is_test_file(name: &Path) -> bool {
    name.file_name().is_some_and(|file| file == "tests.rs")
        || name.parent().is_some_and(|dir| dir.ends_with("tests"))
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("list {}", dir.display()))?
            .path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
