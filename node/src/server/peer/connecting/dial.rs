//! The product's connections to other nodes: HTTP/2 over TCP, after the handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tonic::Status;
use tonic::transport::{Endpoint, Uri};
use tower::ServiceExt;

use super::channel::{BadAddress, Channel, Dial, Others, SmallSegments};
use crate::server::peer::handshake::FirstBytes;
use crate::server::peer::handshake::credentials::{BegunConnection, Credentials};
use crate::server::peer::identity::gate::PeerGate;
use crate::server::peer::way::holes::Holes;
use crate::server::peer::{
    HEADERS_BYTES_MAX, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, with_causes,
};
use crate::server::transport::sockets;

/// Time limit for opening a connection, including its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit for finding out whether a connection is refused.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(250);
/// How many bytes of answers in one stream may lie here unread.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// The same limit for all streams of a connection together. This node opens these connections itself, one for each lane
/// and member.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// A vanished node is noticed within this time if HTTP/2 asks for no signs of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The largest segment on a path that drops large packets: every IPv4 network carries it.
const SMALL_SEGMENT_BYTES: u32 = 536;

/// Turns an address, with all that is set for a connection to it, into a channel that connects when it
/// is first used.
pub type Open =
    Arc<dyn Fn(&Endpoint, Others, SmallSegments) -> tonic::transport::Channel + Send + Sync>;

/// Channels of HTTP/2.
pub(crate) struct Http2 {
    open: Open,
    is_tcp: bool,
}

impl Http2 {
    /// Over connections that `open` opens.
    pub(crate) fn over(open: Open) -> Self {
        Self {
            open,
            is_tcp: false,
        }
    }

    /// Over connections that `open` opens over this machine's TCP.
    pub(crate) fn over_tcp(open: Open) -> Self {
        Self { open, is_tcp: true }
    }
}

impl Dial for Http2 {
    fn dial(
        &self,
        addr: &str,
        others: Others,
        small: SmallSegments,
    ) -> Result<Channel, BadAddress> {
        // Also with TLS, which tonic does not see: the opener adds it.
        let endpoint = Endpoint::from_shared(format!("http://{addr}"));
        let endpoint = endpoint.map_err(|error| BadAddress {
            addr: addr.to_owned(),
            reason: with_causes(&error),
        })?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_max_header_list_size(HEADERS_BYTES_MAX);
        let channel = (self.open)(&endpoint, others, small);
        let failed = |error: tonic::transport::Error| Status::from_error(error.into());
        Ok(Channel::new(channel.map_err(failed)))
    }

    fn is_refused(&self, addr: &str) -> BoxFuture<'static, bool> {
        if !self.is_tcp {
            return std::future::ready(false).boxed();
        }
        let addr = addr.to_owned();
        let refused = async move { tokio::time::timeout(REFUSAL_TIMEOUT, is_refused(&addr)).await };
        refused.map(|refused| refused.unwrap_or(false)).boxed()
    }
}

/// Opens channels over this machine's TCP. Each attempt resolves the name anew.
pub(crate) fn opener(credentials: Arc<Credentials>, gate: Arc<PeerGate>) -> Open {
    let dialer = PeerDialer {
        credentials,
        gate,
        holes: Arc::default(),
    };
    Arc::new(
        move |endpoint: &Endpoint, others: Others, small: SmallSegments| {
            let dialer = dialer.clone();
            endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
                let dialer = dialer.clone();
                let (others, small) = (others(), small());
                async move { dialer.dial(&uri, others, small).await.map(TokioIo::new) }
            }))
        },
    )
}

#[derive(Clone)]
struct PeerDialer {
    credentials: Arc<Credentials>,
    gate: Arc<PeerGate>,
    holes: Arc<Holes>,
}

impl PeerDialer {
    /// The node may have moved. If it does not answer at the first address, the others are tried too.
    async fn dial(
        &self,
        uri: &Uri,
        others: Vec<String>,
        small: bool,
    ) -> io::Result<BegunConnection> {
        let mut addr = uri
            .authority()
            .map_or("", |authority| authority.as_str())
            .to_owned();
        // The machine at the old address may not answer at all, and all attempts share the time limit of the connector.
        let attempts = u32::try_from(others.len() + 1).unwrap_or(u32::MAX);
        for other in others {
            let attempt = self.dial_at(&addr, small);
            if let Ok(Ok(connection)) =
                tokio::time::timeout(CONNECT_TIMEOUT / attempts, attempt).await
            {
                return Ok(connection);
            }
            addr = other;
        }
        self.dial_at(&addr, small).await
    }

    async fn dial_at(&self, addr: &str, small: bool) -> io::Result<BegunConnection> {
        let small = small || self.holes.small_segments(addr);
        let stream = connect(addr, small).await?;
        sockets::set_up(&stream, Some(KEEP_ALIVE));
        // Without TLS the beginning holds nothing large.
        let has_large = self.credentials.ask_for_certificates();
        let attempt = has_large.then(|| self.holes.attempt(addr, small));
        let (gate, peer) = (self.gate.clone(), format!("the node at {addr}"));
        match self.credentials.connect(stream, addr).await {
            Ok(mut connection) => {
                connection.opened(FirstBytes {
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

/// Whether each address of the host refuses connections. A connection that is accepted is closed at once.
async fn is_refused(addr: &str) -> bool {
    let Ok(addrs) = tokio::net::lookup_host(addr).await else {
        return false;
    };
    let mut refused = false;
    for addr in addrs {
        match connect_to(addr, false).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => refused = true,
            _ => return false,
        }
    }
    refused
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_a_machine_without_a_listener_refuses() {
        let open: Open = Arc::new(|endpoint, _, _| endpoint.connect_lazy());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let tcp = Http2::over_tcp(open.clone());
        assert!(!tcp.is_refused(&addr).await);
        drop(listener);
        assert!(tcp.is_refused(&addr).await);
        assert!(!tcp.is_refused("no-such-host.invalid:1").await);
        // Of another network this machine's TCP knows nothing.
        assert!(!Http2::over(open).is_refused(&addr).await);
    }

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
