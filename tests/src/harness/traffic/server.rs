//! The model: says something to everybody who asks for events or has sent a datagram, and echoes
//! whatever else it gets.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    net::{IpAddr, SocketAddr, TcpListener as StdListener, UdpSocket as StdUdp},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::{BETWEEN, Places, Stamps, stamp};
use crate::harness::{Host, site::Authority};

const ADDRESS: &str = "127.0.0.1";

/// A model with which clients are connected in every way.
pub struct Traffic {
    places: Places,
    arrived: Arrived,
}

/// When the newest message was sent that has come from each address.
#[derive(Clone, Default)]
struct Arrived(Arc<Mutex<BTreeMap<SocketAddr, u64>>>);

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

impl Traffic {
    /// # Panics
    ///
    /// When any part of it cannot be started.
    pub fn serve(host: &Host) -> Self {
        let authority = Authority::new(&[], ADDRESS);
        let ca = host.path("traffic-ca.pem");
        fs::write(&ca, authority.pem()).expect("a file");
        let mut config = (*authority.config()).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let [plain, tls, web_socket] =
            [(); 3].map(|()| StdListener::bind((ADDRESS, 0)).expect("a listener"));
        let udp = StdUdp::bind((ADDRESS, 0)).expect("a socket");
        let of = |listener: &StdListener| listener.local_addr().expect("its address");
        let places = Places {
            plain: of(&plain),
            tls: of(&tls),
            web_socket: of(&web_socket),
            udp: udp.local_addr().expect("its address"),
            ca,
        };
        let arrived = Arrived::default();
        let all = arrived.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let tls_too = acceptor.clone();
                tokio::join!(
                    listen(plain, all.clone(), |stream, peer, all| async move {
                        http(stream, peer, all).await;
                    }),
                    listen(tls, all.clone(), move |stream, peer, all| {
                        let acceptor = acceptor.clone();
                        async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                http(stream, peer, all).await;
                            }
                        }
                    }),
                    listen(web_socket, all.clone(), move |stream, peer, all| {
                        let acceptor = tls_too.clone();
                        async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                echo_messages(stream, peer, all).await;
                            }
                        }
                    }),
                    datagrams(udp, all.clone()),
                )
            })
        });
        Self { places, arrived }
    }

    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// When the newest of what has arrived from this address was sent, in ns on the boot clock.
    pub fn newest_ns(&self, from: IpAddr) -> u64 {
        let arrived = self
            .arrived
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let from = arrived.iter().filter(|(peer, _)| peer.ip() == from);
        from.map(|(_, sent_ns)| *sent_ns).max().unwrap_or_default()
    }
}

impl Arrived {
    fn note(&self, peer: SocketAddr, sent_ns: u64) {
        let mut arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = arrived.entry(peer).or_default();
        *newest = sent_ns.max(*newest);
    }

    fn peers(&self) -> Vec<SocketAddr> {
        let arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.keys().copied().collect()
    }
}

/// A task of its own for each client.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    listener: StdListener,
    all: Arrived,
    serve: impl Fn(tokio::net::TcpStream, SocketAddr, Arrived) -> F,
) {
    listener.set_nonblocking(true).expect("a mode");
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        if let Ok((stream, peer)) = listener.accept().await {
            // The client may be gone.
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream, peer, all.clone()));
        }
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    all: Arrived,
) {
    let answer = service_fn(move |request| {
        let answer = answer(request, peer, all.clone());
        async move { Ok::<_, Infallible>(answer) }
    });
    let server = Builder::new(TokioExecutor::new());
    // Whoever it was is gone.
    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
}

/// Events to whoever asks for some, and an echo to whoever sends something.
fn answer(request: Request<Incoming>, peer: SocketAddr, all: Arrived) -> Response<Body> {
    if request.method() == hyper::Method::GET {
        let events = stream::unfold((), |()| async {
            tokio::time::sleep(BETWEEN).await;
            Some((Ok(Frame::data(stamp())), ()))
        });
        let mut response = Response::new(StreamBody::new(events).boxed_unsync());
        let kind = hyper::header::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", kind);
        return response;
    }
    let mut stamps = Stamps::default();
    let echo = request.into_body().map_frame(move |frame| {
        if let Some(data) = frame.data_ref() {
            all.note(peer, stamps.read(data));
        }
        frame
    });
    Response::new(echo.boxed_unsync())
}

async fn echo_messages(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    all: Arrived,
) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        let octets = message.into_data();
        all.note(peer, Stamps::default().read(&octets));
        if socket.send(octets.into()).await.is_err() {
            return;
        }
    }
}

/// Says something to all who have ever sent a datagram.
async fn datagrams(socket: StdUdp, all: Arrived) {
    socket.set_nonblocking(true).expect("a mode");
    let socket = UdpSocket::from_std(socket).expect("a socket");
    let heard = Arrived::default();
    let hear = async {
        let mut buffer = [0; 128];
        loop {
            // An error is about a datagram that was sent to somebody who is gone.
            if let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let sent_ns = Stamps::default().read(&buffer[..length]);
                heard.note(peer, sent_ns);
                all.note(peer, sent_ns);
            }
        }
    };
    let say = async {
        loop {
            tokio::time::sleep(BETWEEN).await;
            for peer in heard.peers() {
                let _ = socket.send_to(&stamp(), peer).await;
            }
        }
    };
    tokio::join!(hear, say);
}
