//! A server that judges nothing: it keeps the bytes of each connection, and says so when a first
//! flight is complete.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::hello;

/// What it answers to a TLS greeting or to the head of an HTTP request once they are whole.
pub const ANSWER: &[u8] = b"complete\n";

/// Connections are read in the background, and by whoever looks: so nothing that has arrived is
/// missed.
#[derive(Clone)]
pub struct Recorder {
    state: Arc<Mutex<State>>,
    epoll: Arc<Epoll>,
}

#[derive(Default)]
struct State {
    listeners: Vec<TcpListener>,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
    is_complete: bool,
    is_open: bool,
}

impl Recorder {
    /// Listens at all of `addresses`.
    ///
    /// # Panics
    ///
    /// When one cannot be bound.
    pub fn start(addresses: &[&str]) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll instance");
        let mut state = State::default();
        for address in addresses {
            let listener = TcpListener::bind(address).expect("a listener");
            listener.set_nonblocking(true).expect("a mode");
            let readable = EpollEvent::new(EpollFlags::EPOLLIN, 0);
            epoll.add(&listener, readable).expect("a place to wait");
            state.listeners.push(listener);
        }
        let recorder = Self {
            state: Arc::new(Mutex::new(state)),
            epoll: Arc::new(epoll),
        };
        let background = recorder.clone();
        thread::spawn(move || background.run());
        recorder
    }

    /// First flights that have arrived whole.
    pub fn complete(&self) -> Vec<Vec<u8>> {
        let state = self.sweep();
        let complete = state.iter().filter(|(_, is_complete)| *is_complete);
        complete.map(|(bytes, _)| bytes.clone()).collect()
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); 8];
        while let Ok(_) | Err(nix::Error::EINTR) = self.epoll.wait(&mut events, EpollTimeout::NONE)
        {
            self.sweep();
        }
    }

    /// Takes over all that has arrived.
    fn sweep(&self) -> Vec<(Vec<u8>, bool)> {
        let state = self.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let State {
            listeners,
            connections,
        } = &mut *state;
        for listener in listeners {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).expect("a mode");
                let readable = EpollEvent::new(EpollFlags::EPOLLIN, 0);
                self.epoll.add(&stream, readable).expect("a place to wait");
                connections.push(Connection {
                    stream,
                    bytes: Vec::new(),
                    is_complete: false,
                    is_open: true,
                });
            }
        }
        for connection in connections.iter_mut().filter(|found| found.is_open) {
            connection.read();
            if !connection.is_open {
                // Else its end would be told again and again.
                let _ = self.epoll.delete(&connection.stream);
            }
        }
        let found = connections.iter();
        found
            .map(|found| (found.bytes.clone(), found.is_complete))
            .collect()
    }
}

impl Connection {
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(n) if n > 0 => self.bytes.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.is_open = false;
                    break;
                }
            }
        }
        if !self.is_complete && is_complete(&self.bytes) {
            self.is_complete = true;
            // The client may be gone.
            let _ = self.stream.write_all(ANSWER);
        }
    }
}

fn is_complete(bytes: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    if bytes.first() == Some(&HANDSHAKE) {
        return hello::message(bytes).is_some();
    }
    // The first line may be preceded by empty ones.
    let is_blank = |byte: &&u8| b"\r\n".contains(byte);
    let head = &bytes[bytes.iter().take_while(is_blank).count()..];
    let has = |end: &[u8]| head.windows(end.len()).any(|found| found == end);
    has(b"\n\r\n") || has(b"\n\n")
}
