//! The API server: a list, then a watch from there on, and again a list when the server has
//! forgotten where that was.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::Limited;
use hyper::{Request, Response, body::Body};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    client::{Body as RequestBody, ClientBuilder},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher::{self, DefaultBackoff, Event, watcher},
};
use tokio::{sync::Notify, time::sleep};
use tower::{BoxError, Service, util::MapResponseLayer};

use super::{
    PodInfo, Update, convert,
    reporter::{Reporter, client_reason, watcher_reason},
};
use crate::error_chain;

/// After so many seconds the server ends a watch and the next one begins: a connection that died
/// without a word is noticed by then.
const WATCH_SECONDS: u32 = 120;
const CONNECT: Duration = Duration::from_secs(10);
/// Longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Longest answer: a node has some hundred pods of some ten KiB.
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// Never ends.
pub(super) async fn run<F: Fn(Update)>(
    node: &str,
    kubeconfig: Option<&Path>,
    reporter: &mut Reporter<'_, F>,
) {
    let mut backoff = DefaultBackoff::default();
    let answered = Arc::new(Notify::new());
    loop {
        match config(kubeconfig).await {
            Ok(config) => match client(config, Arc::clone(&answered)) {
                Ok(client) => follow(node, client, &answered, reporter, &mut backoff).await,
                Err(error) => reporter.away(&client_reason(&error)),
            },
            Err(why) => reporter.away(&why),
        }
        pause(&mut backoff).await;
    }
}

async fn pause(backoff: &mut DefaultBackoff) {
    sleep(backoff.next().unwrap_or(MAX_PAUSE)).await;
}

async fn config(kubeconfig: Option<&Path>) -> Result<Config, String> {
    let Some(file) = kubeconfig else {
        return Config::incluster().map_err(|error| {
            let why = error_chain(&error);
            format!("{why}: outside of a pod, set `kubeconfig` in `[kubernetes]`")
        });
    };
    let failed = |error| format!("{}: {}", file.display(), error_chain(&error));
    let parsed = Kubeconfig::read_from(file).map_err(failed)?;
    Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .map_err(failed)
}

/// Returns when the credentials are not accepted, whose files may be newer than what was read, and
/// when everything has to be asked for again.
pub(super) async fn follow<F: Fn(Update)>(
    node: &str,
    client: Client,
    answered: &Notify,
    reporter: &mut Reporter<'_, F>,
    backoff: &mut DefaultBackoff,
) {
    let wanted = watcher::Config::default()
        .fields(&format!("spec.nodeName={node}"))
        .timeout(WATCH_SECONDS)
        // From the server's cache: what it lacks, the watch brings.
        .any_semantic();
    let mut events = std::pin::pin!(watcher(Api::<Pod>::all(client), wanted));
    let mut listed: Option<Vec<PodInfo>> = None;
    loop {
        // An answer to a list is not complete yet; one to a watch means that it has begun.
        let event = tokio::select! {
            biased;
            () = answered.notified(), if listed.is_none() => {
                reporter.connected();
                continue;
            }
            event = events.next() => event,
        };
        match event {
            Some(Ok(Event::Init)) => listed = Some(Vec::new()),
            Some(Ok(Event::InitApply(pod))) => {
                let pod = convert::pod(pod);
                listed.get_or_insert_default().extend(pod);
            }
            Some(Ok(Event::InitDone)) => {
                reporter.tell(Update::Replaced(listed.take().unwrap_or_default()));
                reporter.connected();
            }
            Some(Ok(Event::Apply(pod))) => {
                if let Some(pod) = convert::pod(pod) {
                    reporter.tell(Update::Applied(pod));
                }
            }
            Some(Ok(Event::Delete(pod))) => {
                if let Some(uid) = convert::uid(&pod) {
                    reporter.tell(Update::Deleted(uid));
                }
            }
            Some(Err(error)) => {
                let is_expired = code(&error) == Some(410);
                if is_expired {
                    tracing::info!(
                        "the API server has forgotten where we were: listing pods again"
                    );
                } else {
                    reporter.away(&watcher_reason(&error));
                }
                let is_refused = matches!(error, watcher::Error::WatchStartFailed(_));
                if code(&error) == Some(401) || (is_expired && is_refused) {
                    return;
                }
                pause(backoff).await;
            }
            None => return,
        }
    }
}

fn client(mut config: Config, answered: Arc<Notify>) -> kube::Result<Client> {
    config.connect_timeout = Some(CONNECT);
    // Absence is for us to tell, at once.
    config.default_retry = false;
    Ok(noting(ClientBuilder::try_from(config)?, answered))
}

/// A client that notes each answer other than an error, and reads no answer without end.
pub(super) fn noting<S, B>(builder: ClientBuilder<S>, answered: Arc<Notify>) -> Client
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let note = MapResponseLayer::new(move |answer: Response<B>| {
        if answer.status().is_success() {
            answered.notify_one();
        }
        answer.map(|body| Limited::new(body, MAX_ANSWER))
    });
    builder.with_layer(&note).build()
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}
