//! Servers that keep a list of what reached them.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustls::{ServerConfig, StreamOwned, server::Acceptor};

use super::http;

/// A request that arrived whole, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name in the TLS greeting; nothing over plain HTTP.
    pub sni: Option<String>,
    pub host: String,
    pub target: String,
}

#[derive(Debug, Default)]
struct Lists {
    hellos: Vec<Option<String>>,
    requests: Vec<Request>,
}

/// What reached the servers of a site.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lists: Arc<Mutex<Lists>>,
}

impl Log {
    /// The name in each TLS greeting that arrived whole.
    pub fn hellos(&self) -> Vec<Option<String>> {
        self.with(|lists| lists.hellos.clone())
    }

    pub fn requests(&self) -> Vec<Request> {
        self.with(|lists| lists.requests.clone())
    }

    /// How many greetings and requests named `name`.
    pub fn n_for(&self, name: &str) -> usize {
        self.with(|Lists { hellos, requests }| {
            let of_name = |found: &&Option<String>| found.as_deref() == Some(name);
            let host = |request: &&Request| request.host.split(':').next() == Some(name);
            hellos.iter().filter(of_name).count() + requests.iter().filter(host).count()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Lists) -> T) -> T {
        // A list is whole at any moment.
        act(&mut self.lists.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn serve_https(address: &str, config: Arc<ServerConfig>, log: &Log) {
    let log = log.clone();
    serve(address, move |stream| {
        https(stream, &config, &log)?;
        Ok(())
    });
}

pub(super) fn serve_http(address: &str, log: &Log) {
    let log = log.clone();
    serve(address, move |mut stream| answer(&mut stream, None, &log));
}

/// Hands each connection to `talk`, in a thread of its own. Clients may leave at any point.
pub(super) fn serve(
    address: &str,
    talk: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) {
    let listener = TcpListener::bind(address).expect("a listener");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let talk = talk.clone();
            thread::spawn(move || {
                let _ = talk(stream);
            });
        }
    });
}

fn https(mut stream: TcpStream, config: &Arc<ServerConfig>, log: &Log) -> io::Result<()> {
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        if acceptor.read_tls(&mut stream)? == 0 {
            return Ok(());
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((_, mut alert)) => return alert.write_all(&mut stream),
        }
    };
    let sni = accepted.client_hello().server_name().map(str::to_owned);
    log.with(|lists| lists.hellos.push(sni.clone()));
    match accepted.into_connection(Arc::clone(config)) {
        Ok(connection) => {
            let mut stream = StreamOwned::new(connection, stream);
            answer(&mut stream, sni, log)?;
            stream.conn.send_close_notify();
            stream.flush()
        }
        Err((_, mut alert)) => alert.write_all(&mut stream),
    }
}

fn answer(stream: &mut (impl Read + Write), sni: Option<String>, log: &Log) -> io::Result<()> {
    let Some(message) = http::read(stream)? else {
        return Ok(());
    };
    log.with(|lists| {
        lists.requests.push(Request {
            sni,
            host: message.host.clone(),
            target: message.target.clone(),
        });
    });
    http::answer(stream, &message)
}
