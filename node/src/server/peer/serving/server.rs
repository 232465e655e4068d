//! Everything that other nodes may call.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use openraft::type_config::TypeConfigExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::Connected;

use super::guard::{Audience, PeerGuard};
use super::introduction::IntroductionService;
use super::membership_service::MembershipService;
use super::node_service::NodeService;
use super::raft_service::RaftService;
use super::served::Served;
use crate::replica::{Replica, Types};
use crate::server::logging::traces::Traces;
use crate::server::peer::budget::metered::{FORWARD_BYTES_MAX, QUESTION_BYTES_MAX};
use crate::server::peer::connecting::listen;
use crate::server::peer::handshake::credentials::Credentials;
use crate::server::peer::handshake::incoming;
use crate::server::peer::identity::gate::Refusals;
use crate::server::peer::wire::introduction_server::IntroductionServer;
use crate::server::peer::wire::membership_server::MembershipServer;
use crate::server::peer::wire::node_server::NodeServer;
use crate::server::peer::wire::raft_server::RaftServer;
use crate::server::peer::{Error, MESSAGE_BYTES_MAX, Options, RAFT_MESSAGE_BYTES_MAX};
use crate::server::product::Product;
use crate::server::transport::sockets::Sockets;

/// How long connections may take to end after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between searches for forgotten parts of snapshots.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The server for other nodes. Clones share it.
#[derive(Clone)]
pub struct PeerServer<T: Types = Product> {
    served: Arc<Served<T>>,
    credentials: Arc<Credentials>,
}

impl<T: Types> PeerServer<T> {
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
    pub fn set_replica(&self, replica: Replica<T>) {
        self.served.gate.members.set_replica(&replica);
        self.served.set_replica(Some(replica));
    }

    /// Records requests that other nodes forward and that are traced. Called once, before anything is served.
    pub(crate) fn set_traces(&self, traces: Arc<Traces>) {
        // A second call would change nothing.
        let _ = self.served.traces.set(traces);
    }

    /// Where requests are recorded, if traces are on.
    pub(crate) fn traces(&self) -> Option<&Arc<Traces>> {
        self.served.traces.get()
    }

    /// `opening`: the data folder belongs to a cluster already. Until the replica is set, fresh nodes then wait for this
    /// one: its log may hold a cluster that they are not members of, and they must not form another one under its id.
    pub fn set_opening(&self, opening: bool) {
        self.served.set_opening(opening);
    }

    /// Drops the replica, which was shut down: connections may take a while to end.
    pub fn release_replica(&self) {
        self.served.set_replica(None);
    }

    /// The services, each behind its guard, without a listener. Clones are cheap and share everything.
    #[must_use]
    pub fn service(&self) -> Routes {
        Routes::new(self.guarded(self.introduction(), Audience::Strangers))
            .add_service(self.guarded(self.raft(), Audience::Nodes))
            .add_service(self.guarded(self.node(), Audience::Nodes))
            .add_service(self.guarded(self.membership(), Audience::Anybody))
            .prepare()
    }

    /// Ends all streams, for good.
    pub fn close(&self) {
        self.served.closing.cancel();
    }

    /// Drops the parts of snapshots and of entries that their senders have forgotten, until [`PeerServer::close`].
    pub async fn sweep(&self) {
        let closing = &self.served.closing;
        while let Some(()) = closing.run_until_cancelled(T::sleep(SWEEP_INTERVAL)).await {
            self.served.partials.sweep();
            self.served.pieces.sweep();
        }
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

    fn guarded<S>(&self, service: S, audience: Audience) -> PeerGuard<S, T> {
        PeerGuard::new(service, self.served.clone(), audience)
    }

    fn introduction(&self) -> IntroductionServer<IntroductionService<T>> {
        IntroductionServer::new(IntroductionService(self.served.clone()))
            .max_decoding_message_size(QUESTION_BYTES_MAX)
    }

    fn raft(&self) -> RaftServer<RaftService<T>> {
        RaftServer::new(RaftService(self.served.clone()))
            .max_decoding_message_size(RAFT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn node(&self) -> NodeServer<NodeService<T>> {
        NodeServer::new(NodeService(self.served.clone()))
            .max_decoding_message_size(FORWARD_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn membership(&self) -> MembershipServer<MembershipService<T>> {
        MembershipServer::new(MembershipService(self.served.clone()))
            .max_decoding_message_size(QUESTION_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl PeerServer {
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
        let begin = async {
            shutdown.cancelled().await;
            self.close();
        };
        let gate = self.served.gate.clone();
        let serving = listen::serve(
            self.service(),
            incoming,
            self.credentials.clone(),
            gate,
            begin,
        );
        tokio::select! {
            biased;
            ended = serving => ended,
            () = self.sweep_until_drained() => Ok(()),
        }
    }

    async fn sweep_until_drained(&self) {
        self.sweep().await;
        Product::sleep(DRAIN_TIMEOUT).await;
        tracing::debug!("connections of other nodes have not ended in time");
    }
}
