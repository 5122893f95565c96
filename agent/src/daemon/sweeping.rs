//! Looks for connections on the whole host, and ends some: on a thread of its own, because both take
//! milliseconds.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use super::{
    Input,
    ending::{EndedCounts, end},
};
use crate::host::{
    sock_destroy::{Flow, SocketDestroyer},
    sockets,
};

#[derive(Debug)]
pub(super) enum Job {
    /// Tell of all connections.
    Look,
    End(Vec<Flow>),
}

/// Starts the thread. It ends when nobody can give it a job any more.
pub(super) fn start(
    jobs: mpsc::Receiver<Job>,
    inputs: mpsc::Sender<Input>,
    counts: Arc<EndedCounts>,
) -> io::Result<()> {
    thread::Builder::new()
        .name("weir-sweeping".to_owned())
        .spawn(move || run(&jobs, &inputs, &counts))
        .map(drop)
}

fn run(jobs: &mpsc::Receiver<Job>, inputs: &mpsc::Sender<Input>, counts: &EndedCounts) {
    let mut destroyer = SocketDestroyer::new();
    while let Ok(first) = jobs.recv() {
        let mut looks = false;
        for job in std::iter::once(first).chain(jobs.try_iter()) {
            match job {
                Job::Look => looks = true,
                Job::End(flows) => {
                    for flow in &flows {
                        end(&mut destroyer, flow, counts);
                    }
                }
            }
        }
        if looks {
            match sockets::connections(sockets::Detail::Ends) {
                Ok(found) => {
                    if inputs.send(Input::Connections(found)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "connections whose right is gone are not ended, only cut off");
                }
            }
        }
        destroyer.forget_idle(Instant::now());
    }
}
