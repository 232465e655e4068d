//! Why two nodes do not talk to each other.

use tonic::Status;
use tonic::codegen::http::HeaderName;
use uuid::Uuid;

use super::protocol::{PROTOCOL, Protocol};

/// In a refusal of a node that is no member: the log index of the committed membership that does not have it.
pub(super) const MEMBERSHIP_HEADER: &str = "rstmdb-membership";

/// Why the two sides refuse to talk to each other. Operators read these texts in the logs of both nodes, far from where
/// they were made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityRefusal {
    #[error(
        "the other side sent no valid header {0}, which every node of rstmdb sends: another program is at this address"
    )]
    Stranger(HeaderName),
    #[error(
        "node {node_id} speaks version {theirs} of the protocol between nodes, and node {our_id} speaks {PROTOCOL}: \
         nodes of different major versions cannot talk to each other; upgrade one release at a time"
    )]
    Version {
        node_id: u64,
        theirs: Protocol,
        our_id: u64,
    },
    #[error(
        "node {node_id} belongs to cluster {theirs}, and node {our_id} to cluster {ours}: check the addresses in \
         cluster.peers, or empty the data folder of the node that is to change its cluster"
    )]
    Cluster {
        node_id: u64,
        theirs: Uuid,
        our_id: u64,
        ours: Uuid,
    },
    #[error(
        "node {node_id} understands feature level {understands} at most, and the cluster is at level {level} as far as \
         node {our_id} knows: start node {node_id} with a newer version"
    )]
    Level {
        node_id: u64,
        understands: u32,
        level: u32,
        our_id: u64,
    },
    #[error(
        "node {found} answers at {addr}, where node {wanted} was expected: check the addresses in cluster.peers"
    )]
    WrongNode {
        addr: String,
        wanted: u64,
        found: u64,
    },
    #[error(
        "the caller has the id of this node, {0}: give every node a cluster.node_id of its own. If this node has \
         called itself, cluster.peers lists its address for another node"
    )]
    SameId(u64),
    #[error("{0}")]
    Incarnation(String),
    #[error(
        "node {node_id} is not a member of this cluster as far as node {our_id} knows: add it with `rstmdb-cli \
         cluster add`. If it is a member already, name a present member in cluster.join of node {our_id} and restart \
         node {our_id}. If it was removed, stop it"
    )]
    NoMember {
        node_id: u64,
        our_id: u64,
        /// The log index of the committed membership that does not have it, if there is one.
        membership: Option<u64>,
    },
    #[error(
        "the caller says that it is node {node_id}, whose address is {addr}, but its certificate is for {names}: give \
         node {node_id} a certificate for its address, or list a name of this one in cluster.tls.allowed_names of node \
         {our_id}"
    )]
    Certificate {
        node_id: u64,
        names: String,
        addr: String,
        our_id: u64,
    },
    #[error(
        "the caller does not say that it is a node, and its certificate is for {names}: to let it call, list one of \
         these names in cluster.tls.allowed_names of node {our_id}"
    )]
    Operator { names: String, our_id: u64 },
}

impl From<IdentityRefusal> for Status {
    fn from(refusal: IdentityRefusal) -> Self {
        let mut status = Self::failed_precondition(refusal.to_string());
        if let IdentityRefusal::NoMember {
            membership: Some(index),
            ..
        } = refusal
        {
            status
                .metadata_mut()
                .insert(MEMBERSHIP_HEADER, index.into());
        }
        status
    }
}
