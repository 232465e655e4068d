//! Who the other nodes are, which of them leads and which of them answer, as this node knows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use rstmdb_raft_store::NodeInfo;
use tokio::sync::watch;

use super::calls::{Peer, Peers};
use super::heard::Heard;
use crate::replica::apply::state_machine::StateMachine;
use crate::replica::parts::gate::Gate;
use crate::replica::types::Types;

/// The other nodes, and how to call them.
pub(crate) struct Neighbours<T: Types> {
    pub raft: Raft<T, StateMachine<T>>,
    pub peers: Arc<dyn Peers>,
    pub heard: Arc<Heard<T>>,
    pub gate: Arc<Gate>,
    /// A member that has not answered for this long counts as silent.
    pub silent_for_max: Duration,
    /// The node whose stream of appends to this node has ended last; 0 before the first one.
    pub appends_ended: watch::Sender<u64>,
}

impl<T: Types> Neighbours<T> {
    /// Whether this node leads, as far as it knows: it was elected, and a majority answers.
    pub(crate) fn is_leader(&self) -> bool {
        self.raft.is_leader() && !self.gate.has_lost_leader()
    }

    /// Whether the cluster has more than one voter.
    pub(crate) fn has_several_voters(&self) -> bool {
        self.raft.voter_ids().nth(1).is_some()
    }

    /// The newest membership of this node's log, committed or not: the index of its entry, and the members.
    pub(crate) fn membership(&self) -> (u64, Vec<(u64, NodeInfo)>) {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let stored = &metrics.membership_config;
        let index = stored.log_id().as_ref().map_or(0, |id| id.index);
        let nodes = stored.membership().nodes();
        (index, nodes.map(|(id, node)| (*id, node.clone())).collect())
    }

    /// The leader, unless it is this node or unknown.
    pub(crate) fn leader(&self) -> Option<Peer> {
        if self.gate.has_lost_leader() {
            return None;
        }
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let id = metrics.current_leader.filter(|id| *id != metrics.id)?;
        let node = metrics.membership_config.membership().get_node(&id)?;
        Some(Peer {
            id,
            node: node.clone(),
        })
    }

    /// The members that have answered this leader lately, and this node.
    pub(crate) fn answering(&self, metrics: &RaftMetrics<T>) -> BTreeSet<u64> {
        let others = metrics.heartbeat.iter().flatten().map(|(id, _)| *id);
        let recent = others.filter(|id| self.heard.has_answered(metrics, *id, self.silent_for_max));
        recent.chain([metrics.id]).collect()
    }

    /// All other members.
    pub(crate) fn others(&self) -> Vec<Peer> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let nodes = metrics.membership_config.membership().nodes();
        nodes
            .filter(|(id, _)| **id != metrics.id)
            .map(|(id, node)| Peer {
                id: *id,
                node: node.clone(),
            })
            .collect()
    }
}
