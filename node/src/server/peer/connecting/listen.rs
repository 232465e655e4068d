//! The product's connections from other nodes: HTTP/2, after a valid handshake.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::server::peer::handshake::credentials::{BegunConnection, Credentials};
use crate::server::peer::handshake::incoming::Arrival;
use crate::server::peer::identity::gate::PeerGate;
use crate::server::peer::{
    Error, HEADERS_BYTES_MAX, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, with_causes,
};

/// A new connection has to show its proofs within this time.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Calls and streams at the same time over one connection; a node needs a handful.
const STREAMS_MAX: u32 = 32;
/// How many bytes of one stream may lie here unread. A sender 100 ms away brings ten times as many in a second.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same limit for all streams of a connection together: larger, so that a stream that is not read does not delay
/// the others.
const CONNECTION_WINDOW_BYTES: u32 = 2 * STREAM_WINDOW_BYTES;
/// The largest frame of HTTP/2 that is accepted, in bytes: a message that fits into one needs no share, and one frame
/// of each stream may wait for a share.
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// Serves the calls that come over these connections until `shutdown`, and the rest of those that came before it.
pub(crate) async fn serve<I, C>(
    routes: Routes,
    incoming: I,
    credentials: Arc<Credentials>,
    gate: Arc<PeerGate>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error>
where
    I: Stream<Item = io::Result<C>>,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let router = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_routes(routes);
    let incoming = begun(incoming, credentials, gate);
    let served = router.serve_with_incoming_shutdown(incoming, shutdown);
    served
        .await
        .map_err(|error| Error::Serve(with_causes(&error)))
}

/// The connections among these whose handshake is valid. Handshakes run at the same time, without a limit here: the
/// listener already limits the number of connections.
fn begun<I, C>(
    incoming: I,
    credentials: Arc<Credentials>,
    gate: Arc<PeerGate>,
) -> impl Stream<Item = io::Result<BegunConnection>>
where
    I: Stream<Item = io::Result<C>>,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let beginning = incoming.map(move |accepted| {
        let (credentials, gate) = (credentials.clone(), gate.clone());
        async move {
            match accepted {
                Ok(stream) => begin(&credentials, &gate, stream).await.map(Ok),
                Err(error) => Some(Err(error)),
            }
        }
    });
    beginning
        .buffer_unordered(usize::MAX)
        .filter_map(std::future::ready)
}

async fn begin<C>(credentials: &Credentials, gate: &PeerGate, stream: C) -> Option<BegunConnection>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let info = stream.connect_info();
    let arrival = (&info as &dyn Any).downcast_ref::<Arrival>().cloned();
    let caller = origin(&info);
    let accepting = credentials.accept(stream, |addr| gate.is_own_address(addr));
    let accepted = tokio::time::timeout(BEGIN_TIMEOUT, accepting).await;
    let reason = match accepted {
        Ok(Ok(mut connection)) => {
            connection.arrived(arrival);
            return Some(connection);
        }
        Ok(Err(refusal)) if refusal.is_farewell() => {
            tracing::debug!(caller, %refusal, "a connection ended before it began");
            return None;
        }
        Ok(Err(refusal)) => refusal.to_string(),
        Err(_) => format!(
            "the caller did not finish the handshake (TLS, or the proof of the cluster's secret) within {} s",
            BEGIN_TIMEOUT.as_secs()
        ),
    };
    gate.refusals.connections.fetch_add(1, Ordering::Relaxed);
    gate.warn(&caller, "a connection of another node is refused", &reason);
    None
}

/// Where a connection comes from, for the logs: without the port, which changes with each connection.
fn origin(info: &dyn Any) -> String {
    let address = info.downcast_ref::<Arrival>().and_then(Arrival::from);
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}
