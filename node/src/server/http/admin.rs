//! Admin HTTP: `/metrics`, `/healthz` (the process is there), `/readyz` (it can serve).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::server::clients::shared::ServerShared;
use crate::server::metrics::Scrape;
use crate::server::transport::sockets;
use crate::server::transport::strangers::{Stranger, Strangers};

/// Under load a node is always a few entries behind.
const READY_LAG_MAX: u64 = 1_000;
/// The head of each request has to come within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests are short; a client that sends more than this is not a scraper.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A connection keeps its place for this time: probes and scrapers send their request at once.
const PATIENCE: Duration = Duration::from_millis(100);
/// Pause after the listener could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled, at most `connections_max` connections at a time.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<ServerShared>,
    connections_max: usize,
    stop: CancellationToken,
) {
    // Callers do not authenticate here, so each of them stays a stranger.
    let strangers = Strangers::new(connections_max, PATIENCE);
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared.clone());
    loop {
        let next = async {
            let accepted = listener.accept().await;
            (accepted, strangers.admit().await)
        };
        let (accepted, stranger) = tokio::select! {
            () = stop.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                sockets::set_up(&stream, shared.times.keepalive());
                tokio::spawn(answer(stream, router.clone(), stranger, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to admin HTTP could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router, stranger: Stranger, stop: CancellationToken) {
    let leave = stranger.leave();
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to admin HTTP has failed");
            }
        }
        () = leave.cancelled() => tracing::debug!("closing a connection to admin HTTP to make room for a newer one"),
        () = stop.cancelled() => {}
    }
}
async fn metrics(State(shared): State<Arc<ServerShared>>) -> Response {
    // A copy: no lock is held while the metrics are gathered.
    let certificates = shared.certificates.read().clone();
    let rendered = shared.metrics.render(&Scrape {
        replica: &shared.replica,
        buffers_bytes: shared.budget.used(),
        certificates: &certificates,
        peer_refusals: shared.peers.refusals(),
        traces: shared.traces.as_deref(),
    });
    match rendered {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Ready: this node is a member, a leader is known, and about everything known to be committed was applied.
async fn ready(State(shared): State<Arc<ServerShared>>) -> Response {
    let status = shared.replica.status();
    let reason = if status.removed.is_some() {
        "this node was removed from the cluster\n"
    } else if status.leader.is_none() {
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
