//! The picture of the node and its cluster that INFO, `/readyz` and the metrics show.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use rstmdb_raft_store::NodeInfo;

use super::handle::Replica;
use super::peers::{Peer, PeerError, Sent};
use super::types::Types;

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides commands.
    Leader,
    /// Has a vote and follows.
    Follower,
    /// Follows without a vote.
    Learner,
    /// Asks to be elected.
    Candidate,
}

impl Role {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Candidate => "candidate",
        }
    }
}

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub node_id: u64,
    /// Where it is reached.
    pub node: NodeInfo,
    /// Whether it has a vote.
    pub voter: bool,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Status {
    /// This node.
    pub node_id: u64,
    /// The cluster's identity, made when it was formed.
    pub cluster_id: String,
    /// This node's part.
    pub role: Role,
    /// The leader, where one is known.
    pub leader: Option<u64>,
    /// The Raft term.
    pub term: u64,
    /// The last offset applied here.
    pub last_applied: u64,
    /// The last offset known here to be committed.
    pub commit_index: u64,
    /// All members.
    pub members: Vec<Member>,
    /// The first offset that WAL_READ and watches can still deliver.
    pub earliest_offset: u64,
    /// The state's digest at `last_applied`.
    pub digest: u128,
    /// Live instances.
    pub instances: u64,
    /// Machine versions.
    pub machines: u64,
    /// Idempotency keys remembered.
    pub idempotency_keys: u64,
    /// What they cost in memory, about.
    pub idempotency_bytes: u64,
    /// The last snapshot's offset, 0 when there is none.
    pub snapshot_offset: u64,
    /// The last offset that Raft has let go: a member whose log ends below it needs a snapshot.
    pub purged_offset: u64,
    /// Files with history that are known to be damaged.
    pub history_damaged: u64,
    /// Why writes are refused, if they are.
    pub read_only: Option<String>,
    /// Whether this node's state is known to be wrong.
    pub diverged: bool,
    /// On the leader: how many other members have answered lately.
    pub connected: u64,
    /// On the leader: how many entries each other member lacks.
    pub lag: Vec<(u64, u64)>,
}

/// A digest of the state at an offset.
pub type DigestAt = (u64, u128);

/// What a node tells the others about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub node_id: u64,
    /// Its part, by its own belief.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// The end of its log.
    pub last_log: u64,
    /// The last offset it knows to be committed.
    pub commit_index: u64,
    /// The last offset it has applied, and the state's digest there.
    pub applied: DigestAt,
    /// Digests at earlier offsets, ascending, for comparison.
    pub checkpoints: Vec<DigestAt>,
    /// The first offset that it can still deliver.
    pub earliest_offset: u64,
    /// Why it takes no entries, if its disk has no room.
    pub read_only: Option<String>,
    /// Whether it knows that its state differs from the others'.
    pub diverged: bool,
    /// The program's version.
    pub version: String,
    /// All members, as it knows them.
    pub members: Vec<u64>,
    /// How long it has been running, in seconds.
    pub uptime_secs: u64,
    /// Its wall clock, Unix milliseconds; none from a node that does not tell.
    pub clock_ms: Option<u64>,
    /// On the leader: the log time up to which, inclusive, all is applied there, Unix milliseconds.
    pub log_ms: Option<u64>,
}

impl<T: Types> Replica<T> {
    /// Whether this node leads, as far as it knows: it was elected, and a majority answers.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.inner.raft.is_leader() && !self.inner.gate.has_lost_leader()
    }

    /// What this node has sent to another one.
    #[must_use]
    pub fn sent(&self, to: u64) -> Sent {
        self.inner.peers.sent(to)
    }

    /// How this node and its cluster stand.
    #[must_use]
    pub fn status(&self) -> Status {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let members = membership
            .nodes()
            .map(|(id, node)| Member {
                node_id: *id,
                node: node.clone(),
                voter: voters.contains(id),
            })
            .collect();
        let state = self.inner.applied.read();
        Status {
            node_id: self.inner.options.node_id,
            cluster_id: self.inner.options.cluster_id.clone(),
            role: match metrics.state {
                // Elected once, but without a majority it decides nothing.
                ServerState::Leader if self.inner.gate.has_lost_leader() => Role::Candidate,
                ServerState::Leader => Role::Leader,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Follower | ServerState::Shutdown => Role::Follower,
            },
            leader: match metrics.state {
                ServerState::Leader => Some(metrics.id),
                _ => metrics.current_leader,
            }
            .filter(|_| !self.inner.gate.has_lost_leader()),
            term: metrics.current_term,
            last_applied: state.last_applied(),
            commit_index: metrics.local_committed.map_or(0, |id| id.index),
            members,
            earliest_offset: self.earliest_offset(),
            digest: state.digest(),
            instances: state.instance_count(),
            machines: state.machine_count(),
            idempotency_keys: state.key_count(),
            idempotency_bytes: state.key_bytes(),
            snapshot_offset: metrics.snapshot.map_or(0, |id| id.index),
            purged_offset: self.inner.store.purged().map_or(0, |id| id.index),
            history_damaged: self.inner.store.damaged_history().len() as u64,
            read_only: match self.inner.gate.read_only() {
                Some(super::Error::ReadOnly { reason }) => Some(reason),
                _ => None,
            },
            diverged: self.inner.gate.is_diverged(),
            connected: self.answering(&metrics).len() as u64 - 1,
            lag: lags(&metrics),
        }
    }
}

/// A member, and what it said of itself if it answered.
#[derive(Debug, Clone)]
pub struct MemberReport {
    /// The member.
    pub member: Member,
    /// Its own words; none when it did not answer in time.
    pub report: Option<Report>,
    /// Why it did not.
    pub fault: Option<PeerError>,
}

impl<T: Types> Replica<T> {
    /// Asks every member how it stands.
    pub async fn member_reports(&self) -> Vec<MemberReport> {
        let me = self.inner.options.node_id;
        let members = self.status().members;
        let questions = members.into_iter().map(|member| async move {
            let asked = if member.node_id == me {
                Ok(self.report())
            } else {
                let peer = Peer {
                    id: member.node_id,
                    node: member.node.clone(),
                };
                self.inner.peers.report(&peer).await
            };
            let (report, fault) = match asked {
                Ok(report) => (Some(report), None),
                Err(fault) => (None, Some(fault)),
            };
            MemberReport {
                member,
                report,
                fault,
            }
        });
        join_all(questions).await
    }

    /// The newest membership of this node's log, committed or not: the index of its entry, and the members.
    #[must_use]
    pub fn membership(&self) -> (u64, Vec<(u64, NodeInfo)>) {
        let metrics = self.inner.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let stored = &metrics.membership_config;
        let index = stored.log_id().as_ref().map_or(0, |id| id.index);
        let nodes = stored.membership().nodes();
        (index, nodes.map(|(id, node)| (*id, node.clone())).collect())
    }

    /// The leader, unless it is this node or unknown.
    pub(crate) fn leader(&self) -> Option<Peer> {
        if self.inner.gate.has_lost_leader() {
            return None;
        }
        let metrics = self.inner.raft.server_metrics();
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
        let silent_for_max = self.inner.options.election_timeout.1 * 2;
        let now = T::now();
        let heartbeats = metrics.heartbeat.iter().flatten();
        let recent = heartbeats
            .filter(|(_, acked)| acked.is_some_and(|at| now < *at + silent_for_max))
            .map(|(id, _)| *id);
        recent.chain([metrics.id]).collect()
    }

    /// All other members.
    pub(crate) fn others(&self) -> Vec<Peer> {
        let metrics = self.inner.raft.server_metrics();
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

    /// Asks the node at `peer_addr` who it is.
    ///
    /// # Errors
    ///
    /// Why it does not say so, or may not be added to this cluster.
    pub async fn introduce(&self, peer_addr: &str) -> Result<Peer, PeerError> {
        self.inner.peers.introduce(peer_addr).await
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.inner.options.cluster_name
    }

    /// The last index of this node's log, committed or not.
    #[must_use]
    pub fn log_end(&self) -> u64 {
        self.inner.store.last_log_id().map_or(0, |id| id.index)
    }
}

fn lags<T: Types>(metrics: &RaftMetrics<T>) -> Vec<(u64, u64)> {
    let last = metrics.last_log_index.unwrap_or(0);
    let others = metrics.replication.iter().flatten();
    others
        .filter(|(id, _)| **id != metrics.id)
        .map(|(id, matched)| {
            let matched = matched.as_ref().map_or(0, |id| id.index);
            (*id, last.saturating_sub(matched))
        })
        .collect()
}
