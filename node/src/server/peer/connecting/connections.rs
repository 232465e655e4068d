//! Connections to other nodes, and the results of calls over them.
//!
//! Every node is reached over several connections, one per [`ConnectionLane`]: a full or slow one delays nothing in the others,
//! neither by flow control nor by the order of bytes in one TCP connection. The first call over a connection opens it,
//! and so does the first call after it broke. The node asks for signs of life while a connection is idle too, so that
//! it notices a broken one before it needs it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Request, Response, Status};
use tower::ServiceExt;

use super::CallError;
use super::channel::{Channel, Dial, Others, SmallSegments};
use super::dial::{self, Http2, Open};
use crate::replica::{Peer, Types};
use crate::server::peer::identity::gate::PeerGate;
use crate::server::peer::identity::members::Members;
use crate::server::peer::identity::refusal::IdentityRefusal;
use crate::server::peer::way::holes::LARGE_PACKETS;
use crate::server::peer::way::path::PeerPath;
use crate::server::peer::wire::introduction_client::IntroductionClient;
use crate::server::peer::wire::membership_client::MembershipClient;
use crate::server::peer::wire::node_client::NodeClient;
use crate::server::peer::wire::raft_client::RaftClient;
use crate::server::peer::{MESSAGE_BYTES_MAX, Options, RAFT_MESSAGE_BYTES_MAX, Recorded};
use crate::server::product::Product;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConnectionLane {
    /// Entries of the log.
    Append,
    /// Heartbeats and votes: small, and useless when they come late.
    Beat,
    /// Snapshots and history: large, and not urgent.
    Bulk,
    /// Forwarded commands and reads.
    Forward,
    /// Reports and changes of the membership.
    Control,
}

/// Connections to other nodes. Clones share them.
#[derive(Clone)]
pub struct Connections<T: Types = Product> {
    shared: Arc<SharedConnections<T>>,
}

struct SharedConnections<T: Types> {
    gate: Arc<PeerGate>,
    recorded: Recorded,
    dial: Box<dyn Dial>,
    rpc_timeout: Duration,
    silence_timeout: Duration,
    /// By the node's id.
    channels: Mutex<BTreeMap<(u64, ConnectionLane), Opened>>,
    /// By the node's id.
    paths: Mutex<BTreeMap<u64, Arc<PeerPath<T>>>>,
}

/// A channel to a node, and for which of its addresses it was opened: a node may move.
struct Opened {
    /// The address in the membership.
    addr: String,
    turn: u64,
    channel: Channel,
}

impl Connections {
    /// Opens no connection yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let gate = PeerGate::new(options);
        let open = dial::opener(options.credentials.clone(), gate.clone());
        Self::dialed_by(options, gate, Box::new(Http2::over_tcp(open)))
    }

    /// As [`Connections::new`], over another transport than this machine's TCP. Such connections begin with no
    /// handshake.
    #[must_use]
    pub fn with_transport(options: &Options, open: Open) -> Self {
        Self::over(options, Http2::over(open))
    }
}

impl<T: Types> Connections<T> {
    /// Connections over the channels that `dial` makes. Opens none yet.
    #[must_use]
    pub fn over(options: &Options, dial: impl Dial) -> Self {
        Self::dialed_by(options, PeerGate::new(options), Box::new(dial))
    }

    fn dialed_by(options: &Options, gate: Arc<PeerGate>, dial: Box<dyn Dial>) -> Self {
        let shared = SharedConnections {
            gate,
            recorded: options.recorded.clone(),
            dial,
            rpc_timeout: options.rpc_timeout,
            silence_timeout: options.silence_timeout,
            channels: Mutex::default(),
            paths: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The way to one node.
    pub(crate) fn to(&self, peer: Peer) -> PeerLink<T> {
        let path = self.path(peer.id);
        PeerLink {
            connections: self.clone(),
            peer,
            path,
        }
    }

    /// Who belongs to the cluster.
    pub(crate) fn members(&self) -> &Members {
        &self.shared.gate.members
    }

    /// The cluster that this node belongs to; `None` while it belongs to none.
    pub(crate) fn cluster_id(&self) -> Option<u128> {
        self.shared.gate.local.cluster_id.get().copied()
    }

    /// What is known of the way to a node.
    pub(crate) fn path(&self, id: u64) -> Arc<PeerPath<T>> {
        self.shared.paths.lock().entry(id).or_default().clone()
    }

    pub(crate) fn gate(&self) -> &PeerGate {
        &self.shared.gate
    }

    /// The time limit of a call that asks for little.
    pub(crate) fn rpc_timeout(&self) -> Duration {
        self.shared.rpc_timeout
    }

    /// The incarnation under which a node has taken part; `None` when it never has.
    pub(crate) fn recorded(&self, node_id: u64) -> Option<u128> {
        Some((self.shared.recorded)(node_id)).filter(|incarnation| *incarnation != 0)
    }

    /// A connection for the first exchange with the node that listens at `addr`.
    pub(crate) fn introduction(
        &self,
        addr: &str,
    ) -> Result<IntroductionClient<Channel>, CallError> {
        let channel = self.dial(addr, Arc::new(Vec::new), Arc::new(|| false))?;
        Ok(IntroductionClient::new(channel))
    }

    /// Whether connections to a node are refused at once, wherever it may be.
    pub(crate) async fn refused(&self, peer: &Peer) -> bool {
        let places = self.members().places_of(peer.id, &peer.node.peer_addr);
        for addr in &places {
            if !self.shared.dial.is_refused(addr).await {
                return false;
            }
        }
        !places.is_empty()
    }

    fn dial(&self, addr: &str, others: Others, small: SmallSegments) -> Result<Channel, CallError> {
        let dialed = self.shared.dial.dial(addr, others, small);
        dialed.map_err(|bad| CallError::Unreachable(bad.to_string()))
    }
}

/// The way to one node.
#[derive(Clone)]
pub(crate) struct PeerLink<T: Types> {
    connections: Connections<T>,
    peer: Peer,
    path: Arc<PeerPath<T>>,
}

impl<T: Types> PeerLink<T> {
    /// Opens nothing; the first call does.
    fn channel(&self, lane: ConnectionLane) -> Result<Channel, CallError> {
        // openraft keeps the way to a node that it has once made, but a member's address may change.
        let known = self.connections.members().own_addr(self.peer.id);
        let addr = known.unwrap_or_else(|| self.peer.node.peer_addr.clone());
        let turn = self.path.turn();
        let mut channels = self.connections.shared.channels.lock();
        if let Some(opened) = channels.get(&(self.peer.id, lane))
            && (&opened.addr, opened.turn) == (&addr, turn)
        {
            return Ok(opened.channel.clone());
        }
        let channel = self.open(&addr, turn)?;
        let opened = Opened {
            addr,
            turn,
            channel: channel.clone(),
        };
        channels.insert((self.peer.id, lane), opened);
        Ok(channel)
    }

    /// The node may be at several addresses. With each turn another one is tried first: a turn ends when another node
    /// answers there.
    fn open(&self, recorded: &str, turn: u64) -> Result<Channel, CallError> {
        let gate = self.connections.shared.gate.clone();
        let (id, at) = (self.peer.id, recorded.to_owned());
        let places = move || {
            let mut places = gate.members.places_of(id, &at);
            let first = usize::try_from(turn).unwrap_or(0) % places.len().max(1);
            places.rotate_left(first);
            places
        };
        let first = places().into_iter().next();
        let first = first.unwrap_or_else(|| recorded.to_owned());
        let (gate, path) = (self.connections.shared.gate.clone(), self.path.clone());
        let has_others = places.clone();
        let look = move |response: http::Response<Body>| {
            if gate.is_of_another(id, response.headers()) && has_others().len() > 1 {
                path.misdirected(turn);
            }
            response
        };
        let tried = first.clone();
        let others = move || {
            let mut places = places();
            places.retain(|addr| *addr != tried);
            places
        };
        let path = self.path.clone();
        let small = move || path.small_segments();
        let channel = self
            .connections
            .dial(&first, Arc::new(others), Arc::new(small))?;
        Ok(Channel::new(channel.map_response(look)))
    }

    pub(crate) fn raft(&self, lane: ConnectionLane) -> Result<RaftClient<Channel>, CallError> {
        Ok(RaftClient::new(self.channel(lane)?)
            .max_decoding_message_size(RAFT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    pub(crate) fn node(&self, lane: ConnectionLane) -> Result<NodeClient<Channel>, CallError> {
        Ok(NodeClient::new(self.channel(lane)?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    pub(crate) fn membership(&self) -> Result<MembershipClient<Channel>, CallError> {
        Ok(
            MembershipClient::new(self.channel(ConnectionLane::Control)?)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        )
    }

    /// A request with the identity of this node.
    pub(crate) fn request<M>(&self, message: M) -> Result<Request<M>, CallError> {
        let mut request = Request::new(message);
        if !self
            .connections
            .gate()
            .sign(request.metadata_mut().as_mut())
        {
            return Err(CallError::Unreachable(
                "this node belongs to no cluster yet".to_owned(),
            ));
        }
        Ok(request)
    }

    /// Waits for the answer, or the beginning of a stream of answers, and checks who gave it.
    pub(crate) async fn answer<M>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<M>, Status>> + Send,
    ) -> Result<M, CallError> {
        let Ok(answer) = T::timeout(limit, call).await else {
            return Err(CallError::Timeout(limit));
        };
        let answer = answer.map_err(|status| self.failure(status))?;
        let gate = self.connections.gate();
        let headers = answer.metadata().as_ref();
        let addr = &self.peer.node.peer_addr;
        let judged = gate.recognize::<T>(headers, self.peer.id, addr).await;
        if let Err(refusal) = judged {
            return Err(self.refused(&refusal));
        }
        Ok(answer.into_inner())
    }

    /// Called when nothing that was sent over a lane arrives. The next call over it opens a new connection, in small
    /// segments if small messages get through.
    pub(crate) fn stalled(&self, lane: ConnectionLane) {
        let beats = self.path.stalled(self.silence_timeout());
        let mut channels = self.connections.shared.channels.lock();
        channels.remove(&(self.peer.id, lane));
        drop(channels);
        if beats {
            self.use_small_segments(
                "messages to another node do not arrive although it answers heartbeats; this node opens the connection \
                 again with small TCP segments",
            );
        }
    }

    /// From now on connections for all lanes but heartbeats are opened in small segments.
    pub(crate) fn use_small_segments(&self, said: &'static str) {
        let mut channels = self.connections.shared.channels.lock();
        channels.retain(|(id, lane), _| *id != self.peer.id || *lane == ConnectionLane::Beat);
        drop(channels);
        let gate = self.connections.gate();
        gate.warn(&self.peer.to_string(), said, LARGE_PACKETS);
    }

    pub(crate) fn path(&self) -> &Arc<PeerPath<T>> {
        &self.path
    }

    fn refused(&self, refusal: &IdentityRefusal) -> CallError {
        let reason = refusal.to_string();
        let gate = self.connections.gate();
        gate.warn(
            &self.peer.to_string(),
            "the answer of another node is refused",
            &reason,
        );
        CallError::Refused(reason)
    }

    /// What a status means; a refusal is logged.
    pub(crate) fn failure(&self, status: Status) -> CallError {
        let gate = self.connections.gate();
        let excluded = gate.excluded_by(self.peer.id, status.metadata().as_ref());
        let failure = match (CallError::from(status), excluded) {
            (CallError::Refused(reason), Some(membership)) => {
                CallError::NotMember { membership, reason }
            }
            (failure, _) => failure,
        };
        if let CallError::Refused(reason) | CallError::NotMember { reason, .. } = &failure {
            gate.warn(
                &self.peer.to_string(),
                "another node refuses to talk to this one",
                reason,
            );
        }
        failure
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How long the other side of a stream may take to answer.
    pub(crate) fn silence_timeout(&self) -> Duration {
        self.connections.shared.silence_timeout
    }

    pub(crate) fn rpc_timeout(&self) -> Duration {
        self.connections.rpc_timeout()
    }
}
