//! Admin HTTP: `/metrics`, `/healthz` (the process is there), `/readyz` (it can serve).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;

/// Under load a node is always a few entries behind.
const READY_LAG_MAX: u64 = 1_000;

/// Serves until `stop` is cancelled.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "admin HTTP has stopped");
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.metrics.render(&shared) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Ready: a leader is known, and about everything known to be committed was applied.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let status = shared.replica.status();
    let reason = if status.leader.is_none() {
        "no leader is known\n"
    } else if status.diverged {
        "this node's state differs from the other nodes'\n"
    } else if status.last_applied + READY_LAG_MAX < status.commit_index {
        "catching up\n"
    } else {
        return "ready\n".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}
