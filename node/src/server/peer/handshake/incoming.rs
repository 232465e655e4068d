//! Connections from other nodes: bounded, and closed when this node accepts no call on them within a while.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use futures_util::Stream;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::watched::{ObservedStream, ReadObserver};
use crate::server::transport::sockets::{self, Sockets};
use crate::server::transport::strangers::{Stranger, Strangers};

/// This node must have accepted a call within this time after connecting.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The part of all connections that may be without an accepted call.
const STRANGERS_PART: usize = 4;
/// A connection without a call keeps its place for this time: a node sends its first call at once.
const STRANGER_PATIENCE: Duration = Duration::from_millis(100);
/// Pause after the listener could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections as they come.
pub(crate) fn accept(
    listener: TcpListener,
    limits: Sockets,
) -> impl Stream<Item = io::Result<IncomingStream>> {
    let strangers = Strangers::new(limits.connections_max / STRANGERS_PART, STRANGER_PATIENCE);
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    futures_util::stream::unfold((listener, strangers, permits), move |state| async move {
        let (listener, strangers, permits) = state;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection of another node could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = permits.clone().try_acquire_owned() else {
                let connections_max = limits.connections_max;
                tracing::debug!(
                    connections_max,
                    "closing a new connection of another node: there are too many"
                );
                continue;
            };
            let stranger = strangers.admit().await;
            sockets::set_up(&stream, limits.keepalive);
            let welcome = Welcome::new(&stream, stranger, permit);
            let incoming = ObservedStream::new(stream, welcome);
            return Some((Ok(incoming), (listener, strangers, permits)));
        }
    })
}

/// One connection of another node.
pub(crate) type IncomingStream = ObservedStream<TcpStream, Welcome>;

/// Whether a connection may stay.
pub(crate) struct Welcome {
    arrival: Arrival,
    /// Both end the connection while no call was accepted.
    late: Pin<Box<Sleep>>,
    leave: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

/// Where a connection comes from. It counts as a stranger's until a call was accepted.
#[derive(Clone)]
pub(crate) struct Arrival {
    from: Option<IpAddr>,
    stranger: Arc<Mutex<Option<Stranger>>>,
}

impl Arrival {
    /// The address of the other side.
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// A call was accepted.
    pub(crate) fn is_known(&self) {
        self.stranger.lock().take();
    }

    fn is_stranger(&self) -> bool {
        self.stranger.lock().is_some()
    }
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Arrival").field(&self.from).finish()
    }
}

impl Welcome {
    fn new(stream: &TcpStream, stranger: Stranger, permit: OwnedSemaphorePermit) -> Self {
        let leave = Box::pin(stranger.leave().cancelled_owned());
        Self {
            arrival: Arrival {
                from: stream.peer_addr().ok().map(|addr| addr.ip()),
                stranger: Arc::new(Mutex::new(Some(stranger))),
            },
            leave,
            late: Box::pin(tokio::time::sleep(CALL_TIMEOUT)),
            _permit: permit,
        }
    }
}

impl ReadObserver for Welcome {
    fn may_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.arrival.is_stranger() {
            return Ok(());
        }
        if self.leave.as_mut().poll(cx).is_ready() || self.late.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "closed before its first call was accepted: it took too long, or a newer connection needed its place",
            ));
        }
        Ok(())
    }
}

impl Connected for IncomingStream {
    type ConnectInfo = Arrival;

    fn connect_info(&self) -> Arrival {
        self.watch.arrival.clone()
    }
}
