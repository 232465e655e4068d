//! The Raft types the log is written in: concrete, and free of any runtime.

use std::fmt;

use bytes::Bytes;
use openraft::RaftTypeConfig;
use openraft::impls::leader_id_std;

/// The application's part of a log entry: bytes that this crate never interprets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(pub Bytes);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.0.len())
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The addresses of a member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NodeInfo {
    /// `host:port` for the other nodes.
    pub peer_addr: String,
    /// `host:port` for clients.
    pub rcp_addr: String,
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.peer_addr, self.rcp_addr)
    }
}

/// A candidate or leader: one leader per term.
pub type LeaderId = leader_id_std::LeaderId<u64, u64>;
/// The part of a [`LeaderId`] that log ids carry: the term.
pub type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
/// Term and index of an entry.
pub type LogId = openraft::LogId<CommittedLeaderId>;
/// A vote, granted or won.
pub type Vote = openraft::impls::Vote<LeaderId>;
/// The members of the cluster.
pub type Membership = openraft::Membership<u64, NodeInfo>;
/// A membership and the entry that set it.
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, NodeInfo>;
/// What an entry holds: nothing, data, or a membership.
pub type Payload = openraft::EntryPayload<Data, u64, NodeInfo>;
/// One entry of the log.
pub type Entry = openraft::impls::Entry<CommittedLeaderId, Payload>;
/// The metadata of a snapshot.
pub type SnapshotMeta = openraft::storage::SnapshotMeta<CommittedLeaderId, u64, NodeInfo>;

/// Any openraft configuration over these types; response, runtime, responder and error source
/// are the application's choice.
pub trait StoreConfig:
    RaftTypeConfig<
        D = Data,
        NodeId = u64,
        Node = NodeInfo,
        Term = u64,
        LeaderId = LeaderId,
        Vote = Vote,
        Payload = Payload,
        Entry = Entry,
    >
{
}

impl<C> StoreConfig for C where
    C: RaftTypeConfig<
            D = Data,
            NodeId = u64,
            Node = NodeInfo,
            Term = u64,
            LeaderId = LeaderId,
            Vote = Vote,
            Payload = Payload,
            Entry = Entry,
        >
{
}

/// The log id of `term` and `index`.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// The index that follows this log id; 0 where there is none.
pub(crate) fn next_index(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}
