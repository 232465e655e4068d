//! Why a request was not done.
//!
//! Four families, because they ask for four reactions:
//!
//! - *refused* ([`Error::Refused`], [`Error::RefusedByLeader`], [`Error::OffsetCompacted`], [`Error::OffsetAhead`],
//!   [`Error::OtherCluster`]): the request is at fault; a retry changes nothing.
//! - *cluster* ([`Error::NotLeader`], [`Error::NoLeader`], [`Error::Removed`], [`Error::NotCaughtUp`], [`Error::OutcomeUnknown`],
//!   [`Error::LostTwice`], [`Error::ReadOnly`], [`Error::ArchiveUnavailable`], [`Error::ArchiveDamaged`],
//!   [`Error::ShuttingDown`]): this node cannot do it now; a retry, here or on another node, can succeed. For [`Error::OutcomeUnknown`] only an idempotency key makes a retry safe.
//! - *faulty* ([`Error::DecisionFailed`]): the request meets a bug of the program, and would meet it on every node; the
//!   cluster does not retry it.
//! - *fatal* ([`Error::Storage`], [`Error::Diverged`]): this node cannot serve requests any more.

use std::fmt;

use rstmdb_engine::Refusal;
use rstmdb_rcp::message::ErrorBody;

/// A refusal in the words of the leader.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedByLeader {
    /// The error that the client gets.
    pub error: ErrorBody,
    /// Whether the instance may have begun another life since an earlier attempt. Then this refusal does not show that
    /// attempt's outcome.
    pub may_be_of_a_later_life: bool,
}

/// By which fact a node knows that it was removed from its cluster: a member has refused it, and named a membership that
/// is newer than the node's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// The member that says so.
    pub by: u64,
    /// The log index of that member's committed membership, which does not have this node.
    pub membership: u64,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} says that the membership at log index {} does not have it",
            self.by, self.membership
        )
    }
}

/// Why a request was not done; see the module documentation for the families.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rules of the machine, or of the request itself, forbid it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The same, from the leader to which the request was forwarded.
    #[error("{}", .0.error.message)]
    RefusedByLeader(Box<RefusedByLeader>),
    /// The log no longer reaches back to the wanted offset.
    #[error("offset {wanted} is no longer retained: the earliest retained offset is {earliest}")]
    OffsetCompacted {
        /// The offset asked for.
        wanted: u64,
        /// The first offset that is still there.
        earliest: u64,
    },
    /// The wanted offset has left the node for the archive, which cannot be read at the moment.
    #[error("offset {wanted} is in the archive, which cannot be read at the moment: {reason}")]
    ArchiveUnavailable {
        /// The offset asked for.
        wanted: u64,
        /// What the archive said, for people.
        reason: String,
    },
    /// The wanted offset has left the node for the archive, and the object that holds it there is damaged.
    #[error(
        "offset {wanted} can only be read through object {object} of the archive, which is damaged: {what}. The node reads \
         it again once it was mended"
    )]
    ArchiveDamaged {
        /// The offset asked for.
        wanted: u64,
        /// The object's name, below the archive's place and the cluster's id.
        object: String,
        /// What is wrong with it, for people.
        what: String,
    },
    /// The log does not reach up to the wanted offset yet, on any node.
    #[error(
        "offset {wanted} lies beyond this log: its head is {head} in cluster {cluster_id}. The offset \
         comes from another log, or from this one before it was restored to an earlier state: read \
         the current state anew, and watch from offset {} on, or without from_offset", head + 1
    )]
    OffsetAhead {
        /// The offset asked for.
        wanted: u64,
        /// The last offset there is.
        head: u64,
        /// The cluster that was asked.
        cluster_id: String,
    },
    /// The offset is one of another cluster's log.
    #[error(
        "the offset comes from cluster {named:?}, but this is cluster {cluster_id}, whose head is \
         {head}; a cluster restored from a backup has an id of its own. Read the current state \
         anew, and watch from offset {} on, or without from_offset and cluster_id", head + 1
    )]
    OtherCluster {
        /// The cluster that the client named.
        named: String,
        /// The last offset this node has.
        head: u64,
        /// The cluster that was asked.
        cluster_id: String,
    },
    /// This node does not lead, and was asked as the leader; nothing was written.
    #[error("this node is not the leader; nothing was changed")]
    NotLeader,
    /// This node's state differs from the other nodes' at the same offset, so its answers cannot be trusted.
    #[error(
        "the state of this node differs from the other nodes'; it answers no requests until it is replaced"
    )]
    Diverged,
    /// No leader is known; nothing was written.
    #[error("the cluster has no leader at the moment; nothing was changed")]
    NoLeader,
    /// This node was removed from its cluster; nothing was written.
    #[error(
        "this node was removed from the cluster ({0}); nothing was changed. Ask a member instead"
    )]
    Removed(Removal),
    /// This node has not applied what the read must see; another one may have.
    #[error("this node has not caught up with offset {offset} in time; nothing was changed")]
    NotCaughtUp {
        /// The offset the read has to see.
        offset: u64,
    },
    /// The write was handed to the log, and whether it will be committed is not known.
    #[error(
        "the outcome of this write is unknown: the node lost its leadership before the write was confirmed"
    )]
    OutcomeUnknown,
    /// Two leaders in a row were lost while they had the request. The request itself may have crashed them, so it must
    /// not reach a third.
    #[error(
        "two leaders in a row were lost while they had this request; its outcome is unknown, and the cluster does not \
         retry it by itself"
    )]
    LostTwice,
    /// Deciding the request panicked; nothing was written.
    #[error(
        "a bug in rstmdb made this request fail; nothing was changed, and the node goes on (its log has the details)"
    )]
    DecisionFailed,
    /// The node takes no writes, and says why.
    #[error("this node refuses writes: {reason}")]
    ReadOnly {
        /// The cause, for people.
        reason: String,
    },
    /// The node is going down; nothing was written.
    #[error("the node is shutting down; nothing was changed")]
    ShuttingDown,
    /// The storage failed, for good.
    #[error("the storage of this node has failed: {reason}")]
    Storage {
        /// The first failure, for people.
        reason: String,
        /// Whether a write of this request may nevertheless have reached the log.
        outcome_unknown: bool,
    },
}

impl Error {
    /// Whether the request may have taken effect although it failed.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::OutcomeUnknown | Self::LostTwice => true,
            Self::Storage {
                outcome_unknown, ..
            } => *outcome_unknown,
            Self::Refused(_)
            | Self::RefusedByLeader(_)
            | Self::OffsetCompacted { .. }
            | Self::ArchiveUnavailable { .. }
            | Self::ArchiveDamaged { .. }
            | Self::OffsetAhead { .. }
            | Self::OtherCluster { .. }
            | Self::NotLeader
            | Self::Diverged
            | Self::NotCaughtUp { .. }
            | Self::NoLeader
            | Self::Removed(_)
            | Self::DecisionFailed
            | Self::ReadOnly { .. }
            | Self::ShuttingDown => false,
        }
    }
}
