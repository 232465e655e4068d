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
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, shake_hands, shown_names};
use super::session::{Origin, Session};
use super::shared::ServerShared;
use crate::server::transport::strangers::Stranger;

/// How long a refused connection may take to read the reason.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The RCP listener.
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) admission: Admission,
}

/// How many of these clients may be strangers: half of them, or all if they are few. An honest client authenticates at
/// once.
pub(crate) fn strangers_among(clients: usize) -> usize {
    const FEW: usize = 64;
    (clients / 2).max(clients.min(FEW))
}

impl Listener {
    /// Accepts until draining begins. If there is no permit to wait until a refused connection has read the reason, it
    /// gets the reason and is closed at once, or inside TLS is closed without a reason.
    pub(crate) async fn run(self) {
        let admission = &self.admission;
        while let Some((stream, peer)) = admission.accept(&self.tcp, "a connection").await {
            let tls = admission.shared.tls.read().clone();
            match admission.permits.clone().try_acquire_owned() {
                Ok(permit) => {
                    let Some(stranger) = admission.stranger().await else {
                        return;
                    };
                    self.serve(stream, peer.ip(), tls, permit, stranger);
                }
                Err(_) => {
                    admission.shared.metrics.connection_rejected();
                    match admission.refusals.clone().try_acquire_owned() {
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
        let connection = CountedConnection::new(self.admission.shared.clone(), permit);
        let (drain, abort) = (self.admission.drain.clone(), self.admission.abort.clone());
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
        let origin = |names| Origin {
            address,
            protocol: "rcp",
            names,
        };
        let Some(tls) = tls else {
            let session = Session::new(stream, shared, origin(None), stranger, drain);
            return session.run().await;
        };
        if let Some(stream) = shake_hands(stream, &tls, drain).await {
            let origin = origin(shown_names(&stream));
            let session = Session::new(stream, shared, origin, stranger, drain);
            session.run().await;
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
