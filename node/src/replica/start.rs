//! Starts a replica: options, forming the cluster, recovery, the background tasks.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::network::{NetSnapshot, RaftNetworkFactory};
use openraft::type_config::TypeConfigExt;
use openraft::{Config, Raft, SnapshotPolicy};
use rstmdb_engine::{Limits, State};
use rstmdb_raft_store::{NodeInfo, Retention, SnapshotHandle, Store};
use tokio::sync::{Notify, mpsc};

use super::applied::Applied;
use super::compaction::{self, Compaction};
use super::counters::Counters;
use super::handle::{Inner, Replica, WriteGate};
use super::hub::Hub;
use super::proposer::{Proposer, Request, Run};
use super::reads::{Reads, Rounds};
use super::state_machine::StateMachine;
use super::types::{Host, Types};

/// Entries kept in the Raft log behind a snapshot, so that a follower that is a little behind
/// catches up by log.
const LOG_KEPT_BEHIND_SNAPSHOT: u64 = 10_000;

/// When snapshots are taken and how much history is kept.
#[derive(Debug, Clone)]
pub struct CompactionOptions {
    /// Whether snapshots are taken by threshold; COMPACT works either way.
    pub enabled: bool,
    /// Entries since the last snapshot that ask for the next.
    pub events_threshold: u64,
    /// Log bytes since the last snapshot that ask for the next.
    pub size_threshold_bytes: u64,
    /// The least time between two snapshots.
    pub min_interval: Duration,
    /// What history outlives its snapshot.
    pub retention: Retention,
}

/// Everything a replica is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// This node's id, never used by another node of this cluster, before or after.
    pub node_id: u64,
    /// How others reach this node.
    pub node: NodeInfo,
    /// The cluster's identity.
    pub cluster_id: String,
    /// The cluster's name, for the logs.
    pub cluster_name: String,
    /// Time between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// The least and the greatest time without a leader before an election.
    pub election_timeout: (Duration, Duration),
    /// How long a request waits for a leader before it is told that there is none.
    pub leader_wait: Duration,
    /// The engine's limits.
    pub limits: Limits,
    /// Snapshots and retention.
    pub compaction: CompactionOptions,
    /// Free disk space, in bytes, below which writes are refused; 0 never refuses.
    pub free_bytes_min: u64,
}

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The timing options contradict each other.
    #[error("the cluster's timing is not valid: {0}")]
    Timing(#[from] openraft::ConfigError),
    /// The stored log, snapshot or membership cannot be used.
    #[error("the stored state cannot be recovered: {0}")]
    Recovery(String),
}

impl<T: Types> Replica<T> {
    /// Recovers the replica from `store`, forms a cluster of this one node where the store is
    /// new, and starts its tasks. The store's writer must be running.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start<N>(
        store: Store<T::Fs>,
        options: Options,
        host: Arc<dyn Host>,
        network: N,
    ) -> Result<Self, StartError>
    where
        N: RaftNetworkFactory<T>,
        N::Network: NetSnapshot<T, SnapshotData = SnapshotHandle<T::Fs>>,
    {
        let config = Arc::new(raft_config(&options)?);
        let applied = Arc::new(Applied::new(State::new()));
        let hub = Arc::new(Hub::new(0));
        let counters = Arc::new(Counters::default());
        let machine = StateMachine::new(
            applied.clone(),
            hub.clone(),
            store.snapshots(),
            host.clone(),
            counters.clone(),
        );
        let log = store.log_store::<T>();
        let raft = Raft::new(options.node_id, config, network, log, machine)
            .await
            .map_err(recovery)?;
        form(&raft, &options).await?;

        let covered = store.snapshots().list().last().and_then(|info| info.index);
        let behind = applied.offset().saturating_sub(covered.unwrap_or(0));
        let compaction = Compaction::new(&store.stats(), behind);
        let (reads, rounds) = Reads::new();
        let (requests, queue) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            raft,
            store,
            applied,
            hub,
            reads,
            gate: Arc::new(WriteGate::default()),
            host,
            options,
            counters,
            compaction,
            requests,
            stop: Arc::new(Notify::new()),
        });
        spawn_tasks(&inner, rounds, queue);
        Ok(Self { inner })
    }
}

fn spawn_tasks<T: Types>(
    inner: &Arc<Inner<T>>,
    rounds: [Rounds; 2],
    queue: mpsc::UnboundedReceiver<Request>,
) {
    let leader_wait = inner.options.leader_wait;
    for round in rounds {
        let (raft, applied) = (inner.raft.clone(), inner.applied.clone());
        detach::<T>(round.run::<T>(raft, applied, leader_wait));
    }
    let proposer = Proposer {
        raft: inner.raft.clone(),
        applied: inner.applied.clone(),
        reads: inner.reads.clone(),
        host: inner.host.clone(),
        gate: inner.gate.clone(),
        counters: inner.counters.clone(),
        limits: inner.options.limits.clone(),
        leader_wait,
        queue,
        run: Run::new(),
    };
    detach::<T>(proposer.run());
    detach::<T>(compaction::run(Arc::downgrade(inner), inner.stop.clone()));
}

/// Spawns a task that ends by itself when the replica does.
fn detach<T: Types>(task: impl Future<Output = ()> + Send + 'static) {
    drop(T::spawn(task));
}

fn recovery(error: impl std::fmt::Display) -> StartError {
    StartError::Recovery(error.to_string())
}

/// Starts the membership where there is none yet.
///
/// A sole voter asks for its election at once, because there is nobody whose heartbeat it could
/// be waiting for, and serves once it has applied everything it had acknowledged before.
async fn form<T: Types>(
    raft: &Raft<T, StateMachine<T>>,
    options: &Options,
) -> Result<(), StartError> {
    if raft.is_initialized().await.map_err(recovery)? {
        raft.trigger().elect(false).await.map_err(recovery)?;
    } else {
        let members = BTreeMap::from([(options.node_id, options.node.clone())]);
        raft.initialize(members).await.map_err(recovery)?;
    }
    raft.wait_for_recovery(None).await.map_err(recovery)?;
    Ok(())
}

fn raft_config(options: &Options) -> Result<Config, openraft::ConfigError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: options.cluster_name.clone(),
        heartbeat_interval: millis(options.heartbeat),
        election_timeout_min: millis(options.election_timeout.0),
        election_timeout_max: millis(options.election_timeout.1),
        // Snapshots are asked for by `compaction`, which also knows sizes and times.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: LOG_KEPT_BEHIND_SNAPSHOT,
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate()
}
