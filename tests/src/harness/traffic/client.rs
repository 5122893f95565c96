//! What a workload runs: opens all connections, goes on with them, and reports.

use std::{
    io::{self, BufRead},
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::{
    Request,
    body::{Frame, Incoming},
    client::conn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::{Instant, sleep},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weir::host::clock::boot_ns;

use super::{
    BETWEEN, Kind, Order, Report, Stamps, Told, Tries, Until, stamp,
    watched::{FirstError, Watched, note},
};

/// Longest time to wait for what a report waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two connections that are tried.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
/// Requests of one HTTP/2 connection at a time.
const STREAMS: u32 = 5;

/// One connection, or one stream of several in one.
struct Held {
    kind: Kind,
    newest_ns: AtomicU64,
    /// Of its socket.
    error: FirstError,
    over: OnceLock<()>,
}

/// Carries out the order in `text` and reports on the standard output.
///
/// # Errors
///
/// When a connection cannot be made, or nothing comes over one.
#[expect(clippy::print_stdout, reason = "the test reads it")]
pub fn run(text: &str) -> Result<()> {
    let order: Order = serde_json::from_str(text).context("understand the order")?;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().context("a runtime")?;
    let report = runtime.block_on(async {
        let client = Client::new(&order)?;
        let held = client.open_all(order.each).await?;
        let tries = Arc::new(Mutex::new(Tries::default()));
        tokio::spawn(client.try_on(tries.clone()));
        await_all(&held, |one| one.newest_ns() > 0).await;
        let silent = held.iter().find(|one| one.newest_ns() == 0);
        if let Some(one) = silent {
            anyhow::bail!("nothing comes over {:?}: {:?}", one.kind, one.error);
        }
        println!("talking");
        let until = tokio::task::spawn_blocking(read_until).await??;
        await_all(&held, |one| match until {
            Until::Over => one.over.get().is_some(),
            Until::Arrived(sent_ns) => one.newest_ns() > sent_ns,
        })
        .await;
        let tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Report {
            kinds: Kind::ALL.map(|kind| (kind, told(&held, kind))).into(),
            tries: tries.clone(),
        })
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn read_until() -> Result<Until> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    serde_json::from_str(&line).context("understand what to wait for")
}

async fn await_all(held: &[Arc<Held>], is_done: impl Fn(&Held) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !held.iter().all(|one| is_done(one)) {
        sleep(BETWEEN).await;
    }
}

fn told(held: &[Arc<Held>], kind: Kind) -> Told {
    let mut told = Told {
        stalest_ns: u64::MAX,
        ..Told::default()
    };
    for one in held.iter().filter(|one| one.kind == kind) {
        match (one.over.get(), one.error.get()) {
            (None, _) => told.live += 1,
            (Some(()), None) => told.ended += 1,
            (Some(()), Some(error)) => {
                told.failed += 1;
                *told.errors.entry(error.clone()).or_default() += 1;
            }
        }
        told.newest_ns = told.newest_ns.max(one.newest_ns());
        told.stalest_ns = told.stalest_ns.min(one.newest_ns());
    }
    told
}

impl Held {
    fn new(kind: Kind, error: &FirstError) -> Arc<Self> {
        Arc::new(Self {
            kind,
            newest_ns: AtomicU64::new(0),
            error: error.clone(),
            over: OnceLock::new(),
        })
    }

    fn newest_ns(&self) -> u64 {
        self.newest_ns.load(Ordering::Relaxed)
    }

    fn arrived(&self, sent_ns: u64) {
        self.newest_ns.fetch_max(sent_ns, Ordering::Relaxed);
    }

    /// Goes on beside others until it is over.
    fn spawn(self: Arc<Self>, talk: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(async move {
            talk.await;
            let _ = self.over.set(());
        });
    }
}

impl Tries {
    fn note(&mut self, began_ns: u64, result: &io::Result<TcpStream>) {
        match result {
            Ok(_) => {
                self.ok += 1;
                self.last_ok_ns = began_ns;
            }
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => self.refused += 1,
            Err(_) => self.other += 1,
        }
    }
}

#[derive(Clone)]
struct Client {
    order: Order,
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Client {
    fn new(order: &Order) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(&order.places.ca);
        roots.add(authority.context("read the authority's certificate")?)?;
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            order: order.clone(),
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::from(order.places.tls.ip()),
        })
    }

    async fn open_all(&self, each: u32) -> Result<Vec<Arc<Held>>> {
        let places = &self.order.places;
        let mut held = Vec::new();
        for _ in 0..each {
            let (socket, error) = self.connect(places.plain).await?;
            held.push(events(Kind::Events, socket, &error).await?);
            let (socket, error) = self.connect(places.tls).await?;
            let socket = self.tls(socket, &[]).await?;
            held.push(events(Kind::EventsTls, socket, &error).await?);
            let (socket, error) = self.connect(places.web_socket).await?;
            let socket = self.tls(socket, &[]).await?;
            held.push(messages(socket, &error).await?);
            for kind in [Kind::Udp, Kind::UdpConnected] {
                held.push(self.datagrams(kind).await?);
            }
        }
        for _ in 0..each.div_ceil(STREAMS) {
            let (socket, error) = self.connect(places.tls).await?;
            let socket = self.tls(socket, &[b"h2"]).await?;
            held.extend(requests(socket, &error).await?);
        }
        Ok(held)
    }

    async fn connect(&self, to: SocketAddr) -> Result<(Watched, FirstError)> {
        let socket = self.connect_once(to).await.context("connect")?;
        socket.set_nodelay(true)?;
        let error = FirstError::default();
        Ok((Watched::new(socket, error.clone()), error))
    }

    async fn connect_once(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.order.source, 0).into())?;
        socket.connect(to).await
    }

    async fn tls(&self, socket: Watched, protocols: &[&[u8]]) -> Result<TlsStream<Watched>> {
        let protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let connector = self.connector.clone();
        let connect = connector.with_alpn(protocols);
        let socket = connect.connect(self.name.clone(), socket).await;
        socket.context("shake hands")
    }

    /// Goes on listening after an error: what does not get out may still get in.
    async fn datagrams(&self, kind: Kind) -> Result<Arc<Held>> {
        let to = self.order.places.udp;
        let socket = UdpSocket::bind((self.order.source, 0)).await?;
        if kind == Kind::UdpConnected {
            socket.connect(to).await?;
        }
        let held = Held::new(kind, &FirstError::default());
        let one = held.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 128];
            loop {
                while let Ok(length) = socket.try_recv(&mut buffer) {
                    one.arrived(Stamps::default().read(&buffer[..length]));
                }
                let sent = if kind == Kind::UdpConnected {
                    socket.send(&stamp()).await
                } else {
                    socket.send_to(&stamp(), to).await
                };
                if let Err(error) = sent {
                    note(&one.error, &error);
                    let _ = one.over.set(());
                }
                sleep(BETWEEN).await;
            }
        });
        Ok(held)
    }

    /// One connection after another, for ever.
    async fn try_on(self, tries: Arc<Mutex<Tries>>) {
        loop {
            let began_ns = boot_ns();
            let result = self.connect_once(self.order.places.plain).await;
            {
                let mut tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
                tries.note(began_ns, &result);
            }
            sleep(BETWEEN_TRIES).await;
        }
    }
}

async fn events(
    kind: Kind,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    error: &FirstError,
) -> Result<Arc<Held>> {
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "model");
    let request = request.body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status() == 200, "{}", response.status());
    let held = Held::new(kind, error);
    held.clone().spawn(read(held.clone(), response.into_body()));
    Ok(held)
}

/// Several requests of one connection.
async fn requests(socket: TlsStream<Watched>, error: &FirstError) -> Result<Vec<Arc<Held>>> {
    let protocol = socket.get_ref().1.alpn_protocol();
    ensure!(protocol == Some(b"h2"), "the model speaks {protocol:?}");
    let socket = TokioIo::new(socket);
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), socket).await?;
    tokio::spawn(connection);
    let mut all = Vec::new();
    for _ in 0..STREAMS {
        let said = stream::unfold((), |()| async {
            sleep(BETWEEN).await;
            Some((Ok::<_, io::Error>(Frame::data(stamp())), ()))
        });
        let request = Request::post("https://model/").body(StreamBody::new(Box::pin(said)))?;
        let response = sender.send_request(request).await?;
        let held = Held::new(Kind::Http2, error);
        held.clone().spawn(read(held.clone(), response.into_body()));
        all.push(held);
    }
    Ok(all)
}

/// To its end.
async fn read(held: Arc<Held>, mut body: Incoming) {
    let mut stamps = Stamps::default();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            held.arrived(stamps.read(data));
        }
    }
}

async fn messages(socket: TlsStream<Watched>, error: &FirstError) -> Result<Arc<Held>> {
    let (mut socket, _) = tokio_tungstenite::client_async("wss://model/", socket).await?;
    let held = Held::new(Kind::WebSocket, error);
    let one = held.clone();
    held.clone().spawn(async move {
        while socket.send(stamp().into()).await.is_ok() {
            let Some(Ok(message)) = socket.next().await else {
                return;
            };
            one.arrived(Stamps::default().read(&message.into_data()));
            sleep(BETWEEN).await;
        }
    });
    Ok(held)
}
