//! What can be asked of the membership, and why it is not done.

use rstmdb_raft_store::NodeInfo;

use crate::replica::error::Removal;

/// A change that the leader is asked for. It is no error to ask for what is already so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderChange {
    /// Adds a node without a vote.
    AddLearner {
        /// Its id.
        node_id: u64,
        /// Where it is reached.
        node: NodeInfo,
    },
    /// Gives a learner that has caught up a vote.
    Promote {
        /// The learner.
        node_id: u64,
    },
    /// Takes a node out of the cluster for good.
    Remove {
        /// The node.
        node_id: u64,
    },
    /// Gives a member other addresses; it keeps its id, its vote and its data.
    SetAddress {
        /// The member.
        node_id: u64,
        /// Where it is reached from now on.
        node: NodeInfo,
        /// The member asks for it itself. Then it has to answer at the new address.
        by_itself: bool,
    },
    /// Raises the feature level to what every member understands.
    RaiseLevel,
    /// Hands the leadership over: to this node, or to the one whose log is the most complete.
    TransferLeader {
        /// The node that is to lead.
        to: Option<u64>,
    },
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// This node does not lead, so nothing was done.
    #[error("this node is not the leader")]
    NotLeader,
    /// No leader is known; nothing was done.
    #[error("the cluster has no leader at the moment; nothing was changed")]
    NoLeader,
    /// This node was removed from the cluster, so no leader takes its requests; nothing was done.
    #[error(
        "this node was removed from the cluster ({0}); nothing was changed. Ask a member instead"
    )]
    Removed(Removal),
    /// There is no such member.
    #[error("node {node_id} is not a member of this cluster")]
    UnknownNode {
        /// The id asked for.
        node_id: u64,
    },
    /// The change would do harm; the text says what harm, and what to do first.
    #[error("{reason}")]
    Refused {
        /// For people.
        reason: String,
    },
    /// The learner has not caught up yet.
    #[error(
        "node {node_id} lacks {lag} of the log's entries; it gets a vote once it has caught up"
    )]
    Lagging {
        /// The learner.
        node_id: u64,
        /// Entries it lacks.
        lag: u64,
    },
    /// Some members do not understand a higher feature level, or do not answer; nothing was changed.
    #[error(
        "feature level {needed} is not understood by every member; the cluster stays at level {current}. Held back by \
         node {}: start it with this version, or bring it back",
        .held_back_by.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    )]
    HeldBack {
        /// The level that was asked for.
        needed: u32,
        /// The cluster's level.
        current: u32,
        /// The members that understand less, or do not answer.
        held_back_by: Vec<u64>,
    },
    /// The change was begun and not confirmed in time; asking again is safe.
    #[error("the change was not confirmed in time: {reason}")]
    Unconfirmed {
        /// For people.
        reason: String,
    },
}
