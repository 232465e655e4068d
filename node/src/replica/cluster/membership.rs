//! Who belongs to the cluster: adding, promoting and removing nodes, handing over the leadership.
//!
//! The leader makes a change; any other node passes the request on to it. Before the leader begins, it asks which
//! members answer. It refuses a change that would leave a membership whose majority it cannot reach: such a change
//! would commit and then stop the cluster. A leader that is to be removed hands over first, so that a node that stays
//! makes the change.

mod moving;
mod outcome;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use rstmdb_raft_store::NodeInfo;
use tokio::sync::{Mutex, MutexGuard};

use super::removal;
use super::status::ClusterStanding;
use crate::replica::parts::options::Options;
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::peers::calls::{Peer, PeerError};
use crate::replica::peers::change::{ChangeError, LeaderChange};
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;
use crate::replica::write::submit::Inbox;
pub(super) use outcome::under_way;
use outcome::{another_history, confirmed, no_room, refused};
use view::LeaderView;

/// Time limit of a change, including every change of the leader on the way.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the node that was asked for a change waits until it knows the change that the leader made.
const SHOW_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between checks for that change.
const SHOW_POLL: Duration = Duration::from_millis(10);
/// Interval between checks whether the next leader is still running: all nodes may be stopping.
const SUCCESSOR_INTERVAL: Duration = Duration::from_millis(200);
/// Pause before a change is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Changes the members, and the leader.
pub(crate) struct MembershipChanges<T: Types> {
    pub standing: Arc<ClusterStanding<T>>,
    pub neighbours: Arc<Neighbours<T>>,
    pub options: Arc<Options>,
    pub tuned: Arc<Tuned>,
    /// Held while this node, as the leader, changes the members.
    pub changing: Mutex<()>,
    /// Takes the command that raises the feature level.
    pub inbox: Inbox<T>,
}

impl<T: Types> MembershipChanges<T> {
    /// Has the leader make a change, wherever it is.
    ///
    /// # Errors
    ///
    /// The reason why the leader does not make it, or [`ChangeError::Unconfirmed`].
    pub(crate) async fn change(&self, change: &LeaderChange) -> Result<(), ChangeError> {
        let deadline = T::now() + CHANGE_TIMEOUT;
        let mut leaderless_until = T::now() + self.tuned.now().leader_wait;
        let mut last = "the leader changed again and again".to_owned();
        // A node that was a member and is none now has been removed: by an earlier attempt whose answer was lost, or by
        // a leader that finished what another leader had begun.
        let me = self.options.node_id;
        let removes_a_member = match change {
            LeaderChange::Remove { node_id } => *node_id == me || self.knows(*node_id),
            _ => false,
        };
        while T::now() < deadline {
            if let Some(removal) = self.neighbours.gate.removed() {
                return removal::outcome(me, change, removal);
            }
            if self.neighbours.is_leader() || self.neighbours.leader().is_some() {
                leaderless_until = T::now() + self.tuned.now().leader_wait;
            } else if T::now() >= leaderless_until {
                let removed = removal::ask(&self.standing).await;
                let removed = removed.map(|removal| removal::outcome(me, change, removal));
                return removed.unwrap_or(Err(ChangeError::NoLeader));
            }
            match self.try_change(change).await {
                Ok(Err(ChangeError::NotLeader)) => {}
                Ok(Ok(())) => {
                    self.wait_to_show(change).await;
                    return Ok(());
                }
                Ok(Err(ChangeError::UnknownNode { .. })) if removes_a_member => return Ok(()),
                Ok(Err(refusal)) => return Err(refusal),
                Err(error) => {
                    if matches!(error, PeerError::NotMember { .. })
                        && let Some(removal) = removal::ask(&self.standing).await
                    {
                        return removal::outcome(me, change, removal);
                    }
                    last = error.to_string();
                }
            }
            T::sleep(RETRY_PAUSE).await;
        }
        Err(ChangeError::Unconfirmed { reason: last })
    }

    fn knows(&self, node_id: u64) -> bool {
        let members = self.standing.status().members;
        members.iter().any(|member| member.node_id == node_id)
    }

    fn is_at(&self, node_id: u64, node: &NodeInfo) -> bool {
        let membership = self.neighbours.raft.metrics();
        let membership = membership.borrow_watched();
        let membership = membership.membership_config.membership();
        membership.get_node(&node_id) == Some(node)
    }

    /// Waits until this node knows what the leader has done: the client that asked for the change will look here next.
    async fn wait_to_show(&self, change: &LeaderChange) {
        let deadline = T::now() + SHOW_TIMEOUT;
        while T::now() < deadline {
            let shown = match change {
                LeaderChange::AddLearner { node_id, .. } => self.knows(*node_id),
                LeaderChange::Promote { node_id } => {
                    self.neighbours.raft.voter_ids().any(|id| id == *node_id)
                }
                // A node gets no message about its own removal.
                LeaderChange::Remove { node_id } => {
                    *node_id == self.options.node_id || !self.knows(*node_id)
                }
                LeaderChange::SetAddress { node_id, node, .. } => self.is_at(*node_id, node),
                // The client that asked reads the level behind a barrier.
                LeaderChange::RaiseLevel => true,
                LeaderChange::TransferLeader { to } => {
                    let leader = self.standing.status().leader;
                    leader.is_some() && to.is_none_or(|to| leader == Some(to))
                }
            };
            if shown {
                return;
            }
            T::sleep(SHOW_POLL).await;
        }
    }

    async fn try_change(
        &self,
        change: &LeaderChange,
    ) -> Result<Result<(), ChangeError>, PeerError> {
        if self.neighbours.is_leader() {
            return Ok(self.change_here(change).await);
        }
        let Some(leader) = self.neighbours.leader() else {
            return Ok(Err(ChangeError::NotLeader));
        };
        if *change == LeaderChange::RaiseLevel
            && let Err(held_back) = self.must_know_levels(&leader).await?
        {
            return Ok(Err(held_back));
        }
        self.neighbours.peers.change(&leader, change).await
    }

    /// Makes a change of the membership, if this node leads.
    ///
    /// # Errors
    ///
    /// See [`ChangeError`].
    pub(crate) async fn change_here(&self, change: &LeaderChange) -> Result<(), ChangeError> {
        if !self.neighbours.is_leader() {
            return Err(ChangeError::NotLeader);
        }
        tracing::info!(?change, "changing the membership");
        match change {
            LeaderChange::AddLearner { node_id, node } => {
                let (view, _turn) = self.begin().await?;
                self.add_learner(&view, *node_id, node).await
            }
            LeaderChange::Promote { node_id } => {
                let (view, _turn) = self.begin().await?;
                self.promote(&view, *node_id).await
            }
            LeaderChange::Remove { node_id } => {
                let (view, _turn) = self.begin().await?;
                self.remove(&view, *node_id).await
            }
            LeaderChange::SetAddress {
                node_id,
                node,
                by_itself,
            } => {
                let (view, _turn) = self.begin().await?;
                self.set_address(&view, *node_id, node, *by_itself).await
            }
            LeaderChange::RaiseLevel => self.raise_level().await,
            LeaderChange::TransferLeader { to } => {
                self.transfer_leader(&LeaderView::of(&self.standing).await, *to)
                    .await
            }
        }
    }

    /// Takes the right to change the members, and gets a view of the cluster. While another change is running, it
    /// refuses this one and does not wait. It also finishes a change that is half done: a leader that failed may have left a
    /// joint configuration, in which two majorities have to agree to everything.
    async fn begin(&self) -> Result<(LeaderView<T>, MutexGuard<'_, ()>), ChangeError> {
        let changing = self.changing.try_lock();
        let turn = changing.map_err(|_| under_way())?;
        let view = LeaderView::of(&self.standing).await;
        // The present members have to agree to every change.
        view.must_have_quorum(&view.voters, "the cluster has")?;
        let membership = view.metrics.membership_config.membership();
        let me = view.metrics.id;
        let [.., next] = membership.get_joint_config().as_slice() else {
            return Ok((view, turn));
        };
        if !next.contains(&me) {
            // A leader that stays ends the change. openraft lets one that was removed lead on for a moment,
            // and does not expect it to make another change then.
            if view.voters.contains(&me) {
                self.transfer_leader(&view, None).await?;
            }
            return Err(ChangeError::NotLeader);
        }
        if membership.get_joint_config().len() == 1 {
            return Ok((view, turn));
        }
        tracing::info!(
            ?next,
            "finishing a change of the membership that a leader left half done"
        );
        view.must_have_quorum(next, "the change that was begun would leave")?;
        self.set_members(ChangeMembers::AddVoterIds(BTreeSet::new()))
            .await?;
        Ok((LeaderView::of(&self.standing).await, turn))
    }

    async fn add_learner(
        &self,
        view: &LeaderView<T>,
        node_id: u64,
        node: &NodeInfo,
    ) -> Result<(), ChangeError> {
        let membership = view.metrics.membership_config.membership();
        if let Some(known) = membership.get_node(&node_id) {
            if known == node {
                return Ok(());
            }
            return Err(refused(format!(
                "node {node_id} is a member already, at {known}: to move \
                 it, use `rstmdb-cli cluster set-address`; start another one under an id that was never used"
            )));
        }
        let same_address = |other: &NodeInfo| other.peer_addr == node.peer_addr;
        if let Some((id, _)) = membership.nodes().find(|(_, other)| same_address(other)) {
            return Err(refused(format!(
                "{} is the address of node {id}, which is a member: remove that node first",
                node.peer_addr
            )));
        }
        let joining = Peer {
            id: node_id,
            node: node.clone(),
        };
        // A node that does not answer yet may still be added.
        match self.neighbours.peers.report(&joining).await {
            Ok(report) => {
                self.must_understand(self.standing.log_end(), node_id, report.understands)
                    .await?;
                if let Some(why) = report.contradicts(&self.standing.report()) {
                    return Err(another_history(node_id, &why));
                }
                if let Some(reason) = report.read_only {
                    return Err(no_room(node_id, &reason));
                }
            }
            // It belongs to another cluster, or is too old, or another node is at its address.
            Err(PeerError::Refused(reason) | PeerError::NotMember { reason, .. }) => {
                return Err(refused(reason));
            }
            Err(_) => {}
        }
        let added = self
            .neighbours
            .raft
            .add_learner(node_id, node.clone(), false);
        confirmed::<T, _>(added).await
    }

    async fn promote(&self, view: &LeaderView<T>, node_id: u64) -> Result<(), ChangeError> {
        view.must_have(node_id)?;
        if view.voters.contains(&node_id) {
            return Ok(());
        }
        view.must_have_caught_up(node_id)?;
        view.must_have_room(node_id)?;
        let mut voters = view.voters.clone();
        voters.insert(node_id);
        view.must_have_quorum(
            &voters,
            &format!("giving node {node_id} a vote would leave"),
        )?;
        self.set_members(ChangeMembers::AddVoterIds([node_id].into()))
            .await
    }

    async fn remove(&self, view: &LeaderView<T>, node_id: u64) -> Result<(), ChangeError> {
        view.must_have(node_id)?;
        if !view.voters.contains(&node_id) {
            return self
                .set_members(ChangeMembers::RemoveNodes([node_id].into()))
                .await;
        }
        let mut voters = view.voters.clone();
        voters.remove(&node_id);
        if voters.is_empty() {
            return Err(refused(format!(
                "node {node_id} is the only voter: without it there is no cluster"
            )));
        }
        view.must_have_quorum(&voters, &format!("removing node {node_id} would leave"))?;
        if node_id == view.metrics.id {
            self.transfer_leader(view, None).await?;
            // The new leader makes the change.
            return Err(ChangeError::NotLeader);
        }
        self.set_members(ChangeMembers::RemoveVoters([node_id].into()))
            .await
    }

    async fn set_members(&self, members: ChangeMembers<u64, NodeInfo>) -> Result<(), ChangeError> {
        let changed = self.neighbours.raft.change_membership(members, false);
        confirmed::<T, _>(changed).await
    }

    async fn transfer_leader(
        &self,
        view: &LeaderView<T>,
        to: Option<u64>,
    ) -> Result<(), ChangeError> {
        let me = view.metrics.id;
        let to = match to {
            Some(to) if to == me => return Ok(()),
            Some(to) => view.must_be_able_to_lead(to)?,
            None => view.best_successor()?,
        };
        let mut metrics = self.neighbours.raft.server_metrics();
        let unconfirmed = |reason: String| ChangeError::Unconfirmed { reason };
        let trigger = self.neighbours.raft.trigger();
        let asked = trigger.transfer_leader(to).await;
        asked.map_err(|fatal| unconfirmed(fatal.to_string()))?;
        let deadline = T::now() + self.options.election_timeout.1 * 3;
        while metrics
            .borrow_watched()
            .current_leader
            .is_none_or(|id| id == me)
        {
            let look_at = deadline.min(T::now() + SUCCESSOR_INTERVAL);
            match T::timeout_at(look_at, metrics.changed()).await {
                Ok(Ok(())) => {}
                Err(_) if T::now() < deadline && !self.is_gone(to).await => {}
                _ => return Err(unconfirmed(format!("node {to} has not taken over in time"))),
            }
        }
        Ok(())
    }

    /// Whether another node answers that it is stopping, or cannot be reached. A slow node counts as running, because
    /// it may still answer.
    async fn is_gone(&self, id: u64) -> bool {
        let others = self.neighbours.others();
        let Some(peer) = others.iter().find(|peer| peer.id == id) else {
            return true;
        };
        let report = self.neighbours.peers.report(peer);
        matches!(T::timeout(SUCCESSOR_INTERVAL, report).await, Ok(Err(_)))
    }

    /// Hands the leadership over, if this node leads and another node can take it. A node does this before it leaves.
    pub(crate) async fn hand_over(&self) {
        if !self.neighbours.is_leader() || self.neighbours.others().is_empty() {
            return;
        }
        match self.try_hand_over().await {
            Ok(()) => tracing::info!("leadership handed over"),
            Err(error) => tracing::info!(%error, "leadership not handed over"),
        }
    }

    /// Hands the leadership over to the member that can take it best.
    pub(crate) async fn try_hand_over(&self) -> Result<(), ChangeError> {
        self.transfer_leader(&LeaderView::of(&self.standing).await, None)
            .await
    }
}
