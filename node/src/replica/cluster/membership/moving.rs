//! Changes the addresses of a member. The member keeps its id, its vote and its data.

use std::collections::BTreeMap;

use openraft::ChangeMembers;
use rstmdb_raft_store::NodeInfo;

use super::MembershipChanges;
use super::outcome::refused;
use super::view::LeaderView;
use crate::planted::{self, Bug};
use crate::replica::peers::calls::{Peer, PeerError};
use crate::replica::peers::change::ChangeError;
use crate::replica::types::Types;

impl<T: Types> MembershipChanges<T> {
    /// The entry with the new addresses is committed even if the member has not acknowledged anything at its new
    /// address: a majority of the other voters is enough.
    pub(super) async fn set_address(
        &self,
        view: &LeaderView<T>,
        node_id: u64,
        node: &NodeInfo,
        by_itself: bool,
    ) -> Result<(), ChangeError> {
        view.must_have(node_id)?;
        let membership = view.metrics.membership_config.membership();
        if membership.get_node(&node_id) == Some(node) {
            return Ok(());
        }
        if node.peer_addr == node.rcp_addr {
            return Err(refused(format!(
                "node {node_id} cannot be at {node}: it needs one address for other nodes and another one for clients"
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
        let moved = self.with_those_who_made_room(view, node_id, node).await?;
        if node_id != view.metrics.id {
            let known = membership.get_node(&node_id);
            self.must_answer_there(node_id, known, node, by_itself)
                .await?;
        }
        if planted::is(Bug::MovedMemberStaysWhereItWas) {
            return Ok(());
        }
        self.set_members(ChangeMembers::SetNodes(moved)).await
    }

    /// The new addresses of the member, and of those whose addresses it takes: members may have swapped their addresses.
    /// A member whose address is taken must answer at other ones.
    async fn with_those_who_made_room(
        &self,
        view: &LeaderView<T>,
        node_id: u64,
        node: &NodeInfo,
    ) -> Result<BTreeMap<u64, NodeInfo>, ChangeError> {
        let membership = view.metrics.membership_config.membership();
        let mut moved = BTreeMap::from([(node_id, node.clone())]);
        loop {
            let is_free = |at: &NodeInfo| !moved.values().any(|to| overlap(to, at));
            let mut unmoved = membership.nodes().filter(|(id, _)| !moved.contains_key(id));
            let Some((id, known)) = unmoved.find(|(_, known)| !is_free(known)) else {
                return Ok(moved);
            };
            let there = match *id == view.metrics.id {
                true => Some(self.options.node.clone()),
                false => self.found_elsewhere(view, *id, known).await,
            };
            let Some(there) = there.filter(|there| there != known && is_free(there)) else {
                return Err(refused(format!(
                    "node {node_id} cannot be at {node}: node {id} is at {known}"
                )));
            };
            if *id == view.metrics.id {
                self.leave_to_another(view, &moved, node_id).await?;
            }
            moved.insert(*id, there);
        }
    }

    /// This leader has moved too, and only another node can tell whether it is reached at its new address. So a voter
    /// leads that has not moved.
    async fn leave_to_another(
        &self,
        view: &LeaderView<T>,
        moved: &BTreeMap<u64, NodeInfo>,
        node_id: u64,
    ) -> Result<(), ChangeError> {
        let stays = |id: &&u64| **id != view.metrics.id && !moved.contains_key(id);
        let Some(next) = view.voters.iter().find(stays) else {
            return Err(refused(format!(
                "node {node_id} has the address of another member, and every voter has moved: give one of them addresses \
                 that no member has had"
            )));
        };
        self.transfer_leader(view, Some(*next)).await?;
        Err(ChangeError::NotLeader)
    }

    /// Where a member answers that does not answer at its known address.
    async fn found_elsewhere(
        &self,
        view: &LeaderView<T>,
        id: u64,
        known: &NodeInfo,
    ) -> Option<NodeInfo> {
        let peers = &self.neighbours.peers;
        let member = Peer {
            id,
            node: known.clone(),
        };
        let membership = view.metrics.membership_config.membership();
        let theirs = membership.nodes().map(|(_, other)| other.peer_addr.clone());
        let places = peers.other_places(&member).into_iter().chain(theirs);
        for place in places.filter(|place| *place != known.peer_addr) {
            match peers.introduce(&place).await {
                Ok(there) if there.id == id => return Some(there.node),
                _ => {}
            }
        }
        None
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

/// Whether two nodes would have an address in common.
fn overlap(one: &NodeInfo, other: &NodeInfo) -> bool {
    let theirs = [&other.peer_addr, &other.rcp_addr];
    let ours = [&one.peer_addr, &one.rcp_addr];
    ours.iter().any(|addr| theirs.contains(addr))
}

fn has_not_moved(node_id: u64) -> ChangeError {
    refused(format!(
        "node {node_id} answers at its present addresses, so it has not moved: change its own configuration and start \
         it again, and it asks for its new addresses by itself"
    ))
}
