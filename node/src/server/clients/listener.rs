//! Accepts RCP connections, at most `network.max_connections` at a time.

use std::io::Write;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::response::encode_error;
use rstmdb_rcp::wire::WireMode;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::session::{HANDSHAKE_TIMEOUT, Session};
use super::shared::ServerShared;
use crate::server::transport::sockets;
use crate::server::transport::strangers::{Stranger, Strangers};

/// How long a refused connection may take to read the reason.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after the listener could not accept a connection, usually because file descriptors are missing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The RCP listener.
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) shared: Arc<ServerShared>,
    /// One permit for each connection there may be.
    pub(crate) permits: Arc<Semaphore>,
    /// Of these, the places of clients that have not authenticated.
    pub(crate) strangers: Arc<Strangers>,
    /// One permit for each refused connection that the node waits for until it has read the reason. Any further ones
    /// get the reason and are closed at once, or inside TLS are closed without a reason.
    pub(crate) refusals: Arc<Semaphore>,
    /// Ends sessions once they have answered what they were asked.
    pub(crate) drain: CancellationToken,
    /// Ends sessions at once.
    pub(crate) abort: CancellationToken,
}

/// How many of these clients may be strangers: half of them, or all if they are few. An honest client authenticates at
/// once.
pub(crate) fn strangers_among(clients: usize) -> usize {
    const FEW: usize = 64;
    (clients / 2).max(clients.min(FEW))
}

impl Listener {
    /// Accepts until draining begins.
    pub(crate) async fn run(self) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.cancelled() => return,
                accepted = self.tcp.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            sockets::set_up(&stream, self.shared.times.keepalive());
            let tls = self.shared.tls.read().clone();
            match self.permits.clone().try_acquire_owned() {
                Ok(permit) => {
                    let stranger = tokio::select! {
                        biased;
                        () = self.drain.cancelled() => return,
                        stranger = self.strangers.admit() => stranger,
                    };
                    self.serve(stream, peer.ip(), tls, permit, stranger);
                }
                Err(_) => {
                    self.shared.metrics.connection_rejected();
                    match self.refusals.clone().try_acquire_owned() {
                        Ok(permit) => {
                            tokio::spawn(refuse(stream, tls, permit));
                        }
                        Err(_) if tls.is_none() => tell_at_once(stream, &peer),
                        // In a rush of connections a TLS handshake for each would cost more than it helps.
                        Err(_) => {}
                    }
                }
            }
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        address: IpAddr,
        tls: Option<TlsAcceptor>,
        permit: OwnedSemaphorePermit,
        stranger: Stranger,
    ) {
        let connection = CountedConnection::new(self.shared.clone(), permit);
        let (drain, abort) = (self.drain.clone(), self.abort.clone());
        let leave = stranger.leave();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = leave.cancelled() => tracing::debug!(
                    %address,
                    "closing an unauthenticated connection to make room for a newer one"
                ),
                () = connection.run(stream, address, stranger, tls, &drain) => {}
            }
        });
    }
}

/// A connection that counts, until it is dropped.
pub(crate) struct CountedConnection {
    shared: Arc<ServerShared>,
    _permit: OwnedSemaphorePermit,
}

impl CountedConnection {
    /// Counts from now on.
    pub(crate) fn new(shared: Arc<ServerShared>, permit: OwnedSemaphorePermit) -> Self {
        shared.metrics.connection_opened();
        Self {
            shared,
            _permit: permit,
        }
    }

    async fn run(
        self,
        stream: TcpStream,
        address: IpAddr,
        stranger: Stranger,
        tls: Option<TlsAcceptor>,
        drain: &CancellationToken,
    ) {
        let shared = self.shared.clone();
        let Some(tls) = tls else {
            let session = Session::new(stream, shared, address, stranger, drain);
            return session.run().await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
        let shaken = tokio::select! {
            biased;
            // The client has sent no request yet, so the node owes no answer.
            () = drain.cancelled() => return,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let session = Session::new(stream, shared, address, stranger, drain);
                session.run().await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.shared.metrics.connection_closed();
    }
}

/// Tells a connection that there are too many.
async fn refuse(stream: TcpStream, tls: Option<TlsAcceptor>, permit: OwnedSemaphorePermit) {
    let told = async {
        match tls {
            Some(tls) => tell(tls.accept(stream).await?).await,
            None => tell(stream).await,
        }
    };
    if let Ok(Err(error)) = tokio::time::timeout(REFUSAL_TIMEOUT, told).await {
        tracing::debug!(%error, "a refused client could not be told the reason");
    }
    drop(permit);
}

fn refusal_frame() -> std::io::Result<BytesMut> {
    let error = ErrorBody::new(
        Code::RateLimited,
        "too many connections (network.max_connections); try again later",
    );
    let mut frame = BytesMut::new();
    encode_error(WireMode::Binary, &mut frame, "", &error, None).map_err(std::io::Error::other)?;
    Ok(frame)
}

/// Tells it without waiting for the client to read it: the frame fits the buffer of a new socket. A client that has
/// sent something already may see a reset instead.
fn tell_at_once(stream: TcpStream, peer: &SocketAddr) {
    let told = refusal_frame().and_then(|frame| {
        let mut stream = stream.into_std()?;
        stream.write_all(&frame)?;
        stream.shutdown(Shutdown::Write)
    });
    if let Err(error) = told {
        tracing::debug!(%error, %peer, "a refused client could not be told the reason");
    }
}

async fn tell(mut stream: impl AsyncWrite + AsyncReadExt + Unpin) -> std::io::Result<()> {
    let frame = refusal_frame()?;
    stream.write_all(&frame).await?;
    stream.shutdown().await?;
    // Closing with unread input would reset the connection and take the answer with it.
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
