//! Logs what changes in the cluster: which node leads, which members answer, which nodes are members.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;

use super::removal;
use super::status::ClusterStanding;
use crate::replica::error::Removal;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::pace::TaskPace;
use crate::replica::types::Types;
use crate::replica::watch::hub::Hub;

/// Interval between checks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A node without a leader asks the other nodes for the reason whenever it has made this many checks.
const ASK_AROUND_LOOKS: u32 = 6;

/// What the last check has seen.
#[derive(Default)]
struct LastCheck {
    /// Term and leader.
    leadership: Option<(u64, Option<u64>)>,
    members: BTreeSet<u64>,
    /// On the leader: the members that do not answer.
    silent: BTreeSet<u64>,
    /// Checks since the leader was lost.
    leaderless: u32,
    removed: Option<Removal>,
}

/// What the observer checks, and what it informs besides the log.
pub(crate) struct ObserverParts<T: Types> {
    pub standing: Arc<ClusterStanding<T>>,
    pub hub: Arc<Hub>,
    pub counters: Arc<Counters>,
}

/// Checks again and again until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<ObserverParts<T>>) {
    let mut seen = LastCheck::default();
    while let Some(observed) = pace.next::<T>(LOOK_INTERVAL).await {
        seen.look_for_leader(&observed).await;
        seen.look(&observed);
    }
}

impl LastCheck {
    /// Notices that the leader is silent (openraft still names it until another node leads), and asks the other nodes
    /// for the reason when the silence lasts.
    async fn look_for_leader<T: Types>(&mut self, observed: &ObserverParts<T>) {
        let neighbours = &observed.standing.neighbours;
        let silent_for_max = neighbours.silent_for_max;
        let raft = &neighbours.raft;
        let is_heard = if raft.is_leader() {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            neighbours.heard.has_majority(&metrics, silent_for_max)
        } else {
            let asked = raft.with_raft_state(|state| state.vote_last_modified());
            let heard = asked.await.ok().flatten();
            heard.is_some_and(|at| T::now() <= at + silent_for_max)
        };
        let alone = neighbours.others().is_empty();
        let lost = !alone && !is_heard;
        neighbours.gate.set_lost_leader(lost);
        self.leaderless = if lost { self.leaderless + 1 } else { 0 };
        let is_back = self.removed.is_some() && !lost;
        if self.leaderless % ASK_AROUND_LOOKS == ASK_AROUND_LOOKS - 1 || is_back {
            self.ask_around(observed).await;
        }
    }

    /// Asks the other nodes whether this node was removed.
    async fn ask_around<T: Types>(&mut self, observed: &ObserverParts<T>) {
        let standing = &observed.standing;
        let removed = removal::ask(standing).await;
        match removed {
            Some(Removal { by, membership }) if self.removed.is_none() => tracing::warn!(
                by,
                membership,
                "this node was removed from the cluster: the node `by` says that the membership at the log index \
                 `membership` does not have it. Stop this node. To use its machine again, empty its data folder \
                 (`rstmdb rejoin --data DIR --yes`) and start it with a new cluster.node_id and cluster.join"
            ),
            None if self.removed.is_some() => {
                tracing::info!("this node is a member of the cluster again");
            }
            _ => {}
        }
        self.removed = removed;
        standing.neighbours.gate.set_removed(removed);
        if removed.is_some() {
            observed.hub.rouse();
        }
    }

    fn look<T: Types>(&mut self, observed: &ObserverParts<T>) {
        let standing = &observed.standing;
        let metrics = standing.neighbours.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let leadership = (metrics.current_term, standing.status().leader);
        if self.leadership != Some(leadership) {
            if self.leadership.replace(leadership).is_some() {
                observed.counters.leader_changes.add(1);
            }
            let (term, leader) = leadership;
            match leader {
                Some(leader) => tracing::info!(term, leader, "the cluster has a leader"),
                None => tracing::warn!(term, "the cluster has no leader"),
            }
        }
        let membership = metrics.membership_config.membership();
        let members: BTreeSet<u64> = membership.nodes().map(|(id, _)| *id).collect();
        if self.members != members {
            let voters: BTreeSet<u64> = membership.voter_ids().collect();
            tracing::info!(?members, ?voters, "the cluster's members");
            self.members = members;
        }
        let answering = standing.neighbours.answering(&metrics);
        let silent = match metrics.heartbeat {
            Some(_) => self.members.difference(&answering).copied().collect(),
            None => BTreeSet::new(),
        };
        for node_id in silent.difference(&self.silent) {
            tracing::warn!(node_id, "a member of the cluster does not answer");
        }
        // Only a leader knows whether a member answers.
        let heard = self.silent.intersection(&self.members);
        for node_id in heard.filter(|id| metrics.heartbeat.is_some() && !silent.contains(id)) {
            tracing::info!(node_id, "a member of the cluster answers again");
        }
        self.silent = silent;
    }
}
