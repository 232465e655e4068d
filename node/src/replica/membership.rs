//! Who belongs to the cluster: adding, promoting and removing nodes, handing over the leadership.
//!
//! The leader makes a change; any other node passes it on. Before the leader begins, it asks
//! who answers and refuses what would leave a membership whose majority it
//! cannot reach: such a change would commit and then stop the cluster. A leader that is to be
//! removed hands over first, so that the change is made by a node that stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use rstmdb_raft_store::NodeInfo;

use super::change::{Change, ChangeError};
use super::handle::Replica;
use super::peers::{Peer, PeerError};
use super::types::Types;

/// A learner that lacks more entries than this is not promoted: as a voter it would be missed until
/// it has them.
const PROMOTE_LAG_MAX: u64 = 1_000;
/// How long a change may take in all, with every change of the leader on the way.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a change that was made may take to reach the node that was asked for it.
const SHOW_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked for.
const SHOW_POLL: Duration = Duration::from_millis(10);
/// The pause before a change is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

impl<T: Types> Replica<T> {
    /// Has the leader make a change, wherever it is.
    ///
    /// # Errors
    ///
    /// The reason why the leader does not make it, or [`ChangeError::Unconfirmed`].
    pub async fn change(&self, change: &Change) -> Result<(), ChangeError> {
        let deadline = T::now() + CHANGE_TIMEOUT;
        let mut leaderless_until = T::now() + self.inner.options.leader_wait;
        let mut last = "the leader changed again and again".to_owned();
        while T::now() < deadline {
            if self.is_leader() || self.leader().is_some() {
                leaderless_until = T::now() + self.inner.options.leader_wait;
            } else if T::now() >= leaderless_until {
                return Err(ChangeError::NoLeader);
            }
            match self.try_change(change).await {
                Ok(Err(ChangeError::NotLeader)) => {}
                Ok(Ok(())) => {
                    self.wait_to_show(change).await;
                    return Ok(());
                }
                Ok(Err(refusal)) => return Err(refusal),
                Err(error) => last = error.to_string(),
            }
            T::sleep(RETRY_PAUSE).await;
        }
        Err(ChangeError::Unconfirmed { reason: last })
    }

    /// Waits until this node knows what the leader has done: whoever asked it will look here next.
    async fn wait_to_show(&self, change: &Change) {
        let deadline = T::now() + SHOW_TIMEOUT;
        while T::now() < deadline {
            let status = self.status();
            let member = |id: &u64| status.members.iter().find(|member| member.node_id == *id);
            let shown = match change {
                Change::AddLearner { node_id, .. } => member(node_id).is_some(),
                Change::Promote { node_id } => member(node_id).is_some_and(|node| node.voter),
                Change::Remove { node_id } => member(node_id).is_none(),
                Change::TransferLeader { to } => {
                    status.leader.is_some() && to.is_none_or(|to| status.leader == Some(to))
                }
            };
            if shown {
                return;
            }
            T::sleep(SHOW_POLL).await;
        }
    }

    async fn try_change(&self, change: &Change) -> Result<Result<(), ChangeError>, PeerError> {
        if self.is_leader() {
            return Ok(self.change_here(change).await);
        }
        match self.leader() {
            Some(leader) => self.inner.peers.change(&leader, change).await,
            None => Ok(Err(ChangeError::NotLeader)),
        }
    }

    /// Makes a change of the membership, if this node leads.
    ///
    /// # Errors
    ///
    /// See [`ChangeError`].
    pub async fn change_here(&self, change: &Change) -> Result<(), ChangeError> {
        if !self.is_leader() {
            return Err(ChangeError::NotLeader);
        }
        tracing::info!(?change, "changing the membership");
        let view = View::of(self).await;
        if !matches!(change, Change::TransferLeader { .. }) {
            // The present members have to agree to every change.
            view.must_have_quorum(&view.voters, "the cluster has")?;
        }
        match change {
            Change::AddLearner { node_id, node } => self.add_learner(&view, *node_id, node).await,
            Change::Promote { node_id } => self.promote(&view, *node_id).await,
            Change::Remove { node_id } => self.remove(&view, *node_id).await,
            Change::TransferLeader { to } => self.transfer_leader(&view, *to).await,
        }
    }

    async fn add_learner(
        &self,
        view: &View<T>,
        node_id: u64,
        node: &NodeInfo,
    ) -> Result<(), ChangeError> {
        let membership = view.metrics.membership_config.membership();
        if let Some(known) = membership.get_node(&node_id) {
            if known == node {
                return Ok(());
            }
            return Err(refused(format!(
                "node {node_id} is a member already, at {known}: a node keeps its id and its \
                 addresses; start the new one under an id that was never used"
            )));
        }
        let same_address = |other: &NodeInfo| other.peer_addr == node.peer_addr;
        if let Some((id, _)) = membership.nodes().find(|(_, other)| same_address(other)) {
            return Err(refused(format!(
                "{} is the address of node {id}, which is a member: remove that one first",
                node.peer_addr
            )));
        }
        let joining = Peer {
            id: node_id,
            node: node.clone(),
        };
        // One that does not answer yet may be taken in all the same.
        if let Ok(report) = self.inner.peers.report(&joining).await
            && let Some(reason) = report.read_only
        {
            return Err(no_room(node_id, &reason));
        }
        let added = self.inner.raft.add_learner(node_id, node.clone(), false);
        added.await.map(drop).map_err(not_changed)
    }

    async fn promote(&self, view: &View<T>, node_id: u64) -> Result<(), ChangeError> {
        view.must_have(node_id)?;
        if view.voters.contains(&node_id) {
            return Ok(());
        }
        let lag = view.lag_of(node_id);
        if lag > PROMOTE_LAG_MAX {
            return Err(ChangeError::Lagging { node_id, lag });
        }
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

    async fn remove(&self, view: &View<T>, node_id: u64) -> Result<(), ChangeError> {
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
            // The one that leads now makes the change.
            return Err(ChangeError::NotLeader);
        }
        self.set_members(ChangeMembers::RemoveVoters([node_id].into()))
            .await
    }

    async fn set_members(&self, members: ChangeMembers<u64, NodeInfo>) -> Result<(), ChangeError> {
        let changed = self.inner.raft.change_membership(members, false);
        match T::timeout(CHANGE_TIMEOUT / 2, changed).await {
            Ok(changed) => changed.map(drop).map_err(not_changed),
            Err(_) => Err(ChangeError::Unconfirmed {
                reason: "a majority has not confirmed it yet".to_owned(),
            }),
        }
    }

    async fn transfer_leader(&self, view: &View<T>, to: Option<u64>) -> Result<(), ChangeError> {
        let me = view.metrics.id;
        let to = match to {
            Some(to) if to == me => return Ok(()),
            Some(to) => view.must_be_able_to_lead(to)?,
            None => view.best_successor()?,
        };
        let mut metrics = self.inner.raft.server_metrics();
        let unconfirmed = |reason: String| ChangeError::Unconfirmed { reason };
        let trigger = self.inner.raft.trigger();
        let asked = trigger.transfer_leader(to).await;
        asked.map_err(|fatal| unconfirmed(fatal.to_string()))?;
        let deadline = T::now() + self.inner.options.election_timeout.1 * 3;
        while metrics
            .borrow_watched()
            .current_leader
            .is_none_or(|id| id == me)
        {
            let changed = T::timeout_at(deadline, metrics.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Err(unconfirmed(format!("node {to} has not taken over in time")));
            }
        }
        Ok(())
    }

    /// Hands the leadership over, if this node has it and another one can take it: what a node does
    /// before it leaves.
    pub async fn hand_over(&self) {
        if !self.is_leader() || self.others().is_empty() {
            return;
        }
        match self.try_hand_over().await {
            Ok(()) => tracing::info!("leadership handed over"),
            Err(error) => tracing::info!(%error, "leadership not handed over"),
        }
    }

    /// Hands the leadership over to whoever is the best to take it.
    pub(crate) async fn try_hand_over(&self) -> Result<(), ChangeError> {
        self.transfer_leader(&View::of(self).await, None).await
    }
}

/// How the leader sees its cluster.
struct View<T: Types> {
    metrics: RaftMetrics<T>,
    voters: BTreeSet<u64>,
    /// The members that answer now, the leader among them.
    alive: BTreeSet<u64>,
    /// Those of them whose disks have no room, and why.
    full: BTreeMap<u64, String>,
}

impl<T: Types> View<T> {
    /// Asks everybody: who answered a moment ago may be down by now.
    async fn of(replica: &Replica<T>) -> Self {
        let reports = replica.member_reports().await;
        let answered = reports.iter().filter(|member| member.report.is_some());
        let alive = answered.map(|member| member.member.node_id).collect();
        let full = reports.iter().filter_map(|member| {
            let reason = member.report.as_ref()?.read_only.clone()?;
            Some((member.member.node_id, reason))
        });
        let metrics = replica.inner.raft.metrics().borrow_watched().clone();
        let voters = metrics.membership_config.membership().voter_ids();
        Self {
            voters: voters.collect(),
            alive,
            full: full.collect(),
            metrics,
        }
    }

    fn must_have(&self, node_id: u64) -> Result<(), ChangeError> {
        let membership = self.metrics.membership_config.membership();
        match membership.get_node(&node_id) {
            Some(_) => Ok(()),
            None => Err(ChangeError::UnknownNode { node_id }),
        }
    }

    /// Refuses when no majority of these voters answers, or has room for what it confirms.
    fn must_have_quorum(&self, voters: &BTreeSet<u64>, what: &str) -> Result<(), ChangeError> {
        let able = voters.intersection(&self.alive);
        let able = able.filter(|id| !self.full.contains_key(id)).count();
        let needed = voters.len() / 2 + 1;
        if able >= needed {
            return Ok(());
        }
        let silent: Vec<u64> = voters.difference(&self.alive).copied().collect();
        let full = voters.iter().filter(|id| self.full.contains_key(id));
        let full: Vec<u64> = full.copied().collect();
        let without_room = match full.is_empty() {
            true => String::new(),
            false => format!(", without room on the disk: {full:?}"),
        };
        Err(refused(format!(
            "{what} {} voters, of which {needed} are needed and only {able} answer \
             (silent: {silent:?}{without_room}): bring those back or remove them first",
            voters.len()
        )))
    }

    fn must_have_room(&self, node_id: u64) -> Result<(), ChangeError> {
        match self.full.get(&node_id) {
            Some(reason) => Err(no_room(node_id, reason)),
            None => Ok(()),
        }
    }

    fn must_be_able_to_lead(&self, node_id: u64) -> Result<u64, ChangeError> {
        self.must_have(node_id)?;
        if !self.voters.contains(&node_id) {
            return Err(refused(format!(
                "node {node_id} is a learner: promote it first"
            )));
        }
        if !self.alive.contains(&node_id) {
            return Err(refused(format!("node {node_id} does not answer")));
        }
        self.must_have_room(node_id)?;
        let lag = self.lag_of(node_id);
        if lag > PROMOTE_LAG_MAX {
            return Err(ChangeError::Lagging { node_id, lag });
        }
        Ok(node_id)
    }

    fn best_successor(&self) -> Result<u64, ChangeError> {
        let able = self.voters.intersection(&self.alive);
        able.copied()
            .filter(|id| *id != self.metrics.id && !self.full.contains_key(id))
            .min_by_key(|id| self.lag_of(*id))
            .ok_or_else(|| {
                refused("no other voter that answers has room, so none can take over".to_owned())
            })
    }

    /// How many entries of the leader's log a node lacks.
    fn lag_of(&self, node_id: u64) -> u64 {
        let replication = self.metrics.replication.as_ref();
        let matched = replication
            .and_then(|all| all.get(&node_id))
            .and_then(Option::as_ref)
            .map_or(0, |id| id.index);
        let last = self.metrics.last_log_index.unwrap_or(0);
        last.saturating_sub(matched)
    }
}

fn no_room(node_id: u64, reason: &str) -> ChangeError {
    refused(format!("node {node_id} has no room: {reason}"))
}

fn refused(reason: String) -> ChangeError {
    ChangeError::Refused { reason }
}

fn not_changed<T: Types>(error: RaftError<T, ClientWriteError<T>>) -> ChangeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => ChangeError::NotLeader,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_),
        )) => refused("another change is under way: ask again in a moment".to_owned()),
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            refused(error.to_string())
        }
        RaftError::APIError(ClientWriteError::PreconditionFailed(error)) => {
            refused(error.to_string())
        }
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) | RaftError::Fatal(_) => {
            ChangeError::Unconfirmed {
                reason: error.to_string(),
            }
        }
    }
}
