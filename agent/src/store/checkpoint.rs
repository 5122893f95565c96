//! Takes what was committed over from the log into the file, on a thread of its own: that waits for
//! the disk, and nobody who writes to the store has to.

use std::{
    ffi::c_int,
    io,
    path::Path,
    sync::mpsc::{self, Receiver, SyncSender},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, hooks::Wal};

use crate::error_chain;

/// Pages in the log for which a checkpoint is worth the wait.
const STEP: c_int = 1_000;
/// Pages at which whoever writes has to wait after all: they never pause, or the disk is too slow.
const MOST: c_int = 8_000;
/// How often a checkpoint is tried again for what was committed meanwhile. Only once nothing is
/// left the log begins anew.
const TRIES: usize = 4;

/// Has to end before the connection that it was started for: the last one to be closed takes over
/// what is left and removes the log, which neither does while the other is there.
pub(super) struct Checkpoints {
    thread: Option<JoinHandle<()>>,
    wake: SyncSender<Wake>,
}

enum Wake {
    Checkpoint,
    End,
}

/// Why there is nobody for it; the writer then does it itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCheckpoints {
    #[error("open the store once more")]
    Open(#[from] rusqlite::Error),
    #[error("start a thread")]
    Thread(#[from] io::Error),
}

impl Checkpoints {
    /// Relieves `writer`, which has the database at `path` open.
    pub(super) fn start(writer: &mut Connection, path: &Path) -> Result<Self, NoCheckpoints> {
        let connection = Connection::open(path)?;
        connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("weir-store".to_owned())
            .spawn(move || run(&connection, &woken))?;
        let told = wake.clone();
        let mut next = STEP;
        writer.wal_hook(Some(move |log: &mut Wal, pages: c_int| {
            if pages >= MOST {
                // Fails while the thread is at it: then the next one tries again.
                let _ = log.checkpoint();
                return Ok(());
            }
            let after = pages.saturating_add(STEP);
            if pages < next {
                // The log may have begun anew.
                next = next.min(after);
                return Ok(());
            }
            next = after;
            // Full: it has been told already.
            let _ = told.try_send(Wake::Checkpoint);
            Ok(())
        }))?;
        Ok(Self {
            thread: Some(thread),
            wake,
        })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.wake.send(Wake::End);
        if self
            .thread
            .take()
            .map(JoinHandle::join)
            .is_some_and(|ended| ended.is_err())
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn run(connection: &Connection, woken: &Receiver<Wake>) {
    while let Ok(Wake::Checkpoint) = woken.recv() {
        for _ in 0..TRIES {
            match checkpoint(connection) {
                Ok(is_empty) if is_empty => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), "the store's log grows");
                    break;
                }
            }
        }
    }
}

/// True if nothing is left in the log.
fn checkpoint(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (in_log, done): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(in_log == done)
    })
}
