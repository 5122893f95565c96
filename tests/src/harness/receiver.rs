//! A program that is told things over HTTP, and keeps them.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::Value;

/// Takes JSON at `/hook`; answers with the statuses that it was given, and 200 after them.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    answers: VecDeque<StatusCode>,
    bodies: Vec<Value>,
}

impl Receiver {
    /// Listens on the loopback of the caller's network namespace.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn start(answers: &[u16]) -> Self {
        let statuses = answers.iter().map(|code| StatusCode::from_u16(*code));
        let statuses: Result<_, _> = statuses.collect();
        let kept = Arc::new(Mutex::new(Kept {
            answers: statuses.expect("statuses"),
            bodies: Vec::new(),
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.set_nonblocking(true).expect("a mode");
        let address = listener.local_addr().expect("an address");
        let state = kept.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let router = Router::new().route("/hook", post(take)).with_state(state);
                axum::serve(listener, router).await
            })
        });
        Self { address, kept }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it has answered with 200 to.
    #[must_use]
    pub fn bodies(&self) -> Vec<Value> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bodies.clone()
    }
}

async fn take(State(kept): State<Arc<Mutex<Kept>>>, Json(body): Json<Value>) -> StatusCode {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(status) = kept.answers.pop_front() {
        return status;
    }
    kept.bodies.push(body);
    StatusCode::OK
}
