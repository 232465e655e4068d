//! The first exchange with a node: facts, before either side knows whether the other belongs to it.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::codec::{id_bytes, id_from};
use super::connections::{CallError, Connections};
use super::identity::{Gate, PROTOCOL, Protocol};
use super::members::Membership;
use super::server::Served;
use super::wire;
use super::wire::introduction_server::Introduction;
use crate::replica::PeerError;

/// What a node says of itself, and what it knows of the one that asks.
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
    /// The incarnation under which this node's id has taken part before; `None` when it never has.
    pub recorded_incarnation: Option<u128>,
    /// The nodes that its configuration lists; empty where it lists no others.
    pub listed: String,
    /// The members, once its Raft is initialized.
    pub members: Vec<u64>,
    /// The same with their addresses, and how new that is.
    pub membership: Membership,
}

impl HelloAnswer {
    fn decode(reply: wire::HelloReply) -> Result<Self, CallError> {
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
            recorded_incarnation: recorded.transpose()?,
            listed: reply.listed,
            members: reply.members,
            membership: Membership {
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

impl Connections {
    /// Asks who listens at `peer_addr`, which may be this very node.
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
        };
        let limit = self.rpc_timeout();
        let mut client = self.introduction(peer_addr)?;
        let reply = tokio::time::timeout(limit, client.hello(request)).await;
        let reply = reply.map_err(|_| CallError::Timeout(limit))??.into_inner();
        self.judge(reply.node_id, &reply.protocol)?;
        HelloAnswer::decode(reply)
    }

    fn judge(&self, node_id: u64, protocol: &str) -> Result<(), CallError> {
        check_version(self.gate(), node_id, protocol).map_err(CallError::Refused)
    }
}

fn check_version(gate: &Gate, node_id: u64, protocol: &str) -> Result<(), String> {
    let theirs: Protocol = protocol.parse().map_err(|()| {
        format!("node {node_id} sent {protocol:?} as its protocol version, which is not one")
    })?;
    gate.same_major(node_id, theirs)
        .map_err(|refusal| refusal.to_string())
}

/// Answers the first exchange.
pub(super) struct IntroductionService(pub(super) Arc<Served>);

#[tonic::async_trait]
impl Introduction for IntroductionService {
    async fn hello(
        &self,
        request: Request<wire::HelloRequest>,
    ) -> Result<Response<wire::HelloReply>, Status> {
        let asked = request.into_inner();
        let Served { gate, recorded, .. } = &*self.0;
        // Only logged here: the facts go out all the same, and the caller concludes the same.
        if let Err(reason) = check_version(gate, asked.node_id, &asked.protocol) {
            let caller = format!("node {}", asked.node_id);
            gate.warn(
                &caller,
                "another node speaks a version that this one cannot talk to",
                &reason,
            );
        }
        let mut formed = false;
        let (mut index, mut nodes) = (0, Vec::new());
        if let Some(replica) = self.0.replica_if_started() {
            formed = replica.raft().is_initialized().await.unwrap_or(false);
            (index, nodes) = replica.membership();
        }
        let local = &gate.local;
        let recorded = recorded(asked.node_id);
        let incarnation = id_from("HelloRequest.incarnation", &asked.incarnation);
        if recorded != 0 && incarnation.is_ok_and(|asking| asking != recorded) {
            let caller = format!("node {}", asked.node_id);
            let reason = format!(
                "{caller} has taken part in this cluster with another data folder: it has forgotten \
                 its votes and its log and must come back under a new id"
            );
            gate.warn(
                &caller,
                "another node asks to take part with an empty folder",
                &reason,
            );
        }
        Ok(Response::new(wire::HelloReply {
            protocol: PROTOCOL.to_string(),
            cluster_name: local.cluster_name.clone(),
            node_id: local.node_id,
            incarnation: id_bytes(local.incarnation),
            cluster_id: local.cluster_id.get().copied().map(id_bytes),
            peer_addr: local.peer_addr.clone(),
            rcp_addr: local.rcp_addr.clone(),
            formed,
            recorded_incarnation: (recorded != 0).then(|| id_bytes(recorded)),
            listed: local.listed.clone(),
            members: nodes.iter().map(|(id, _)| *id).collect(),
            nodes: nodes.into_iter().map(Into::into).collect(),
            membership_index: index,
        }))
    }
}
