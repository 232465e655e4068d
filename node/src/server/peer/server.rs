//! The listener for other nodes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

use super::credentials::Credentials;
use super::guard::{Audience, Guard};
use super::hello::IntroductionService;
use super::identity::{Gate, Refusals, Speaker};
use super::membership_service::MembershipService;
use super::node_service::NodeService;
use super::pieces::Pieces;
use super::raft_service::RaftService;
use super::snapshot_receive::Partials;
use super::wire::introduction_server::IntroductionServer;
use super::wire::membership_server::MembershipServer;
use super::wire::node_server::NodeServer;
use super::wire::raft_server::RaftServer;
use super::{
    CONNECTION_WINDOW_BYTES, Error, HEADERS_BYTES_MAX, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT,
    MESSAGE_BYTES_MAX, Options, RAFT_MESSAGE_BYTES_MAX, Recorded, STREAM_WINDOW_BYTES, dial,
    incoming, with_causes,
};
use crate::server::product::Replica;
use crate::server::sockets::Sockets;

/// Calls and streams at the same time over one connection; a node needs a handful.
const STREAMS_MAX: u32 = 32;
/// The largest message of forwarded commands that is taken: a client's largest request, with room.
const FORWARD_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The largest message of those who need not be nodes.
const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// The largest frame of HTTP/2 that is taken, in bytes.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;
/// How long connections may take to end after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How often snapshots that arrived in part are looked through for forgotten ones.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// What the services share.
pub(super) struct Served {
    pub(super) gate: Arc<Gate>,
    pub(super) recorded: Recorded,
    pub(super) partials: Partials,
    pub(super) pieces: Pieces,
    /// Ends the streams, which would otherwise outlive any shutdown.
    pub(super) closing: CancellationToken,
    replica: Mutex<Option<Replica>>,
}

impl Served {
    pub(super) fn replica_if_started(&self) -> Option<Replica> {
        self.replica.lock().clone()
    }

    pub(super) fn replica(&self) -> Result<Replica, Status> {
        let starting = || Status::unavailable("this node is starting, or about to end");
        self.replica_if_started().ok_or_else(starting)
    }
}

/// Which node asks, as the guard found out.
pub(super) fn speaker<T>(request: &Request<T>) -> Result<Speaker, Status> {
    let speaker = request.extensions().get::<Speaker>().copied();
    speaker.ok_or_else(|| Status::failed_precondition("the caller did not send which node it is"))
}

/// The server for other nodes. Clones are the same server.
#[derive(Clone)]
pub struct PeerServer {
    served: Arc<Served>,
    credentials: Arc<Credentials>,
}

impl PeerServer {
    /// Serves nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let served = Served {
            gate: Gate::new(options),
            recorded: options.recorded.clone(),
            partials: Partials::default(),
            pieces: Pieces::default(),
            closing: CancellationToken::new(),
            replica: Mutex::default(),
        };
        Self {
            served: Arc::new(served),
            credentials: options.credentials.clone(),
        }
    }

    /// What connections begin with.
    #[must_use]
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// What was refused.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.served.gate.refusals
    }

    /// Serves this replica from now on; before, all but the first exchange is answered with
    /// *unavailable*.
    pub fn set_replica(&self, replica: Replica) {
        self.served.gate.members.set_replica(&replica);
        *self.served.replica.lock() = Some(replica);
    }

    /// Lets go of the replica, which was shut down: connections may take a while to end.
    pub fn release_replica(&self) {
        *self.served.replica.lock() = None;
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

    /// As [`PeerServer::serve`], for connections that come by something else than this machine's TCP.
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
        let gate = || served.gate.clone();
        let incoming = dial::begun(incoming, self.credentials.clone(), gate());
        let router = builder()
            .add_service(
                IntroductionServer::new(IntroductionService(served.clone()))
                    .max_decoding_message_size(QUESTION_BYTES_MAX),
            )
            .add_service(Guard::new(self.raft(), gate(), Audience::Nodes))
            .add_service(Guard::new(self.node(), gate(), Audience::Nodes))
            .add_service(Guard::new(self.membership(), gate(), Audience::Anybody));
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
    pub(super) fn partial_bytes_from(&self, sender: u64) -> Option<u64> {
        self.served.partials.bytes_from(sender)
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
