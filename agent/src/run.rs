//! `weir agent`: puts daemon, API and signals together, and takes them apart again.

use std::{io::IsTerminal, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use nix::sys::stat::{Mode, umask};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

use crate::{
    api::{
        backend::DaemonBackend,
        server::{Shared, bind, serve, serve_metrics},
    },
    config::{Config, LogFormat, Overrides},
    daemon,
    host::fault,
};

/// Environment variable that sets what is logged, as in `weir=debug`.
const LOG_VARIABLE: &str = "WEIR_LOG";
/// What the Kubernetes client has to say, whole answers among it, is said once by ourselves.
const LOG_DEFAULT: &str = "info,kube_client=off,kube_runtime=off";

/// How long a stop waits for requests under way.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
///
/// When it cannot start.
pub fn agent(overrides: Overrides) -> anyhow::Result<ExitCode> {
    let config = Config::resolve(overrides)?;
    start_log(config.log_format);
    // The store says who calls what: for root only, whatever the caller's umask.
    umask(Mode::from_bits_truncate(0o077));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(run(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;

    fault::announce();
    let socket = config.socket.clone();
    let listener = bind(&socket, config.socket_group)
        .with_context(|| format!("listen on `{}`", socket.display()))?;
    let metrics = match config.metrics_listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.with_context(|| format!("serve metrics on {address}"))?)
        }
        None => None,
    };
    let roles = config.roles.clone();
    let daemon = daemon::start(config)?;
    let backend: Shared = Arc::new(DaemonBackend::new(daemon.handle.clone(), roles));
    let (stop, stopping) = watch::channel(false);
    let until_stop = |mut stopping: watch::Receiver<bool>| async move {
        // An error means that the sender is gone, which also ends the servers.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let mut servers = vec![tokio::spawn(serve(
        listener,
        backend.clone(),
        until_stop(stopping.clone()),
    ))];
    if let Some(listener) = metrics {
        servers.push(tokio::spawn(serve_metrics(
            listener,
            backend,
            until_stop(stopping),
        )));
    }
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(socket = %socket.display(), "ready");
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                tracing::info!("SIGHUP: reading the policy files again");
                daemon.handle.reload();
            }
        }
    }
    tracing::info!("stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    // The servers may be gone already.
    let _ = stop.send(true);
    for server in servers {
        match tokio::time::timeout(PATIENCE, server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "server"),
            Ok(Err(error)) => tracing::error!(%error, "server task"),
            Err(_) => tracing::warn!("a client did not finish its request"),
        }
    }
    // A leftover socket would make the next client wait for nobody.
    let _ = std::fs::remove_file(&socket);
    tokio::task::spawn_blocking(|| daemon.stop())
        .await
        .context("stop the agent")
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

fn start_log(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
