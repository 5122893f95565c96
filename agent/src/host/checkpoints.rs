//! The files that prove the audit: the key, checkpoints that are only ever added, and a head that
//! says how many there are.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use thiserror::Error;

use crate::audit::{
    Checkpoint, FIRST_LINE, Hash, Key, Occasion, Proof, PublicKey, Purpose, Signed, hex, line_hash,
    parse_hex,
};

const KEY: &str = "audit-key";
const PUBLIC_KEY: &str = "audit-key.pub";
const LINES: &str = "audit-checkpoints.jsonl";
const HEAD: &str = "audit-head.json";

#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{}` is no key: put the former one back, or remove it to go on with another, which \
         `weir audit verify` will tell", .0.display()
    )]
    NoKey(PathBuf),
    #[error("`{}` is no public key: it has 64 hexadecimal digits", .0.display())]
    NoPublicKey(PathBuf),
}

/// Adds checkpoints. There is one writer, the agent that holds the state directory.
#[derive(Debug)]
pub struct Checkpoints {
    directory: PathBuf,
    key: Key,
    file: File,
    /// Number and hash of the last line.
    last: (u64, Hash),
}

impl Checkpoints {
    /// Opens the files in `directory`; what is not there is made. Returns the last checkpoint, too.
    ///
    /// # Errors
    ///
    /// When they cannot be read or made.
    pub fn open(directory: &Path) -> Result<(Self, Option<Checkpoint>), CheckpointError> {
        let key = key(directory)?;
        let path = directory.join(LINES);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| writing(&path, source))?;
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(|source| reading(&path, source))?;
        if !text.is_empty() && !text.ends_with('\n') {
            // What a power failure has cut off must not swallow the next line.
            file.write_all(b"\n")
                .map_err(|source| writing(&path, source))?;
        }
        let lines = text.lines().rev();
        let last = lines
            .filter_map(|line| Some((Signed::parse(line)?.checkpoint, line_hash(line))))
            .next();
        let checkpoints = Self {
            directory: directory.to_owned(),
            key,
            file,
            last: last.map_or((0, FIRST_LINE), |(last, hash)| (last.number, hash)),
        };
        Ok((checkpoints, last.map(|(checkpoint, _)| checkpoint)))
    }

    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Signs that the chain went up to record `seq` with `hash`. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn add(
        &mut self,
        (seq, hash): (u64, Hash),
        at: Timestamp,
        occasion: Occasion,
    ) -> Result<(), CheckpointError> {
        let (number, previous) = self.last;
        let checkpoint = Checkpoint {
            number: number + 1,
            seq,
            hash,
            at,
            occasion,
            previous,
        };
        let line = self.key.sign(checkpoint, Purpose::Line).line();
        let path = self.directory.join(LINES);
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|source| writing(&path, source))?;
        self.last = (checkpoint.number, line_hash(&line));
        let head = self.key.sign(checkpoint, Purpose::Head).line();
        replace(&self.directory.join(HEAD), &head)
    }
}

/// What there is to verify with.
///
/// # Errors
///
/// When a file that is there cannot be read, or there is no key.
pub fn read_proof(directory: &Path) -> Result<(Proof, PublicKey), CheckpointError> {
    let text = |name: &str| {
        let path = directory.join(name);
        match fs::read(&path) {
            // What is no text is no checkpoint, and is told as such.
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(reading(&path, source)),
        }
    };
    // In this order, because an agent may be adding a line and will then replace the head.
    let head = text(HEAD)?;
    let lines = text(LINES)?.unwrap_or_default();
    let proof = Proof {
        lines: lines.lines().map(ToOwned::to_owned).collect(),
        head,
    };
    let key = match text(KEY)? {
        Some(text) => {
            let seed = parse_hex(text.trim());
            let path = directory.join(KEY);
            Key::from_seed(&seed.ok_or(CheckpointError::NoKey(path))?).public()
        }
        None => read_public_key(&directory.join(PUBLIC_KEY))?,
    };
    Ok((proof, key))
}

/// A public key that was kept elsewhere.
///
/// # Errors
///
/// When it cannot be read or is none.
pub fn read_public_key(path: &Path) -> Result<PublicKey, CheckpointError> {
    let text = fs::read_to_string(path).map_err(|source| reading(path, source))?;
    PublicKey::parse(&text).ok_or_else(|| CheckpointError::NoPublicKey(path.to_owned()))
}

/// The key in `directory`; one is made if there is none.
fn key(directory: &Path) -> Result<Key, CheckpointError> {
    let path = directory.join(KEY);
    let key = match fs::read_to_string(&path) {
        Ok(text) => {
            let seed =
                parse_hex(text.trim()).ok_or_else(|| CheckpointError::NoKey(path.clone()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .map_err(|source| writing(&path, source))?;
            Key::from_seed(&seed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty())
                .map_err(|error| writing(&path, error.into()))?;
            replace(&path, &hex(&seed))?;
            Key::from_seed(&seed)
        }
        Err(source) => return Err(reading(&path, source)),
    };
    let public = directory.join(PUBLIC_KEY);
    if read_public_key(&public).ok() != Some(key.public()) {
        replace(&public, &key.public().text())?;
    }
    Ok(key)
}

/// Puts `line` in the place of a file, all of it or nothing, for its owner only.
fn replace(path: &Path, line: &str) -> Result<(), CheckpointError> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| writing(path, source))
}

fn reading(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Read {
        path: path.to_owned(),
        source,
    }
}

fn writing(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::constant(1_750_000_000, 0);

    #[test]
    fn checkpoints_go_on_after_a_restart_and_the_key_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut first, none) = Checkpoints::open(directory.path()).expect("opened");
        assert_eq!(none, None);
        first.add((0, [0; 32]), AT, Occasion::Start).expect("added");
        first.add((3, [3; 32]), AT, Occasion::Stop).expect("added");
        let key = first.public_key();
        drop(first);

        let (mut second, last) = Checkpoints::open(directory.path()).expect("opened again");
        assert_eq!(last.map(|last| (last.number, last.seq)), Some((2, 3)));
        second
            .add((4, [4; 32]), AT, Occasion::Running)
            .expect("added");
        let (proof, read) = read_proof(directory.path()).expect("read");
        assert_eq!((read, proof.lines.len()), (key, 3));
        assert!(proof.head.is_some());
        let mode = fs::metadata(directory.path().join(KEY))
            .expect("a key")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_swallow_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(LINES), "{\"number\":1,").expect("written");
        let (mut checkpoints, _) = Checkpoints::open(directory.path()).expect("opened");
        checkpoints
            .add((1, [1; 32]), AT, Occasion::Start)
            .expect("added");
        let (proof, _) = read_proof(directory.path()).expect("read");
        assert_eq!(proof.lines.len(), 2);
        let last = proof.lines.last().expect("a line");
        assert!(Signed::parse(last).is_some(), "{last}");
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(KEY);
        fs::write(&path, "abc").expect("written");
        let error = Checkpoints::open(directory.path()).expect_err("no key");
        assert!(matches!(error, CheckpointError::NoKey(_)), "{error:?}");
        assert_eq!(fs::read_to_string(&path).expect("still there"), "abc");
    }
}
