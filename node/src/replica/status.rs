//! The picture of the node and its cluster that INFO, `/readyz` and the metrics show.

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use rstmdb_raft_store::NodeInfo;

use super::handle::Replica;
use super::types::Types;

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides commands.
    Leader,
    /// Has a vote and follows.
    Follower,
    /// Follows without a vote.
    Learner,
    /// Asks to be elected.
    Candidate,
}

impl Role {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Candidate => "candidate",
        }
    }
}

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub node_id: u64,
    /// Where it is reached.
    pub node: NodeInfo,
    /// Whether it has a vote.
    pub voter: bool,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Status {
    /// This node.
    pub node_id: u64,
    /// The cluster's identity, made when it was formed.
    pub cluster_id: String,
    /// This node's part.
    pub role: Role,
    /// The leader, where one is known.
    pub leader: Option<u64>,
    /// The Raft term.
    pub term: u64,
    /// The last offset applied here.
    pub last_applied: u64,
    /// The last offset known here to be committed.
    pub commit_index: u64,
    /// All members.
    pub members: Vec<Member>,
    /// The first offset that WAL_READ and watches can still deliver.
    pub earliest_offset: u64,
    /// The state's digest at `last_applied`.
    pub digest: u128,
    /// Live instances.
    pub instances: u64,
    /// Machine versions.
    pub machines: u64,
    /// Idempotency keys remembered.
    pub idempotency_keys: u64,
    /// The last snapshot's offset, 0 when there is none.
    pub snapshot_offset: u64,
    /// Why writes are refused, if they are.
    pub read_only: Option<String>,
}

impl<T: Types> Replica<T> {
    /// Whether this node is the leader, by its own belief.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.inner.raft.is_leader()
    }

    /// How this node and its cluster stand.
    #[must_use]
    pub fn status(&self) -> Status {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let members = membership
            .nodes()
            .map(|(id, node)| Member {
                node_id: *id,
                node: node.clone(),
                voter: voters.contains(id),
            })
            .collect();
        let state = self.inner.applied.read();
        Status {
            node_id: self.inner.options.node_id,
            cluster_id: self.inner.options.cluster_id.clone(),
            role: match metrics.state {
                ServerState::Leader => Role::Leader,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Follower | ServerState::Shutdown => Role::Follower,
            },
            leader: metrics.current_leader,
            term: metrics.current_term,
            last_applied: state.last_applied(),
            commit_index: metrics.local_committed.map_or(0, |id| id.index),
            members,
            earliest_offset: self.inner.store.earliest_index(),
            digest: state.digest(),
            instances: state.instance_count(),
            machines: state.machine_count(),
            idempotency_keys: state.key_count(),
            snapshot_offset: metrics.snapshot.map_or(0, |id| id.index),
            read_only: match self.inner.gate.read_only() {
                Some(super::Error::ReadOnly { reason }) => Some(reason),
                _ => None,
            },
        }
    }
}
