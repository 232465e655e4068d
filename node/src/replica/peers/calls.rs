//! What a replica asks of the other nodes besides Raft itself, and what it answers them.
//!
//! The transport behind [`Peers`] is gRPC in the product and a simulated network in tests; neither decides anything.
//! The transport bounds the time of every call, and returns an error when the other node cannot be reached. The caller
//! decides whether to retry.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use rstmdb_engine::fact::Meta;
use rstmdb_engine::{Command, Reach};
use rstmdb_raft_store::{Entry, NodeInfo};
use tokio::sync::mpsc;

use super::change::{ChangeError, LeaderChange};
use super::report::NodeReport;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::parts::consistency::Consistency;
use crate::replica::types::trace::Traced;

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: u64,
    /// Where it is reached.
    pub node: NodeInfo,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} at {}", self.id, self.node.peer_addr)
    }
}

/// A request as a client sent it. The replica does not look into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientRequest {
    /// The operation's name.
    pub op: &'static str,
    /// The parameters, JSON text.
    pub params: Bytes,
    /// The ids that this node has made for the instances that the request creates without naming them, in their order.
    pub new_ids: Vec<String>,
}

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The actor, for the facts.
    pub actor: Arc<str>,
    /// The machines of a client that is limited to some. The leader checks them when it decides.
    pub reach: Option<Arc<Reach>>,
}

impl From<&str> for Caller {
    fn from(actor: &str) -> Self {
        Self {
            actor: actor.into(),
            reach: None,
        }
    }
}

/// A request on its way to the leader.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// Names it among the requests of its stream; ascending.
    pub seq: u64,
    /// The request.
    pub request: ClientRequest,
    /// Who asks for it.
    pub caller: Caller,
    /// If the request is traced: what its record at the leader continues.
    pub traceparent: Option<String>,
}

/// What is kept for a command until it is decided: the room that its bytes take.
pub type Permit = Arc<dyn Any + Send + Sync>;

/// A forwarded request that the leader has understood.
pub struct Received {
    /// As in [`Forwarded`].
    pub seq: u64,
    /// The command that the request asks for.
    pub command: Command,
    /// What the client says about it.
    pub meta: Option<Box<Meta>>,
    /// As in [`Forwarded`].
    pub caller: Caller,
    /// Given back with the command.
    pub permit: Permit,
    /// Where to record how far it has come, if it is traced.
    pub trace: Option<Traced>,
}

/// The outcome of a forwarded command. Outcomes of one stream may come in another order than the commands.
#[derive(Debug, Clone)]
pub struct ForwardResult {
    /// Which command it belongs to.
    pub seq: u64,
    /// Its outcome; [`Error::NotLeader`] promises that nothing was written.
    pub outcome: Result<Done, Error>,
}

/// Requests to the leader, in order, and their outcomes.
///
/// The receiver of outcomes ends when the stream breaks: whether a command without an outcome
/// took effect is then unknown. Dropping the sender ends the stream.
pub struct ForwardStream {
    /// Takes the requests, in the order in which they are to take effect.
    pub commands: mpsc::UnboundedSender<Vec<Forwarded>>,
    /// Gives the outcomes.
    pub results: mpsc::UnboundedReceiver<Vec<ForwardResult>>,
}

/// Entries of another node's log, ascending and without a gap, in portions.
pub struct HistoryRun {
    /// The first index.
    pub first: u64,
    /// The last index.
    pub last: u64,
    /// The entries.
    pub entries: BoxStream<'static, Result<Vec<Entry>, PeerError>>,
}

/// Why another node gave no answer, or not the expected one.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It cannot be reached, or did not answer in time.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It does not lead, so it cannot answer.
    #[error("is not the leader")]
    NotLeader,
    /// It refuses to talk to this node, or this node to it.
    #[error("refused: {0}")]
    Refused(String),
    /// It refuses to talk to this node, because this node is not in its committed membership.
    #[error("refused: {reason}")]
    NotMember {
        /// The log index of that membership.
        membership: u64,
        /// For people.
        reason: String,
    },
    /// It answered that it failed.
    #[error("failed: {0}")]
    Failed(String),
}

/// What a leader has sent to another node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SentByLeader {
    /// Bytes of entries that have arrived there, since this node started.
    pub bytes_taken: u64,
    /// How often no bytes arrived for long although heartbeats were answered.
    pub stalls: u64,
}

/// The calls a replica makes to other nodes; see the module documentation.
pub trait Peers: Send + Sync + 'static {
    /// Opens a stream of commands to the node that this node believes to lead.
    fn forward(&self, to: &Peer) -> BoxFuture<'static, Result<ForwardStream, PeerError>>;

    /// Asks the leader which offset a read that begins now must see.
    fn read_index(
        &self,
        to: &Peer,
        level: Consistency,
    ) -> BoxFuture<'static, Result<u64, PeerError>>;

    /// Asks a node how it stands.
    fn report(&self, to: &Peer) -> BoxFuture<'static, Result<NodeReport, PeerError>>;

    /// Asks the leader to change the membership or to hand over. After an `Err`, the change may or may not have been
    /// made.
    fn change(
        &self,
        to: &Peer,
        change: &LeaderChange,
    ) -> BoxFuture<'static, Result<Result<(), ChangeError>, PeerError>>;

    /// Asks the node at `peer_addr` who it is. Returns its id and addresses if it may be added to this cluster.
    fn introduce(&self, peer_addr: &str) -> BoxFuture<'static, Result<Peer, PeerError>>;

    /// Whether the machine of another node refuses connections at once, which it does once the node's process has ended.
    /// `false` if it accepts them, does not answer, or the transport cannot tell. It takes less than half a second.
    fn has_ended(&self, _of: &Peer) -> BoxFuture<'static, bool> {
        std::future::ready(false).boxed()
    }

    /// Where another node may be besides the address that the membership has.
    fn other_places(&self, _of: &Peer) -> Vec<String> {
        Vec::new()
    }

    /// What this node has sent to another one; zero from a transport that does not count.
    fn sent(&self, _to: u64) -> SentByLeader {
        SentByLeader::default()
    }

    /// Asks a node for the history that ends right below `before`; `None` when it has none.
    fn history(
        &self,
        to: &Peer,
        before: u64,
    ) -> BoxFuture<'static, Result<Option<HistoryRun>, PeerError>>;
}
