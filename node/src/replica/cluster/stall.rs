//! Reports that a leader's entries are not acknowledged, and lets another node lead.
//!
//! Heartbeats are small and take another connection than entries. So a leader may look healthy although no entry that
//! it appends is acknowledged. This counts as a stall once it has lasted for the stall timeout. A voter that still
//! receives bytes is slow, not stalled. A leader that no majority answers is another case: it has lost its quorum (see
//! `quorum`).
//!
//! A hand-over helps if the path from this leader is bad and the path from another node is good. Otherwise the
//! leadership would go around in circles. So no node hands over shortly after a change of the leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;

use crate::replica::parts::counters::Counters;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;

/// Checks in one stall timeout.
const LOOKS: u32 = 8;
/// The least time between two checks.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// After a change of the leader no node hands over for this many stall timeouts.
const QUIET_TIMES: u32 = 10;

/// The replication that may stall, and its counters.
pub(crate) struct Replication<T: Types> {
    pub neighbours: Arc<Neighbours<T>>,
    pub counters: Arc<Counters>,
    pub stall_timeout: Duration,
    pub election_timeout_max: Duration,
}

/// Checks again and again until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<Replication<T>>) {
    let Some(timeout) = pace.parts().map(|parts| parts.stall_timeout) else {
        return;
    };
    let pause = (timeout / LOOKS).max(LOOK_INTERVAL_MIN);
    let mut seen = StallWatch::<T>::new(timeout);
    while let Some(replication) = pace.next::<T>(pause).await {
        seen.look(&replication).await;
    }
}

/// How far a voter's log was when it last grew.
struct VoterStanding<T: Types> {
    matched: u64,
    since: InstantOf<T>,
}

struct StallWatch<T: Types> {
    timeout: Duration,
    voters: BTreeMap<u64, VoterStanding<T>>,
    committed: Option<u64>,
    /// Since when the commit index has not moved although there was something to commit.
    waiting_since: InstantOf<T>,
    stalled: bool,
    leader: Option<u64>,
    /// Until when no node hands over.
    quiet_until: Option<InstantOf<T>>,
}

impl<T: Types> StallWatch<T> {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            voters: BTreeMap::new(),
            committed: None,
            waiting_since: T::now(),
            stalled: false,
            leader: None,
            quiet_until: None,
        }
    }

    async fn look(&mut self, replication: &Replication<T>) {
        let metrics = replication
            .neighbours
            .raft
            .metrics()
            .borrow_watched()
            .clone();
        self.notice_leader(metrics.current_leader);
        let committed = metrics.local_committed.as_ref().map(|id| id.index);
        let waits = metrics.state == ServerState::Leader && committed < metrics.last_log_index;
        if !waits || committed != self.committed {
            self.committed = committed;
            self.waiting_since = T::now();
            self.ended(replication);
        }
        if !waits {
            self.voters.clear();
            return;
        }
        self.notice_progress(replication, &metrics);
        let stuck = self.stuck(replication, &metrics);
        if stuck.is_empty() || T::now() < self.waiting_since + self.timeout {
            return;
        }
        self.begun(replication, &stuck);
        if self.quiet_until.is_none_or(|until| T::now() >= until) {
            self.quiet_until = Some(T::now() + self.timeout * QUIET_TIMES);
            let_another_lead(replication, &metrics, &stuck).await;
        }
    }

    fn notice_leader(&mut self, leader: Option<u64>) {
        if leader.is_none() || leader == self.leader {
            return;
        }
        if self.leader.is_some() {
            self.quiet_until = Some(T::now() + self.timeout * QUIET_TIMES);
        }
        self.leader = leader;
    }

    fn notice_progress(&mut self, replication: &Replication<T>, metrics: &RaftMetrics<T>) {
        let nodes = metrics.replication.iter().flatten().map(|(id, _)| *id);
        replication.neighbours.heard.look(nodes);
        for (id, matched) in metrics.replication.iter().flatten() {
            let matched = matched.as_ref().map_or(0, |id| id.index);
            let standing = self.voters.get(id);
            if standing.is_none_or(|standing| standing.matched != matched) {
                let since = T::now();
                self.voters.insert(*id, VoterStanding { matched, since });
            }
        }
    }

    /// The voters that answer heartbeats and take no entries, if the other voters are no majority. Empty if there is no
    /// stall.
    fn stuck(&self, replication: &Replication<T>, metrics: &RaftMetrics<T>) -> BTreeSet<u64> {
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let answering: BTreeSet<u64> = replication.neighbours.answering(metrics);
        let answering: BTreeSet<u64> = answering.intersection(&voters).copied().collect();
        let quorum = voters.len() / 2 + 1;
        let last = metrics.last_log_index.unwrap_or(0);
        let is_late = |since: InstantOf<T>| T::now() >= since + self.timeout;
        let is_stuck = |id: &u64| {
            let standing = self.voters.get(id);
            let took_at = replication.neighbours.heard.took_at(*id);
            *id != metrics.id
                && standing.is_some_and(|it| it.matched < last && is_late(it.since))
                && took_at.is_none_or(is_late)
        };
        let stuck: BTreeSet<u64> = answering.iter().copied().filter(is_stuck).collect();
        let moving = answering.len() - stuck.len();
        if answering.len() >= quorum && moving < quorum {
            stuck
        } else {
            BTreeSet::new()
        }
    }

    fn begun(&mut self, replication: &Replication<T>, stuck: &BTreeSet<u64>) {
        if std::mem::replace(&mut self.stalled, true) {
            return;
        }
        let counters = &replication.counters;
        counters.replication_stalls.add(1);
        counters.replication_stalled.set(1);
        let others = replication.neighbours.others().into_iter();
        let peers: Vec<String> = others
            .filter(|peer| stuck.contains(&peer.id))
            .map(|peer| peer.to_string())
            .collect();
        let index = self.committed.map_or(0, |index| index + 1);
        tracing::warn!(
            index,
            ?peers,
            "a majority does not acknowledge the entries from this index on: these nodes answer heartbeats and take \
             no entries; check the network links to them and their disks"
        );
    }

    fn ended(&mut self, replication: &Replication<T>) {
        if std::mem::replace(&mut self.stalled, false) {
            replication.counters.replication_stalled.set(0);
            tracing::info!("a majority acknowledges entries again, or this node no longer leads");
        }
    }
}

/// Hands over to a voter that has everything, or stops its heartbeats so that the others elect one of them.
async fn let_another_lead<T: Types>(
    replication: &Replication<T>,
    metrics: &RaftMetrics<T>,
    stuck: &BTreeSet<u64>,
) {
    let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
    let last = metrics.last_log_index;
    let mut standing = metrics.replication.iter().flatten();
    let successor = standing.find(|(id, matched)| {
        let has_all = matched.as_ref().map(|id| id.index) >= last;
        **id != metrics.id && voters.contains(id) && !stuck.contains(id) && has_all
    });
    let raft = &replication.neighbours.raft;
    if let Some((to, _)) = successor {
        tracing::warn!(
            to,
            "this leader hands the leadership over, because its entries do not reach a majority"
        );
        // Without an answer the Raft core has stopped; another task then ends the node.
        let _ = raft.trigger().transfer_leader(*to).await;
        return;
    }
    tracing::warn!(
        "this leader stops its heartbeats for a while, so that another node is elected: its entries do not reach a \
         majority"
    );
    let _silence = Silence::begin(&replication.neighbours);
    let mut server = raft.server_metrics();
    let deadline = T::now() + replication.election_timeout_max * 3;
    while server.borrow_watched().current_leader == Some(metrics.id) {
        let changed = T::timeout_at(deadline, server.changed()).await;
        if !matches!(changed, Ok(Ok(()))) {
            break;
        }
    }
}

/// While this value lives, the leader sends neither heartbeats nor the messages that take their place.
struct Silence<'a, T: Types>(&'a Neighbours<T>);

impl<'a, T: Types> Silence<'a, T> {
    fn begin(neighbours: &'a Neighbours<T>) -> Self {
        neighbours.gate.set_silent(true);
        neighbours.raft.runtime_config().heartbeat(false);
        Self(neighbours)
    }
}

impl<T: Types> Drop for Silence<'_, T> {
    fn drop(&mut self) {
        self.0.raft.runtime_config().heartbeat(true);
        self.0.gate.set_silent(false);
    }
}
