//! What the listeners for clients have in common: their limits, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::session::HANDSHAKE_TIMEOUT;
use super::shared::ServerShared;
use crate::server::transport::certificates::ClientNames;
use crate::server::transport::sockets;
use crate::server::transport::strangers::{Stranger, Strangers};

/// Pause after a listener could not accept a connection, usually because file descriptors are missing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits and the end of all connections of clients, of RCP and HTTP together.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) shared: Arc<ServerShared>,
    /// One permit for each connection there may be.
    pub(crate) permits: Arc<Semaphore>,
    /// Of these, the places of clients that have not authenticated.
    pub(crate) strangers: Arc<Strangers>,
    /// One permit for each refused connection that the node waits for until it has read the reason.
    pub(crate) refusals: Arc<Semaphore>,
    /// Ends connections once they have answered what they were asked.
    pub(crate) drain: CancellationToken,
    /// Ends connections at once.
    pub(crate) abort: CancellationToken,
}

impl Admission {
    /// The next connection; `None` once draining begins. `what` names connections of this listener in the log.
    pub(crate) async fn accept(
        &self,
        tcp: &TcpListener,
        what: &str,
    ) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.cancelled() => return None,
                accepted = tcp.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    sockets::set_up(&stream, self.shared.times.keepalive());
                    return Some((stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "{what} could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A place for a client that has not authenticated; `None` once draining begins.
    pub(crate) async fn stranger(&self) -> Option<Stranger> {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => None,
            stranger = self.strangers.admit() => Some(stranger),
        }
    }
}

/// Makes a connection one of TLS. `None` if that fails or takes too long, and once draining begins: the client has sent
/// no request yet, so the node owes no answer.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    tls: &TlsAcceptor,
    drain: &CancellationToken,
) -> Option<TlsStream<TcpStream>> {
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
    let shaken = tokio::select! {
        biased;
        () = drain.cancelled() => return None,
        shaken = handshake => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
    None
}

/// The names in the certificate that the client has shown. TLS has verified it.
pub(crate) fn shown_names(stream: &TlsStream<TcpStream>) -> Option<Arc<ClientNames>> {
    let (_, connection) = stream.get_ref();
    let own = connection.peer_certificates()?.first()?;
    Some(Arc::new(ClientNames::of(own)))
}
