//! The picture of the node and its cluster that INFO, `/readyz` and the metrics show.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::Automation;
use rstmdb_engine::chain::{Chain, Head};
use rstmdb_raft_store::NodeInfo;

use crate::replica::error::{Error, Removal};
use crate::replica::parts::log_page::LogReader;
use crate::replica::parts::options::{Formation, Options};
use crate::replica::peers::calls::{Peer, PeerError};
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::peers::report::{NodeReport, Role};
use crate::replica::types::Types;
use crate::replica::write::clock::leader_clock::LeaderClock;

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

/// The chain over the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainStatus {
    /// The first entry in it.
    pub first: u64,
    /// Its head at the last applied offset.
    pub head: Head,
}

impl ChainStatus {
    pub(crate) fn of(chain: &Chain) -> Self {
        Self {
            first: chain.first(),
            head: chain.head(),
        }
    }
}

/// The state of this node and of its cluster at one moment.
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
    /// The chain over the log at `last_applied`, if it has begun.
    pub chain: Option<ChainStatus>,
    /// Live instances.
    pub instances: u64,
    /// Machine versions.
    pub machines: u64,
    /// Idempotency keys remembered.
    pub idempotency_keys: u64,
    /// About how many bytes of memory they take.
    pub idempotency_bytes: u64,
    /// The last snapshot's offset, 0 when there is none.
    pub snapshot_offset: u64,
    /// The last offset that Raft has removed from its log: a member whose log ends below it needs a snapshot.
    pub purged_offset: u64,
    /// Files with history that are known to be damaged.
    pub history_damaged: u64,
    /// The feature level of the applied state.
    pub level: u32,
    /// The highest feature level that this program understands.
    pub understands: u32,
    /// The state of automation.
    pub automation: Automation,
    /// Why writes are refused, if they are.
    pub read_only: Option<String>,
    /// Whether this node's state is known to be wrong.
    pub diverged: bool,
    /// By which fact this node knows that it was removed from the cluster, if it was.
    pub removed: Option<Removal>,
    /// On the leader: how many other members have answered lately.
    pub connected: u64,
    /// On the leader: how many entries each other member lacks.
    pub lag: Vec<(u64, u64)>,
}

/// A member, and what it said of itself if it answered.
#[derive(Debug, Clone)]
pub struct MemberReport {
    /// The member.
    pub member: Member,
    /// Its own report; `None` when it did not answer in time.
    pub report: Option<NodeReport>,
    /// Why it did not answer.
    pub fault: Option<PeerError>,
}

/// How this node stands in its cluster.
pub(crate) struct ClusterStanding<T: Types> {
    pub neighbours: Arc<Neighbours<T>>,
    pub log: Arc<LogReader<T::Fs>>,
    pub clock: Arc<LeaderClock<T>>,
    pub options: Arc<Options>,
    /// When the replica started.
    pub started: InstantOf<T>,
}

impl<T: Types> ClusterStanding<T> {
    /// How this node and its cluster stand.
    pub(crate) fn status(&self) -> Status {
        let metrics = self.neighbours.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let members = self.members(&metrics);
        let state = self.log.applied.read();
        Status {
            node_id: self.options.node_id,
            cluster_id: self.options.cluster_id.clone(),
            role: match metrics.state {
                // It was elected once, but without a majority it decides nothing.
                ServerState::Leader if self.neighbours.gate.has_lost_leader() => Role::Candidate,
                ServerState::Leader => Role::Leader,
                ServerState::Candidate => Role::Candidate,
                ServerState::Learner => Role::Learner,
                ServerState::Follower | ServerState::Shutdown => Role::Follower,
            },
            leader: match metrics.state {
                ServerState::Leader => Some(metrics.id),
                _ => metrics.current_leader,
            }
            .filter(|_| !self.neighbours.gate.has_lost_leader()),
            term: metrics.current_term,
            last_applied: state.last_applied(),
            commit_index: metrics.local_committed.map_or(0, |id| id.index),
            members,
            earliest_offset: self.log.earliest_offset(),
            digest: state.digest(),
            chain: state.chain().map(ChainStatus::of),
            instances: state.instance_count(),
            machines: state.machine_count(),
            idempotency_keys: state.key_count(),
            idempotency_bytes: state.key_bytes(),
            snapshot_offset: metrics.snapshot.map_or(0, |id| id.index),
            purged_offset: self.log.store.purged().map_or(0, |id| id.index),
            history_damaged: self.log.store.damaged_history().len() as u64,
            level: state.level(),
            understands: self.options.levels.understands(),
            automation: state.automation(),
            read_only: match self.neighbours.gate.read_only() {
                Some(Error::ReadOnly { reason }) => Some(reason),
                _ => None,
            },
            diverged: self.neighbours.gate.is_diverged(),
            removed: self.neighbours.gate.removed(),
            connected: self.neighbours.answering(&metrics).len() as u64 - 1,
            lag: lags(&metrics),
        }
    }

    /// The members by the newest membership entry. As long as this node has no such entry, they are the members with
    /// which it was told to form a cluster. It may have none because openraft publishes a new cluster's members a moment
    /// later, or because other nodes have formed the cluster first.
    fn members(&self, metrics: &RaftMetrics<T>) -> Vec<Member> {
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let member = |(id, node): (&u64, &NodeInfo), voter| Member {
            node_id: *id,
            node: node.clone(),
            voter,
        };
        match &self.options.formation {
            Formation::Together(formed) if voters.is_empty() => {
                formed.iter().map(|known| member(known, true)).collect()
            }
            _ => {
                let nodes = membership.nodes();
                nodes
                    .map(|known| member(known, voters.contains(known.0)))
                    .collect()
            }
        }
    }

    /// What this node tells the others about itself.
    pub(crate) fn report(&self) -> NodeReport {
        let status = self.status();
        let mut heads = self.log.applied.heads();
        heads.extend(status.chain.map(|chain| (status.last_applied, chain.head)));
        NodeReport {
            node_id: status.node_id,
            role: status.role,
            term: status.term,
            leader: status.leader,
            last_log: self.log_end(),
            commit_index: status.commit_index,
            applied: (status.last_applied, status.digest),
            checkpoints: self.log.applied.checkpoints(),
            earliest_offset: self.log.earliest_here(),
            read_only: self.neighbours.gate.no_room_here(),
            diverged: self.neighbours.gate.is_diverged(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level: status.level,
            understands: self.options.levels.understands(),
            members: status.members.iter().map(|member| member.node_id).collect(),
            uptime_secs: (T::now() - self.started).as_secs(),
            clock_ms: Some(self.log.host.now_ms()),
            log_ms: self.clock.led_time_ms(),
            heads,
        }
    }

    /// Asks every member how it stands.
    pub(crate) async fn member_reports(&self) -> Vec<MemberReport> {
        let me = self.options.node_id;
        let members = self.status().members;
        let questions = members.into_iter().map(|member| async move {
            let asked = if member.node_id == me {
                Ok(self.report())
            } else {
                let peer = Peer {
                    id: member.node_id,
                    node: member.node.clone(),
                };
                self.neighbours.peers.report(&peer).await
            };
            let (report, fault) = match asked {
                Ok(report) => {
                    self.options
                        .levels
                        .learn(member.node_id, report.understands);
                    (Some(report), None)
                }
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

    /// The last index of this node's log, committed or not.
    pub(crate) fn log_end(&self) -> u64 {
        self.log.store.last_log_id().map_or(0, |id| id.index)
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
