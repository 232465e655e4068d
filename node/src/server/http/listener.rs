//! Accepts connections of HTTP: beside those of RCP, and within the same limits.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::exchange::Exchange;
use super::held::Held;
use super::link::LinkContext;
use crate::server::clients::admission::{Admission, shake_hands, shown_names};
use crate::server::clients::listener::CountedConnection;
use crate::server::clients::session::Origin;
use crate::server::transport::strangers::Stranger;

/// The head of each request has to come within this time, and the next request within it after the last one. A client
/// that keeps a connection for later has to expect that it is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The first line and the headers of a request, at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a refused connection may take to read the reason.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What a connection beyond the limit is told.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\
     Connection: close\r\nContent-Length: 173\r\n\r\n\
     {\"type\":\"urn:rstmdb:error:RATE_LIMITED\",\"title\":\"Rate limited\",\"status\":503,\
     \"detail\":\"too many connections (network.max_connections)\",\"code\":\"RATE_LIMITED\",\"retryable\":true}";

/// The HTTP listener. It has the limits of the listener of RCP.
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) admission: Admission,
}

impl Listener {
    /// Accepts until draining begins.
    pub(crate) async fn run(self) {
        let admission = &self.admission;
        while let Some((stream, peer)) = admission.accept(&self.tcp, "a connection of HTTP").await {
            let tls = admission.shared.tls.read().clone();
            let Ok(permit) = admission.permits.clone().try_acquire_owned() else {
                admission.shared.metrics.connection_rejected();
                if let (None, Ok(permit)) = (tls, admission.refusals.clone().try_acquire_owned()) {
                    tokio::spawn(refuse(stream, permit));
                }
                continue;
            };
            let Some(stranger) = admission.stranger().await else {
                return;
            };
            self.serve(stream, peer, tls, permit, stranger);
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
        permit: OwnedSemaphorePermit,
        stranger: Stranger,
    ) {
        let counted = CountedConnection::new(self.admission.shared.clone(), permit);
        let leave = stranger.leave();
        let exchange = Exchange {
            context: LinkContext {
                shared: self.admission.shared.clone(),
                origin: Origin {
                    address: peer.ip(),
                    protocol: "http",
                    names: None,
                },
                drain: self.admission.drain.clone(),
                abort: self.admission.abort.clone(),
            },
            strangers: self.admission.strangers.clone(),
            stranger: Mutex::new(Some(stranger)),
            link: Mutex::default(),
            held: Held::default(),
            is_tls: tls.is_some(),
        };
        let abort = self.admission.abort.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = leave.cancelled() => tracing::debug!(
                    address = %peer.ip(),
                    "closing an unauthenticated connection of HTTP to make room for a newer one"
                ),
                () = serve_stream(stream, tls, exchange) => {}
            }
            drop(counted);
        });
    }
}

async fn serve_stream(stream: TcpStream, tls: Option<TlsAcceptor>, mut exchange: Exchange) {
    let Some(tls) = tls else {
        return serve_connection(stream, Arc::new(exchange)).await;
    };
    if let Some(stream) = shake_hands(stream, &tls, &exchange.context.drain).await {
        exchange.context.origin.names = shown_names(&stream);
        serve_connection(stream, Arc::new(exchange)).await;
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    exchange: Arc<Exchange>,
) {
    let shared = exchange.context.shared.clone();
    let drain = exchange.context.drain.clone();
    let held = exchange.held.clone();
    // A session must not end between two requests before its connection does.
    let head_timeout = shared
        .times
        .idle()
        .map_or(HEAD_TIMEOUT, |idle| idle.min(HEAD_TIMEOUT));
    let service = service_fn(move |request| {
        let exchange = exchange.clone();
        async move { Ok::<_, std::convert::Infallible>(exchange.answer(request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        why = held.stalled(&shared.budget) => {
            return tracing::info!("closing a connection of HTTP: {why}");
        }
        () = drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of HTTP has failed");
    }
}

/// Tells a connection that there are too many.
async fn refuse(mut stream: TcpStream, permit: OwnedSemaphorePermit) {
    let told = async {
        stream.write_all(REFUSAL.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread input would reset the connection and take the answer with it.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(REFUSAL_TIMEOUT, told).await {
        tracing::debug!(%error, "a refused client could not be told the reason");
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let (head, body) = REFUSAL.split_once("\r\n\r\n").unwrap_or_default();
        assert!(
            head.ends_with(&format!("Content-Length: {}", body.len())),
            "{}",
            body.len()
        );
        let value = rstmdb_rcp::json::value(body).unwrap_or_default();
        assert_eq!(value["code"], "RATE_LIMITED");
    }
}
