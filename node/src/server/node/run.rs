//! A server: replica, listeners and a shutdown signal in, an ended server out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::descriptors::Descriptors;
use super::error::ServeError;
use super::listeners::Listeners;
use super::reload;
use crate::server::clients::admission::Admission;
use crate::server::clients::audit_log::AuditLog;
use crate::server::clients::budget;
use crate::server::clients::listener::{self, Listener};
use crate::server::clients::shared::ServerShared;
use crate::server::config::Config;
use crate::server::http::{self, admin};
use crate::server::logging;
use crate::server::metrics::Metrics;
use crate::server::peer::PeerServer;
use crate::server::product::Replica;
use crate::server::transport::strangers::Strangers;
use crate::server::transport::tls;

/// A leader has this long to hand over. This, the three that follow and the end of the runtime add
/// up to less than the 10 s that a whole shutdown may take.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(1500);
/// Sessions have this long to answer what they were asked.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(4000);
/// The replica has this long to close its log.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The thread that writes the log then has this long to write its last mark.
pub(crate) const WRITER_TIMEOUT: Duration = Duration::from_secs(1);

/// A client that has not authenticated keeps its place for this time: its connection may be a slow one.
const STRANGER_PATIENCE: Duration = Duration::from_secs(2);

/// Serves until `shutdown` resolves or the replica fails, then ends: no new connections, answers
/// to what was asked, the ends of watches, the closed log.
///
/// # Errors
/// See [`ServeError`].
pub async fn run(
    config: &Config,
    replica: Replica,
    peers: PeerServer,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let tls = tls::acceptor(&config.tls)?;
    let (reloads, asked) = mpsc::channel(1);
    let counted = counted(config)?;
    let shared = ServerShared::new(config, replica.clone(), peers, tls, counted, reloads);
    let shared = Arc::new(shared);
    let (drain, abort) = (CancellationToken::new(), CancellationToken::new());
    // When this function returns or is dropped, nothing that it has started outlives it.
    let _guard = abort.clone().drop_guard();
    let returning = budget::return_memory(shared.budget.clone());
    tokio::spawn(abort.clone().run_until_cancelled_owned(returning));
    let descriptors = share_out_descriptors(config);
    let permits = Arc::new(Semaphore::new(descriptors.clients));
    if let Some(listener) = listeners.admin {
        let serving = admin::serve(listener, shared.clone(), descriptors.admin, abort.clone());
        tokio::spawn(serving);
    }
    let refreshing = reload::keep_fresh(config.clone(), shared.clone(), asked);
    tokio::spawn(abort.clone().run_until_cancelled_owned(refreshing));
    let admission = Admission {
        shared,
        permits: permits.clone(),
        strangers: Strangers::new(
            listener::strangers_among(descriptors.clients),
            STRANGER_PATIENCE,
        ),
        refusals: Arc::new(Semaphore::new(descriptors.refused)),
        drain: drain.clone(),
        abort: abort.clone(),
    };
    let accepting = tokio::spawn(accept(admission, listeners.rcp, listeners.http));
    tokio::select! {
        biased;
        reason = replica.fatal() => {
            accepting.abort();
            return Err(ServeError::Failed(reason));
        }
        () = shutdown => {}
    }
    tracing::info!("shutting down");
    // Sessions are still served meanwhile: their new requests are forwarded to the new leader.
    if tokio::time::timeout(HAND_OVER_TIMEOUT, replica.hand_over())
        .await
        .is_err()
    {
        tracing::info!("leadership was not handed over in time: the other nodes elect a leader");
    }
    drain.cancel();
    wait_for_sessions(&permits, descriptors.clients).await;
    abort.cancel();
    logging::without_openraft(&config.logging.level);
    close(&replica).await
}

/// Accepts clients of RCP, and of HTTP unless it is off, until draining begins.
async fn accept(admission: Admission, rcp: TcpListener, http: Option<TcpListener>) {
    let http = http.map(|tcp| {
        let admission = admission.clone();
        http::listener::Listener { tcp, admission }.run()
    });
    let rcp = Listener {
        tcp: rcp,
        admission,
    };
    tokio::join!(rcp.run(), OptionFuture::from(http));
}

/// What the server counts, and what it writes down.
fn counted(config: &Config) -> Result<(Arc<Metrics>, AuditLog), ServeError> {
    let metrics = Arc::new(Metrics::new()?);
    let audit_log = AuditLog::open(&config.audit, metrics.clone()).map_err(ServeError::Audit)?;
    Ok((metrics, audit_log))
}

fn share_out_descriptors(config: &Config) -> Descriptors {
    let wanted = config.network.connections_max;
    let descriptors = Descriptors::shared_out(wanted);
    if descriptors.clients < wanted {
        tracing::warn!(
            wanted,
            clients = descriptors.clients,
            "the limit of open files is too low for network.max_connections: this node accepts fewer clients, and \
             keeps file descriptors for its log and other nodes; raise the limit (LimitNOFILE, ulimit -n)"
        );
    }
    descriptors
}

/// Every session holds a permit until it is gone.
async fn wait_for_sessions(permits: &Semaphore, connections_max: usize) {
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    let gone = tokio::time::timeout(DRAIN_TIMEOUT, permits.acquire_many(all)).await;
    if gone.is_err() {
        let left = connections_max - permits.available_permits().min(connections_max);
        tracing::warn!(left, "closing connections that have not finished in time");
    }
}

async fn close(replica: &Replica) -> Result<(), ServeError> {
    match tokio::time::timeout(CLOSE_TIMEOUT, replica.shutdown()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ServeError::Unclean(error.to_string())),
        Err(_) => Err(ServeError::Unclean(format!(
            "the log was not closed within {} s",
            CLOSE_TIMEOUT.as_secs()
        ))),
    }
}
