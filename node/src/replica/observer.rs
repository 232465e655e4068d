//! Says in the log what changes in the cluster: who leads, who answers, who belongs to it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use tokio::sync::Notify;

use super::background::next_look;
use super::handle::{Inner, Replica};
use super::types::Types;

/// How often it is looked whether something has changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A node asks around after so many looks without a leader, and again each time.
const ASK_AROUND_LOOKS: u32 = 6;

/// What was seen last.
#[derive(Default)]
struct Seen {
    /// Term and leader.
    leadership: Option<(u64, Option<u64>)>,
    members: BTreeSet<u64>,
    /// On the leader: the members that do not answer.
    silent: BTreeSet<u64>,
    /// Looks since the leader was lost.
    leaderless: u32,
    removed: bool,
}

/// Looks until the replica is dropped or `stop` is notified.
pub(crate) async fn run<T: Types>(replica: Weak<Inner<T>>, stop: Arc<Notify>) {
    let mut seen = Seen::default();
    while let Some(replica) = next_look(&replica, &stop, LOOK_INTERVAL).await {
        seen.look_for_leader(&replica).await;
        seen.look(&replica);
    }
}

impl Seen {
    /// Notices that the leader is silent (openraft goes on naming it until there is another one), and
    /// asks around for the reason when that lasts.
    async fn look_for_leader<T: Types>(&mut self, replica: &Replica<T>) {
        let silent_for_max = replica.inner.options.election_timeout.1 * 2;
        let heard = if replica.inner.raft.is_leader() {
            let acked = replica
                .inner
                .raft
                .metrics()
                .borrow_watched()
                .last_quorum_acked;
            acked.map(|at| *at)
        } else {
            let asked = replica
                .inner
                .raft
                .with_raft_state(|state| state.vote_last_modified());
            asked.await.ok().flatten()
        };
        let alone = replica.others().is_empty();
        let lost = !alone && heard.is_none_or(|at| T::now() > at + silent_for_max);
        replica.inner.gate.set_lost_leader(lost);
        self.leaderless = if lost { self.leaderless + 1 } else { 0 };
        if self.leaderless % ASK_AROUND_LOOKS == ASK_AROUND_LOOKS - 1 || self.removed {
            self.ask_around(replica).await;
        }
    }

    /// A node that was removed while it was away, or at that very moment, is told by nobody.
    async fn ask_around<T: Types>(&mut self, replica: &Replica<T>) {
        let me = replica.inner.options.node_id;
        let end = replica.log_end();
        let reports = replica.member_reports().await;
        let others = reports
            .iter()
            .filter(|other| other.member.node_id != me)
            .filter_map(|other| other.report.as_ref());
        let newer: Vec<_> = others.filter(|report| report.commit_index >= end).collect();
        let removed = !newer.is_empty() && newer.iter().all(|report| !report.members.contains(&me));
        if removed && !self.removed {
            tracing::warn!("this node was removed from the cluster and can be stopped");
        }
        self.removed = removed;
        replica.inner.gate.set_removed(removed);
        if removed {
            replica.inner.hub.rouse();
        }
    }

    fn look<T: Types>(&mut self, replica: &Replica<T>) {
        let metrics = replica.inner.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let leadership = (metrics.current_term, replica.status().leader);
        if self.leadership != Some(leadership) {
            if self.leadership.replace(leadership).is_some() {
                replica.inner.counters.leader_changes.add(1);
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
        let answering = replica.answering(&metrics);
        let silent = match metrics.heartbeat {
            Some(_) => self.members.difference(&answering).copied().collect(),
            None => BTreeSet::new(),
        };
        for node_id in silent.difference(&self.silent) {
            tracing::warn!(node_id, "a member of the cluster does not answer");
        }
        // Only a leader hears whether it does.
        let heard = self.silent.intersection(&self.members);
        for node_id in heard.filter(|id| metrics.heartbeat.is_some() && !silent.contains(id)) {
            tracing::info!(node_id, "a member of the cluster answers again");
        }
        self.silent = silent;
    }
}
