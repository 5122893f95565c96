//! Places outside the state directory that records of the audit are told to.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt, net::UnixDatagram},
    path::Path,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_to_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        to_file(&path, &["a".to_owned(), "b".to_owned()]).expect("written");
        to_file(&path, &["c".to_owned()]).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
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
}
