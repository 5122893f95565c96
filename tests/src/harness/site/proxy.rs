//! A proxy that speaks HTTP (CONNECT and whole URLs), SOCKS4, SOCKS4a and SOCKS5.

use std::{
    io::{self, Error, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use super::server::serve;

/// Leads every name to one address, and remembers what it was asked for.
pub struct Proxy {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Listens at `address`; names and addresses alike lead to `upstream`.
    ///
    /// # Panics
    ///
    /// When the address cannot be bound.
    pub fn start(address: &str, upstream: IpAddr) -> Self {
        let asked = Arc::default();
        let inner = Self {
            asked: Arc::clone(&asked),
        };
        let inner = Arc::new(inner);
        serve(address, move |client| inner.talk(client, upstream));
        Self { asked }
    }

    /// `host:port` of each request that arrived whole.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of them named `name`.
    pub fn n_for(&self, name: &str) -> usize {
        let asked = self.asked();
        let host = |asked: &&String| asked.split(':').next() == Some(name);
        asked.iter().filter(host).count()
    }

    fn note(&self, host: &str, port: u16) {
        let asked = self.asked.lock();
        let mut asked = asked.unwrap_or_else(PoisonError::into_inner);
        asked.push(format!("{host}:{port}"));
    }

    fn talk(&self, mut client: TcpStream, upstream: IpAddr) -> io::Result<()> {
        let [first] = take(&mut client)?;
        let (reply, forward, port) = match first {
            4 => {
                let (host, port) = socks4(&mut client)?;
                self.note(&host, port);
                (b"\x00\x5a\0\0\0\0\0\0".to_vec(), Vec::new(), port)
            }
            5 => {
                let (host, port) = socks5(&mut client)?;
                self.note(&host, port);
                (b"\x05\x00\x00\x01\0\0\0\0\0\0".to_vec(), Vec::new(), port)
            }
            first => self.http(&mut client, first)?,
        };
        let mut server = TcpStream::connect(SocketAddr::new(upstream, port))?;
        client.write_all(&reply)?;
        server.write_all(&forward)?;
        splice(client, server)
    }

    /// What to answer, what to pass on, and the port.
    fn http(&self, client: &mut TcpStream, first: u8) -> io::Result<(Vec<u8>, Vec<u8>, u16)> {
        let mut head = vec![first];
        while !head.ends_with(b"\r\n\r\n") {
            let [byte] = take(client)?;
            head.push(byte);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut words = text.split(' ');
        let (method, target) = (words.next(), words.next().unwrap_or_default());
        if method == Some("CONNECT") {
            let (host, port) = target.rsplit_once(':').ok_or(Error::other("no port"))?;
            let port = port.parse().map_err(Error::other)?;
            self.note(host, port);
            return Ok((b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Vec::new(), port));
        }
        let rest = target.strip_prefix("http://");
        let host = rest.and_then(|rest| rest.split('/').next());
        self.note(host.ok_or(Error::other("no host"))?, 80);
        Ok((Vec::new(), head, 80))
    }
}

fn socks4(client: &mut TcpStream) -> io::Result<(String, u16)> {
    let [_command, port @ .., a, b, c, d] = take::<7>(client)?;
    until_zero(client)?;
    let host = match [a, b, c, d] {
        // Not an address: the name follows.
        [0, 0, 0, _] => until_zero(client)?,
        address => IpAddr::from(address).to_string(),
    };
    Ok((host, u16::from_be_bytes(port)))
}

fn socks5(client: &mut TcpStream) -> io::Result<(String, u16)> {
    const NO_LOGIN: u8 = 0;
    const PASSWORD: u8 = 2;
    let methods = counted(client)?;
    if methods.contains(&PASSWORD) {
        client.write_all(&[5, PASSWORD])?;
        let [_version] = take(client)?;
        counted(client)?;
        counted(client)?;
        client.write_all(&[1, 0])?;
    } else {
        client.write_all(&[5, NO_LOGIN])?;
    }
    let [_version, _command, _reserved, kind] = take(client)?;
    let host = match kind {
        1 => IpAddr::from(take::<4>(client)?).to_string(),
        3 => String::from_utf8_lossy(&counted(client)?).into_owned(),
        4 => IpAddr::from(take::<16>(client)?).to_string(),
        other => return Err(Error::other(format!("address of kind {other}"))),
    };
    Ok((host, u16::from_be_bytes(take(client)?)))
}

fn take<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn counted(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let [length] = take(stream)?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn until_zero(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        match take(stream)? {
            [0] => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            [byte] => bytes.push(byte),
        }
    }
}

/// Passes everything on in both directions until both have ended.
fn splice(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut upward, mut server_in) = (client.try_clone()?, server.try_clone()?);
    let (mut server_out, mut client_out) = (server, client);
    let up = thread::spawn(move || {
        let result = io::copy(&mut upward, &mut server_in);
        // A client that is gone must not leave the server waiting.
        let _ = server_in.shutdown(Shutdown::Write);
        result
    });
    let down = io::copy(&mut server_out, &mut client_out);
    let _ = client_out.shutdown(Shutdown::Write);
    let up = up.join().map_err(|_| Error::other("a thread panicked"))?;
    down.and(up).map(drop)
}
