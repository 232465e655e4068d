//! How connections between nodes begin: opened here, or taken from the listener.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::server::Connected;
use tonic::transport::{Endpoint, Uri};

use super::open::{CONNECT_TIMEOUT, Open, SmallSegments};
use crate::server::peer::handshake::Beginning;
use crate::server::peer::handshake::credentials::{Connection, Credentials};
use crate::server::peer::handshake::incoming::Arrival;
use crate::server::peer::identity::gate::PeerGate;
use crate::server::peer::way::holes::Holes;
use crate::server::transport::sockets;

/// A vanished node is noticed within this time if HTTP/2 asks for no signs of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The largest segment on a path that drops large packets: every IPv4 network carries it.
const SMALL_SEGMENT_BYTES: u32 = 536;
/// A new connection has to show its proofs within this time.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens channels over this machine's TCP. Each attempt resolves the name anew.
pub(crate) fn opener(credentials: Arc<Credentials>, gate: Arc<PeerGate>) -> Open {
    let dialer = Dialer {
        credentials,
        gate,
        holes: Arc::default(),
    };
    Arc::new(move |endpoint: &Endpoint, small: SmallSegments| {
        let dialer = dialer.clone();
        endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
            let dialer = dialer.clone();
            let small = small();
            async move { dialer.dial(&uri, small).await.map(TokioIo::new) }
        }))
    })
}

#[derive(Clone)]
struct Dialer {
    credentials: Arc<Credentials>,
    gate: Arc<PeerGate>,
    holes: Arc<Holes>,
}

impl Dialer {
    async fn dial(&self, uri: &Uri, small: bool) -> io::Result<Connection> {
        let addr = uri.authority().map_or("", |authority| authority.as_str());
        let small = small || self.holes.small_segments(addr);
        let stream = connect(addr, small).await?;
        sockets::set_up(&stream, Some(KEEP_ALIVE));
        // Without TLS the beginning holds nothing large.
        let has_large = self.credentials.ask_for_certificates();
        let attempt = has_large.then(|| self.holes.attempt(addr, small));
        let (gate, peer) = (self.gate.clone(), format!("the node at {addr}"));
        match self.credentials.connect(stream, addr).await {
            Ok(mut connection) => {
                connection.opened(Beginning {
                    attempt,
                    warnings: gate.warnings.clone(),
                    peer,
                });
                Ok(connection)
            }
            Err(refusal) => {
                if let Some(attempt) = attempt {
                    attempt.failed();
                }
                let reason = refusal.to_string();
                gate.warn(&peer, "a connection to another node cannot begin", &reason);
                Err(io::Error::other(reason))
            }
        }
    }
}

/// Tries the addresses of the host one after the other. They share the connector's time limit, so that an address that
/// does not answer leaves time for the next.
async fn connect(addr: &str, small: bool) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{addr} has no address"));
    let addrs: Vec<SocketAddr> = tokio::net::lookup_host(addr).await?.collect();
    let share = CONNECT_TIMEOUT / u32::try_from(addrs.len()).unwrap_or(u32::MAX).max(1);
    for addr in addrs {
        match tokio::time::timeout(share, connect_to(addr, small)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => {
                let reason = format!("{addr} does not answer");
                last = io::Error::new(io::ErrorKind::TimedOut, reason);
            }
        }
    }
    Err(last)
}

async fn connect_to(addr: SocketAddr, small: bool) -> io::Result<TcpStream> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if small {
        // Set before it connects, so that the other side learns it too.
        SockRef::from(&socket).set_tcp_mss(SMALL_SEGMENT_BYTES)?;
    }
    socket.connect(addr).await
}

/// The connections among these that begin as they should. Any number may do so at the same time: they are strangers,
/// and the listener lets in only so many.
pub(crate) fn begun<I, C>(
    incoming: I,
    credentials: Arc<Credentials>,
    gate: Arc<PeerGate>,
) -> impl Stream<Item = io::Result<Connection>>
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

async fn begin<C>(credentials: &Credentials, gate: &PeerGate, stream: C) -> Option<Connection>
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_in_small_segments_is_one_in_both_directions() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        for (small, is_small) in [(false, false), (true, true)] {
            let ours = connect(&addr, small).await.unwrap();
            let (theirs, _) = listener.accept().await.unwrap();
            for stream in [&ours, &theirs] {
                let mss = SockRef::from(stream).tcp_mss().unwrap();
                assert_eq!(mss <= SMALL_SEGMENT_BYTES, is_small, "{mss}");
            }
        }
    }
}
