//! Answers the first exchange with facts about this node and its cluster, before either side knows whether the other
//! belongs to the same cluster.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::served::Served;
use crate::replica::Types;
use crate::server::peer::codec::{id_bytes, id_from};
use crate::server::peer::identity::protocol::PROTOCOL;
use crate::server::peer::wire;
use crate::server::peer::wire::introduction_server::Introduction;

/// Answers the first exchange.
pub(crate) struct IntroductionService<T: Types>(pub(crate) Arc<Served<T>>);

#[tonic::async_trait]
impl<T: Types> Introduction for IntroductionService<T> {
    async fn hello(
        &self,
        request: Request<wire::HelloRequest>,
    ) -> Result<Response<wire::HelloReply>, Status> {
        let asked = request.into_inner();
        let Served { gate, recorded, .. } = &*self.0;
        // This is only logged: this node still sends the facts, and the caller draws its own conclusion from them.
        if let Err(reason) = gate.check_version(asked.node_id, &asked.protocol) {
            let caller = format!("node {}", asked.node_id);
            gate.warn(
                &caller,
                "another node speaks a version that this one cannot talk to",
                &reason,
            );
        }
        // Asked first: a replica that is set meanwhile only makes the caller ask again.
        let opening = self.0.is_opening();
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
            opening,
            understands: local.levels.understands(),
        }))
    }
}
