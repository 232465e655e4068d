//! The first exchange with a node: facts, before either side knows whether the other belongs to it.

use openraft::type_config::TypeConfigExt;
use rstmdb_engine::fact::level::FIRST;

use crate::replica::{PeerError, Types};
use crate::server::peer::codec::{id_bytes, id_from};
use crate::server::peer::connecting::CallError;
use crate::server::peer::connecting::connections::Connections;
use crate::server::peer::identity::members::KnownMembership;
use crate::server::peer::identity::protocol::PROTOCOL;
use crate::server::peer::wire;

/// What a node says of itself, and what it knows of the node that asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HelloAnswer {
    /// Its id.
    pub node_id: u64,
    /// Its data folder.
    pub incarnation: u128,
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster's id; `None` while it belongs to none.
    pub cluster_id: Option<u128>,
    /// Where other nodes reach it.
    pub peer_addr: String,
    /// Where clients reach it.
    pub rcp_addr: String,
    /// Its Raft is initialized: it is a member, or was.
    pub formed: bool,
    /// It belongs to a cluster, and cannot say yet who the members are.
    pub opening: bool,
    /// The incarnation under which this node's id has taken part before; `None` when it never has.
    pub recorded_incarnation: Option<u128>,
    /// The nodes that its configuration lists; empty where it lists no others.
    pub listed: String,
    /// The highest feature level that its program understands.
    pub understands: u32,
    /// The members, once its Raft is initialized.
    pub members: Vec<u64>,
    /// The members with their addresses, and how new that is.
    pub membership: KnownMembership,
}

impl HelloAnswer {
    /// What the reply says.
    pub(crate) fn decode(reply: wire::HelloReply) -> Result<Self, CallError> {
        let cluster_id = reply
            .cluster_id
            .map(|id| id_from("HelloReply.cluster_id", &id));
        let recorded = reply
            .recorded_incarnation
            .map(|id| id_from("HelloReply.recorded_incarnation", &id));
        Ok(Self {
            node_id: reply.node_id,
            incarnation: id_from("HelloReply.incarnation", &reply.incarnation)?,
            cluster_name: reply.cluster_name,
            cluster_id: cluster_id.transpose()?,
            peer_addr: reply.peer_addr,
            rcp_addr: reply.rcp_addr,
            formed: reply.formed,
            opening: reply.opening,
            recorded_incarnation: recorded.transpose()?,
            listed: reply.listed,
            understands: reply.understands.max(FIRST),
            members: reply.members,
            membership: KnownMembership {
                index: reply.membership_index,
                nodes: reply
                    .nodes
                    .into_iter()
                    .filter_map(|member| Some((member.node_id, member.node?.peer_addr)))
                    .collect(),
            },
        })
    }
}

impl<T: Types> Connections<T> {
    /// Asks which node listens at `peer_addr`, which may be this very node.
    ///
    /// # Errors
    ///
    /// [`PeerError::Unreachable`] when there is no answer, [`PeerError::Refused`] when the two speak
    /// different versions.
    pub async fn hello(&self, peer_addr: &str) -> Result<HelloAnswer, PeerError> {
        let gate = self.gate();
        let said = self.say_hello(peer_addr).await;
        if let Err(CallError::Refused(reason)) = &said {
            let said = "another node speaks a version that this one cannot talk to";
            gate.warn(&format!("the node at {peer_addr}"), said, reason);
        }
        Ok(said?)
    }

    async fn say_hello(&self, peer_addr: &str) -> Result<HelloAnswer, CallError> {
        let local = &self.gate().local;
        let request = wire::HelloRequest {
            protocol: PROTOCOL.to_string(),
            cluster_name: local.cluster_name.clone(),
            node_id: local.node_id,
            incarnation: id_bytes(local.incarnation),
            cluster_id: local.cluster_id.get().copied().map(id_bytes),
            understands: local.levels.understands(),
        };
        let limit = self.rpc_timeout();
        let mut client = self.introduction(peer_addr)?;
        let reply = T::timeout(limit, client.hello(request)).await;
        let reply = reply.map_err(|_| CallError::Timeout(limit))??.into_inner();
        self.judge(reply.node_id, &reply.protocol)?;
        HelloAnswer::decode(reply)
    }

    fn judge(&self, node_id: u64, protocol: &str) -> Result<(), CallError> {
        let judged = self.gate().check_version(node_id, protocol);
        judged.map_err(CallError::Refused)
    }
}
