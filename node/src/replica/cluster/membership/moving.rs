//! Changes the addresses of a member. The member keeps its id, its vote and its data.

use openraft::ChangeMembers;
use rstmdb_raft_store::NodeInfo;

use super::Membership;
use super::outcome::refused;
use super::view::View;
use crate::planted::{self, Bug};
use crate::replica::peers::calls::{Peer, PeerError};
use crate::replica::peers::change::ChangeError;
use crate::replica::types::Types;

impl<T: Types> Membership<T> {
    /// The entry with the new addresses is committed even if the member has not acknowledged anything at its new
    /// address: a majority of the other voters is enough.
    pub(super) async fn set_address(
        &self,
        view: &View<T>,
        node_id: u64,
        node: &NodeInfo,
        by_itself: bool,
    ) -> Result<(), ChangeError> {
        view.must_have(node_id)?;
        let membership = view.metrics.membership_config.membership();
        if membership.get_node(&node_id) == Some(node) {
            return Ok(());
        }
        let is_taken = |(id, other): &(&u64, &NodeInfo)| {
            let theirs = [&other.peer_addr, &other.rcp_addr];
            **id != node_id
                && [&node.peer_addr, &node.rcp_addr]
                    .iter()
                    .any(|addr| theirs.contains(addr))
        };
        if node.peer_addr == node.rcp_addr {
            return Err(refused(format!(
                "node {node_id} cannot be at {node}: it needs one address for other nodes and another one for clients"
            )));
        }
        if let Some((id, other)) = membership.nodes().find(is_taken) {
            return Err(refused(format!(
                "node {node_id} cannot be at {node}: node {id} is at {other}"
            )));
        }
        let has_others = membership.nodes().nth(1).is_some();
        if node_id == view.metrics.id && has_others {
            if !by_itself {
                return Err(has_not_moved(node_id));
            }
            // Only another node can tell whether this one is reached there.
            self.transfer_leader(view, None).await?;
            return Err(ChangeError::NotLeader);
        }
        if node_id != view.metrics.id {
            let known = membership.get_node(&node_id);
            self.must_answer_there(node_id, known, node, by_itself)
                .await?;
        }
        if planted::is(Bug::MovedMemberStaysWhereItWas) {
            return Ok(());
        }
        let moved = [(node_id, node.clone())].into();
        self.set_members(ChangeMembers::SetNodes(moved)).await
    }

    /// Refuses to move a member that answers at its present address and not at the new one: a move would cut it off.
    async fn must_be_silent(
        &self,
        node_id: u64,
        known: Option<&NodeInfo>,
    ) -> Result<(), ChangeError> {
        let Some(known) = known else {
            return Ok(());
        };
        let here = Peer {
            id: node_id,
            node: known.clone(),
        };
        match self.neighbours.peers.report(&here).await {
            Ok(_) => Err(has_not_moved(node_id)),
            Err(_) => Ok(()),
        }
    }

    /// Refuses a member's new address while another process still answers with the member's id at the known one. One of
    /// the two runs on a copy of the other's folder, and the leader cannot tell which. A process that has moved says its
    /// new address also where its old address still leads to it.
    async fn must_be_the_only_one(
        &self,
        node_id: u64,
        known: Option<&NodeInfo>,
        node: &NodeInfo,
    ) -> Result<(), ChangeError> {
        let Some(known) = known else {
            return Ok(());
        };
        match self.neighbours.peers.introduce(&known.peer_addr).await {
            Ok(here) if here.id == node_id && here.node.peer_addr != node.peer_addr => {
                Err(refused(format!(
                    "node {node_id} answers at {} and at {}: two processes run under its id. Stop the one that runs on \
                     a copy of the data folder",
                    known.peer_addr, node.peer_addr
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses an address at which another node answers. With `must_answer`, also refuses an address at which no node
    /// answers.
    async fn must_answer_there(
        &self,
        node_id: u64,
        known: Option<&NodeInfo>,
        node: &NodeInfo,
        must_answer: bool,
    ) -> Result<(), ChangeError> {
        let there = self.neighbours.peers.introduce(&node.peer_addr).await;
        match there {
            Ok(there) if there.id == node_id => {
                self.must_be_the_only_one(node_id, known, node).await
            }
            Ok(there) => Err(refused(format!(
                "node {} answers at {}, not node {node_id}",
                there.id, node.peer_addr
            ))),
            Err(PeerError::Unreachable(_)) if !must_answer => {
                self.must_be_silent(node_id, known).await
            }
            Err(error) => Err(refused(format!(
                "node {node_id} does not answer at {}: {error}",
                node.peer_addr
            ))),
        }
    }
}

fn has_not_moved(node_id: u64) -> ChangeError {
    refused(format!(
        "node {node_id} answers at its present addresses, so it has not moved: change its own configuration and start \
         it again, and it asks for its new addresses by itself"
    ))
}
