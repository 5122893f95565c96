//! Places outside the state directory that records of the audit are told to.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt, net::UnixDatagram},
    path::{Path, PathBuf},
};

/// Where the journal listens for its native protocol.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Sends messages of the journal's native protocol.
///
/// # Errors
///
/// When nobody listens, or one is too long.
pub fn to_journal(messages: &[Vec<u8>]) -> io::Result<()> {
    to_socket(Path::new(JOURNAL), messages)
}

fn to_socket(path: &Path, messages: &[Vec<u8>]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    for message in messages {
        socket.send(message)?;
    }
    Ok(())
}

/// Adds lines to a file, which is opened anew each time so that it can be rotated.
///
/// # Errors
///
/// When it cannot be written.
pub fn to_file(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let mut text = lines.join("\n");
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Up to which record each place has been told. Losing it tells some records twice, never none.
#[derive(Debug)]
pub struct Forwarded {
    path: PathBuf,
    seqs: BTreeMap<String, u64>,
}

impl Forwarded {
    /// What is kept in the state directory.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let path = directory.join("audit-forwarded.json");
        let text = fs::read_to_string(&path).unwrap_or_default();
        Self {
            seqs: serde_json::from_str(&text).unwrap_or_default(),
            path,
        }
    }

    /// `None` for a place that is new.
    #[must_use]
    pub fn get(&self, place: &str) -> Option<u64> {
        self.seqs.get(place).copied()
    }

    /// # Errors
    ///
    /// When it cannot be kept.
    pub fn set(&mut self, place: &str, seq: u64) -> io::Result<()> {
        self.seqs.insert(place.to_owned(), seq);
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_string(&self.seqs)?)?;
        fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_to_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        to_file(&path, &["a".to_owned(), "b".to_owned()]).expect("written");
        to_file(&path, &["c".to_owned()]).expect("written");
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text, "a\nb\nc\n");
    }

    #[test]
    fn each_message_is_a_datagram() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).expect("a socket");
        to_socket(&path, &[b"A=1\n".to_vec(), b"B=2\n".to_vec()]).expect("sent");
        let mut buffer = [0; 16];
        let length = journal.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"A=1\n");
    }

    #[test]
    fn what_was_told_is_remembered() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut forwarded = Forwarded::read(directory.path());
        assert_eq!(forwarded.get("journald"), None);
        forwarded.set("journald", 7).expect("kept");
        assert_eq!(Forwarded::read(directory.path()).get("journald"), Some(7));
    }
}
