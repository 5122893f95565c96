//! Reads policy files from the policy directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::policy::{Located, Object, PolicyError, Position, parse};

/// What a file must end in to be read.
const EXTENSIONS: [&str; 2] = ["yaml", "yml"];

/// A policy file's name and text.
pub type Text = (String, String);

/// All policy files in `directory`, in the order of their names; none if it does not exist.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        let is_policy = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| EXTENSIONS.contains(&extension));
        // Editors keep their backups beside the file under a hidden name.
        if is_policy && !name.starts_with('.') && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads `files` as text.
///
/// # Errors
///
/// Every file that cannot be read.
pub fn read(files: &[PathBuf]) -> Result<Vec<Text>, Vec<PolicyError>> {
    let mut texts = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        let name = file.display().to_string();
        match fs::read_to_string(file) {
            Ok(text) => texts.push((name, text)),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                errors.push(PolicyError::new(
                    &name,
                    Position::default(),
                    "file",
                    message,
                ));
            }
        }
    }
    if errors.is_empty() {
        Ok(texts)
    } else {
        Err(errors)
    }
}

/// Parses texts; the mistakes of all of them are reported together.
///
/// # Errors
///
/// Every mistake, in the order of the files.
pub fn parse_all(texts: &[Text]) -> Result<Vec<Located<Object>>, Vec<PolicyError>> {
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    for (file, text) in texts {
        match parse(file, text) {
            Ok(found) => objects.extend(found),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() {
        Ok(objects)
    } else {
        Err(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_yaml_files_are_policy() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["b.yaml", "a.yml", ".a.yaml", "notes.txt", "c.yaml~"] {
            fs::write(directory.path().join(name), "").expect("a file");
        }
        let found = list(directory.path()).expect("a list");
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["a.yml", "b.yaml"]);
        let absent = list(&directory.path().join("absent")).expect("no directory is no policy");
        assert!(absent.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let absent = [PathBuf::from("/nonexistent/policy.yaml")];
        let errors = read(&absent).expect_err("absent");
        let text = errors.first().map(ToString::to_string).unwrap_or_default();
        assert!(
            text.starts_with("/nonexistent/policy.yaml:0:0: file: cannot be read: "),
            "{text}"
        );
    }
}
