//! The endpoints: everything that listens, and which tokens have reached it.

mod dns;
mod raw;
mod talk;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::scene::{PLAIN, RESOLVER, any};

/// What tokens begin with; sixteen digits follow.
pub(super) const MARK: &[u8] = b"EVADE-";
pub(super) const TOKEN: usize = MARK.len() + 16;

/// TLS, HTTP, a server that reads late, a proxy, a local model, DNS over TLS.
const STREAMS: [u16; 6] = [443, 80, talk::LATE, 3128, 11434, 853];
const DATAGRAMS: [&str; 6] = [
    "127.8.0.1:443",
    "[fd00:8::1]:443",
    "127.8.0.2:443",
    "127.0.0.1:11434",
    "[::1]:11434",
    "[fe80::8%lo]:443",
];

/// Which tokens have arrived.
#[derive(Clone, Default)]
pub(super) struct Arrivals {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tokens: Mutex<BTreeSet<Vec<u8>>>,
    more: Condvar,
}

impl Arrivals {
    /// Listens at everything that this kernel has.
    pub(super) fn start() -> io::Result<Self> {
        let arrivals = Self::default();
        for port in STREAMS {
            let listener = TcpListener::bind(("::", port))?;
            talk::serve(listener, arrivals.clone());
        }
        for address in DATAGRAMS {
            if let Ok(address) = address.parse::<std::net::SocketAddr>() {
                arrivals.receive(UdpSocket::bind(address)?);
            }
        }
        dns::serve(any(RESOLVER)?)?;
        raw::serve(&arrivals);
        arrivals.serve_sctp();
        arrivals.serve_dccp();
        arrivals.serve_udplite();
        Ok(arrivals)
    }

    fn receive(&self, socket: UdpSocket) {
        let arrivals = self.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(n) = socket.recv(&mut buffer) {
                arrivals.note(&buffer[..n]);
            }
        });
    }

    /// Where the kernel has no SCTP, nothing of it arrives.
    fn serve_sctp(&self) {
        const SCTP: i32 = 132;
        for domain in [Domain::IPV4, Domain::IPV6] {
            if let Ok(listener) = listener(domain, Type::STREAM, SCTP)
                && listener.listen(16).is_ok()
            {
                self.accept(listener);
            }
        }
    }

    /// As [`Self::serve_sctp`].
    fn serve_dccp(&self) {
        const DCCP: i32 = 33;
        const KIND: i32 = 6;
        const SOL_DCCP: i32 = 269;
        const SERVICE: i32 = 2;
        let Ok(socket) = listener(Domain::IPV4, Type::from(KIND), DCCP) else {
            return;
        };
        let listens = super::sys::set_number(&socket, SOL_DCCP, SERVICE, 0);
        if listens.and_then(|()| socket.listen(16)).is_ok() {
            self.accept(socket);
        }
    }

    /// Reads from each connection.
    fn accept(&self, listener: Socket) {
        let arrivals = self.clone();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let arrivals = arrivals.clone();
                thread::spawn(move || arrivals.read(&stream));
            }
        });
    }

    fn serve_udplite(&self) {
        if let Ok(socket) = listener(Domain::IPV4, Type::DGRAM, 136) {
            let arrivals = self.clone();
            thread::spawn(move || arrivals.read(&socket));
        }
    }

    /// Notes what comes until the end.
    fn read(&self, mut socket: &Socket) {
        let mut buffer = vec![0; 4096];
        while let Ok(n @ 1..) = io::Read::read(&mut socket, &mut buffer) {
            if self.note(&buffer[..n]) {
                // The caller may be gone.
                let _ = socket.send(b"seen");
            }
        }
    }

    /// Whether there is a token in it.
    fn note(&self, bytes: &[u8]) -> bool {
        let found = bytes.windows(TOKEN).filter(|window| is_token(window));
        let found: Vec<Vec<u8>> = found.map(<[u8]>::to_vec).collect();
        let is_new = !found.is_empty();
        if is_new {
            self.tokens().extend(found);
            self.inner.more.notify_all();
        }
        is_new
    }

    /// Waits for a token; whether it has come.
    pub(super) fn wait(&self, token: &str, patience: Duration) -> bool {
        let missing = |tokens: &mut BTreeSet<Vec<u8>>| !tokens.contains(token.as_bytes());
        let waited = self
            .inner
            .more
            .wait_timeout_while(self.tokens(), patience, missing);
        let (tokens, _) = waited.unwrap_or_else(PoisonError::into_inner);
        tokens.contains(token.as_bytes())
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeSet<Vec<u8>>> {
        // A set is whole at any moment.
        self.inner
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_token(bytes: &[u8]) -> bool {
    bytes
        .strip_prefix(MARK)
        .is_some_and(|rest| rest.iter().all(u8::is_ascii_hexdigit))
}

fn listener(domain: Domain, kind: Type, protocol: i32) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, Some(Protocol::from(protocol)))?;
    let any = match domain {
        Domain::IPV6 => {
            socket.set_only_v6(true)?;
            IpAddr::from([0_u16; 8])
        }
        _ => IpAddr::from([0_u8; 4]),
    };
    socket.bind(&SockAddr::from(std::net::SocketAddr::new(any, 443)))?;
    Ok(socket)
}

/// Not the endpoint: what arrives there proves nothing.
fn is_ordinary(address: IpAddr) -> bool {
    const REWRITTEN: [u8; 3] = [127, 8, 2];
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let plain = any(PLAIN).is_ok_and(|plain| plain.ip() == v4);
            plain || v4.octets().starts_with(&REWRITTEN) || v4 == Ipv4Addr::new(127, 8, 0, 9)
        }
        IpAddr::V6(v6) => v6.segments() == [0xfd00, 8, 0, 0, 0, 0, 2, 1],
    }
}
