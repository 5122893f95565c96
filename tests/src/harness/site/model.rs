//! A server of a model as clients find it: connections that last, HTTP/1.1 and HTTP/2, answers in one
//! piece and as events.

use std::{
    convert::Infallible,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
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
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::http;

/// Before an answer, and between its events.
const THINKS: Duration = Duration::from_millis(5);
const BETWEEN: Duration = Duration::from_millis(1);
const TEXT: &str = "A model says this and that about what it was asked. ";

/// How many requests have arrived.
#[derive(Clone, Debug, Default)]
pub struct Model {
    n_requests: Arc<AtomicU64>,
}

impl Model {
    /// Answers at `tls` with HTTP/2 if the client likes, and at `plain` without TLS.
    ///
    /// # Panics
    ///
    /// When an address cannot be listened at.
    pub(super) fn start(tls: &str, plain: &str, config: &ServerConfig) -> Self {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let model = Self::default();
        for (address, acceptor) in [(tls, Some(acceptor)), (plain, None)] {
            let listener = TcpListener::bind(address).expect("a listener");
            listener.set_nonblocking(true).expect("a mode");
            let model = model.clone();
            thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime")
                    .block_on(model.listen(listener, acceptor));
            });
        }
        model
    }

    /// How many requests have arrived by now.
    pub fn n_requests(&self) -> u64 {
        self.n_requests.load(Ordering::SeqCst)
    }

    async fn listen(self, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            // Clients may leave at any point.
            let _ = stream.set_nodelay(true);
            let (model, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => model.talk(stream).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            model.talk(stream).await;
                        }
                    }
                }
            });
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let answer = service_fn(move |request| self.clone().answer(request));
        let server = Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
        self.n_requests.fetch_add(1, Ordering::SeqCst);
        let question = request.into_body().collect().await?.to_bytes();
        tokio::time::sleep(THINKS).await;
        let text = TEXT.repeat(8);
        let (kind, parts) = if http::asks_for_stream(&question) {
            ("text/event-stream", http::events(&text))
        } else {
            let completion = http::completion(&text).to_string();
            ("application/json", vec![completion])
        };
        let mut response = Response::new(StreamBody::new(frames(parts)).boxed_unsync());
        let kind = hyper::header::HeaderValue::from_static(kind);
        response.headers_mut().insert("content-type", kind);
        Ok(response)
    }
}

fn frames(parts: Vec<String>) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::iter(parts).then(|part| async move {
        tokio::time::sleep(BETWEEN).await;
        Ok(Frame::data(Bytes::from(part)))
    })
}
