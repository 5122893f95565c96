//! A resolver of our own, and callers that connect as soon as they have its answer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use super::{Attempts, wire};

/// The name of the endpoint in tests of names.
pub const GOVERNED: &str = "api.model.test";
/// A name of nobody's concern.
pub const ORDINARY: &str = "www.other.test";
/// Where calls to both go.
pub const PORT: u16 = 443;

/// Where addresses of [`GOVERNED`] and of other names begin: each answer has a new one.
const GOVERNED_FROM: Ipv4Addr = Ipv4Addr::new(127, 100, 0, 0);
const ORDINARY_FROM: Ipv4Addr = Ipv4Addr::new(127, 128, 0, 0);
const PATIENCE: Duration = Duration::from_secs(5);

/// [`GOVERNED`] is an endpoint of which no address is written down, and nothing is allowed.
pub fn policy() -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: model}}
spec: {{provider: test, hosts: [{GOVERNED}], ports: [{PORT}]}}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: closed}}
spec: {{default: true, ungranted: deny}}
"
    )
}

/// Answers at port 53 of `address` for as long as this process lives.
///
/// # Panics
///
/// When the address cannot be bound.
pub fn serve(address: IpAddr) {
    let socket = UdpSocket::bind((address, 53)).expect("port 53 of a network of our own");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        let (mut governed, mut ordinary) = (GOVERNED_FROM.to_bits(), ORDINARY_FROM.to_bits());
        while let Ok((len, client)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..len];
            let next = if wire::dns_name(query).as_deref() == Some(GOVERNED) {
                &mut governed
            } else {
                &mut ordinary
            };
            *next += 1;
            let answer = wire::dns_answer(query, &[Ipv4Addr::from_bits(*next)]);
            // A client that has gone needs none.
            let _ = socket.send_to(&answer, client);
        }
    });
}

/// Resolves a name over and over, and connects at once to what came back.
pub struct Pairs {
    pub resolver: SocketAddr,
    pub count: u32,
    /// Threads that do the same with [`ORDINARY`] meanwhile.
    pub busy: u32,
}

impl Pairs {
    /// The attempts to reach [`GOVERNED`]: what is not refused was missed. An attempt to reach
    /// [`ORDINARY`] that is refused counts as `other`.
    ///
    /// # Errors
    ///
    /// When the resolver does not answer.
    ///
    /// # Panics
    ///
    /// When a thread beside does.
    pub fn run(&self) -> io::Result<Attempts> {
        let stop = AtomicBool::new(false);
        let n_false = AtomicU32::new(0);
        let mut attempts = Attempts::default();
        thread::scope(|scope| {
            let busy: Vec<_> = (0..self.busy)
                .map(|_| scope.spawn(|| self.ordinary(&stop, &n_false)))
                .collect();
            let result = self.governed(&mut attempts);
            stop.store(true, Ordering::Relaxed);
            for thread in busy {
                thread.join().expect("the thread ends")?;
            }
            result
        })?;
        attempts.other += n_false.into_inner();
        Ok(attempts)
    }

    fn ordinary(&self, stop: &AtomicBool, n_refused: &AtomicU32) -> io::Result<()> {
        let mut caller = Caller::new(self.resolver)?;
        while !stop.load(Ordering::Relaxed) {
            if caller.connect(ORDINARY)? == libc::EPERM {
                n_refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn governed(&self, attempts: &mut Attempts) -> io::Result<()> {
        let mut caller = Caller::new(self.resolver)?;
        for _ in 0..self.count {
            match caller.connect(GOVERNED)? {
                libc::EPERM => attempts.refused += 1,
                // Nobody listens: a connection that gets through is reset.
                0 | libc::ECONNREFUSED => attempts.ok += 1,
                _ => attempts.other += 1,
            }
        }
        Ok(())
    }
}

struct Caller {
    socket: UdpSocket,
    id: u16,
}

impl Caller {
    fn new(resolver: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(resolver)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, id: 0 })
    }

    /// The errno of connecting to what `name` has just been resolved to, or 0.
    fn connect(&mut self, name: &str) -> io::Result<i32> {
        self.id = self.id.wrapping_add(1);
        self.socket.send(&wire::dns_query(self.id, name))?;
        let mut buffer = [0; 512];
        let len = self.socket.recv(&mut buffer)?;
        let address = wire::dns_address(&buffer[..len]).ok_or(io::ErrorKind::InvalidData)?;
        Ok(match TcpStream::connect((address, PORT)) {
            Ok(_) => 0,
            Err(error) => error.raw_os_error().unwrap_or(-1),
        })
    }
}
