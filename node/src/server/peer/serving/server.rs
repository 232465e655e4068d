//! The listener for other nodes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::guard::{Audience, Guard};
use super::introduction::IntroductionService;
use super::membership_service::MembershipService;
use super::node_service::NodeService;
use super::raft_service::RaftService;
use super::served::Served;
use crate::server::peer::budget::metered::{FORWARD_BYTES_MAX, QUESTION_BYTES_MAX};
use crate::server::peer::connecting::dial;
use crate::server::peer::handshake::credentials::Credentials;
use crate::server::peer::handshake::incoming;
use crate::server::peer::identity::gate::Refusals;
use crate::server::peer::wire::introduction_server::IntroductionServer;
use crate::server::peer::wire::membership_server::MembershipServer;
use crate::server::peer::wire::node_server::NodeServer;
use crate::server::peer::wire::raft_server::RaftServer;
use crate::server::peer::{
    Error, HEADERS_BYTES_MAX, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX, Options,
    RAFT_MESSAGE_BYTES_MAX, with_causes,
};
use crate::server::product::Replica;
use crate::server::transport::sockets::Sockets;

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
/// How long connections may take to end after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between searches for forgotten parts of snapshots.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The server for other nodes. Clones share it.
#[derive(Clone)]
pub struct PeerServer {
    served: Arc<Served>,
    credentials: Arc<Credentials>,
}

impl PeerServer {
    /// Serves nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            served: Arc::new(Served::new(options)),
            credentials: options.credentials.clone(),
        }
    }

    /// What connections begin with.
    #[must_use]
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// What was refused, counted.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.served.gate.refusals
    }

    /// From now on serves this replica. Before this call, every call but the first exchange is answered with
    /// *unavailable*.
    pub fn set_replica(&self, replica: Replica) {
        self.served.gate.members.set_replica(&replica);
        self.served.set_replica(Some(replica));
    }

    /// Drops the replica, which was shut down: connections may take a while to end.
    pub fn release_replica(&self) {
        self.served.set_replica(None);
    }

    /// Serves until `shutdown`, then ends all streams and connections.
    ///
    /// # Errors
    ///
    /// [`Error::Serve`] when the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        sockets: Sockets,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let incoming = incoming::accept(listener, sockets);
        self.serve_incoming(incoming, shutdown).await
    }

    /// As [`PeerServer::serve`], for connections over another transport than this machine's TCP.
    ///
    /// # Errors
    ///
    /// As [`PeerServer::serve`].
    pub async fn serve_incoming<I, C>(
        self,
        incoming: I,
        shutdown: CancellationToken,
    ) -> Result<(), Error>
    where
        I: Stream<Item = std::io::Result<C>>,
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let failed = |error: tonic::transport::Error| Error::Serve(with_causes(&error));
        let served = &self.served;
        let incoming = dial::begun(incoming, self.credentials.clone(), served.gate.clone());
        let router = builder()
            .add_service(self.guarded(self.introduction(), Audience::Strangers))
            .add_service(self.guarded(self.raft(), Audience::Nodes))
            .add_service(self.guarded(self.node(), Audience::Nodes))
            .add_service(self.guarded(self.membership(), Audience::Anybody));
        let begin = {
            let closing = served.closing.clone();
            async move {
                shutdown.cancelled().await;
                closing.cancel();
            }
        };
        let serving = router.serve_with_incoming_shutdown(incoming, begin);
        tokio::select! {
            ended = serving => ended.map_err(failed),
            () = self.sweep_until_drained() => Ok(()),
        }
    }

    async fn sweep_until_drained(&self) {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                _ = sweep.tick() => {
                    self.served.partials.sweep();
                    self.served.pieces.sweep();
                }
                () = self.served.closing.cancelled() => break,
            }
        }
        tokio::time::sleep(DRAIN_TIMEOUT).await;
        tracing::debug!("connections of other nodes have not ended in time");
    }

    #[cfg(test)]
    pub(crate) fn partial_bytes_from(&self, sender: u64) -> Option<u64> {
        self.served.partials.bytes_from(sender)
    }

    /// Bytes that unfinished messages hold now, of Raft and others.
    #[cfg(test)]
    pub(crate) fn unfinished_bytes(&self) -> (usize, usize) {
        self.served.shares.held()
    }

    fn guarded<S>(&self, service: S, audience: Audience) -> Guard<S> {
        let (gate, shares) = (self.served.gate.clone(), self.served.shares.clone());
        Guard::new(service, gate, shares, audience)
    }

    fn introduction(&self) -> IntroductionServer<IntroductionService> {
        IntroductionServer::new(IntroductionService(self.served.clone()))
            .max_decoding_message_size(QUESTION_BYTES_MAX)
    }

    fn raft(&self) -> RaftServer<RaftService> {
        RaftServer::new(RaftService(self.served.clone()))
            .max_decoding_message_size(RAFT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn node(&self) -> NodeServer<NodeService> {
        NodeServer::new(NodeService(self.served.clone()))
            .max_decoding_message_size(FORWARD_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn membership(&self) -> MembershipServer<MembershipService> {
        MembershipServer::new(MembershipService(self.served.clone()))
            .max_decoding_message_size(QUESTION_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

fn builder() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
}
