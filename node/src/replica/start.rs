//! Starts a replica: options, forming the cluster, recovery, the background tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{InitializeError, RaftError};
use openraft::network::{NetSnapshot, RaftNetworkFactory};
use openraft::type_config::TypeConfigExt;
use openraft::{Config, Raft, SnapshotPolicy};
use rstmdb_engine::{Limits, State};
use rstmdb_raft_store::{FileSystem, NodeInfo, Retention, SnapshotHandle, Store};
use tokio::sync::{Notify, mpsc};

use super::applied::Applied;
use super::clocks::{self, Clocks};
use super::compaction::{self, Compaction};
use super::counters::Counters;
use super::dispatch::Dispatcher;
use super::divergence;
use super::forwarder::Forwarder;
use super::gate::{Gate, LeaderWait};
use super::handle::{Inner, Replica};
use super::healing;
use super::history::{self, History};
use super::hub::{self, Hub};
use super::observer;
use super::peers::Peers;
use super::proposer::{Proposer, Run};
use super::queue::{Origins, Queue, Request};
use super::quorum;
use super::reads::{Reads, Rounds};
use super::room;
use super::stall;
use super::state_machine::StateMachine;
use super::types::{Host, Types};

/// How often it is looked whether openraft has published that this node leads.
const PUBLISH_POLL: Duration = Duration::from_millis(1);
/// Entries in one message to a follower, at most; the log's reader bounds their bytes.
const APPEND_ENTRIES_MAX: u64 = 1_024;

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
    /// Entries that stay in the Raft log behind a snapshot, so that a follower that is a little
    /// behind catches up by log.
    pub kept_behind_snapshot: u64,
    /// What history outlives its snapshot.
    pub retention: Retention,
}

/// How a node that is in no cluster yet comes into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formation {
    /// It is a cluster of its own.
    Alone,
    /// It forms one with these, itself among them; all of them start with the same members.
    Together(BTreeMap<u64, NodeInfo>),
    /// It waits until the leader of an existing one adds it.
    Join,
}

/// Everything a replica is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// This node's id, never used by another node of this cluster, before or after.
    pub node_id: u64,
    /// How others reach this node.
    pub node: NodeInfo,
    /// What it does while it is in no cluster.
    pub formation: Formation,
    /// The cluster's identity.
    pub cluster_id: String,
    /// The cluster's name, for the logs.
    pub cluster_name: String,
    /// Time between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// The least and the greatest time without a sign of the leader before an election; the least
    /// must be more than twice the heartbeat.
    pub election_timeout: (Duration, Duration),
    /// How long a request waits for a leader before it is told that there is none.
    pub leader_wait: Duration,
    /// How far this node's clock may be from the median of the members' before the log's time no longer follows
    /// it.
    pub clock_skew_max: Duration,
    /// How long a leader's entries may go without acknowledgement while its heartbeats are answered,
    /// before it says so and lets another node lead.
    pub stall_timeout: Duration,
    /// The engine's limits.
    pub limits: Limits,
    /// Snapshots and retention.
    pub compaction: CompactionOptions,
    /// Free disk space, in bytes, below which writes and entries are refused; 0 never refuses.
    pub free_bytes_min: u64,
    /// What a command may cost, in bytes that its decision reads and writes, to be decided where everybody
    /// waits; what costs more is decided ahead.
    pub costly_bytes: usize,
}

impl Options {
    /// Less than a millisecond's work.
    pub const COSTLY_BYTES: usize = 64 << 10;
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
        peers: Arc<dyn Peers>,
    ) -> Result<Self, StartError>
    where
        N: RaftNetworkFactory<T>,
        N::Network: NetSnapshot<T, SnapshotData = SnapshotHandle<T::Fs>>,
    {
        let config = Arc::new(raft_config(&options)?);
        let applied = Arc::new(Applied::new(State::new()));
        let hub = Arc::new(Hub::new(0));
        let counters = Arc::new(Counters::default());
        let history = Arc::new(History::new());
        let machine = StateMachine::new(
            applied.clone(),
            hub.clone(),
            history.clone(),
            store.clone(),
            host.clone(),
            counters.clone(),
        );
        let log = store.log_store::<T>();
        let raft = Raft::new(options.node_id, config, network, log, machine)
            .await
            .map_err(recovery)?;
        form(&raft, &options).await?;
        let compaction = Compaction::new(&store.stats(), behind_snapshot(&store, &applied));
        let gate = Arc::new(Gate::new(LeaderWait {
            usual: options.leader_wait,
            leaderless: options.election_timeout.1 * 2,
        }));
        let (reads, rounds) = Reads::new(&raft, &applied, &peers, &gate);
        let (requests, queue) = mpsc::unbounded_channel();
        let clocks = Clocks::new(host.clone(), options.clock_skew_max, counters.clone());
        let inner = Arc::new(Inner {
            raft,
            store,
            applied,
            hub,
            reads,
            peers,
            gate,
            host,
            options,
            counters,
            clocks: Arc::new(clocks),
            compaction,
            listing: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            requests,
            origins: Origins::default(),
            history,
            started: T::now(),
            stop: Arc::new(Notify::new()),
        });
        // A process that ended before it had fetched all goes on.
        inner.fetch_history();
        spawn_tasks(&inner, rounds, queue);
        Ok(Self { inner })
    }
}

/// How many applied entries no snapshot covers.
fn behind_snapshot<F: FileSystem>(store: &Store<F>, applied: &Applied) -> u64 {
    let covered = store.snapshots().list().last().and_then(|info| info.index);
    applied.offset().saturating_sub(covered.unwrap_or(0))
}

fn spawn_tasks<T: Types>(
    inner: &Arc<Inner<T>>,
    rounds: [Rounds<T>; 2],
    queue: mpsc::UnboundedReceiver<Request<T>>,
) {
    for round in rounds {
        detach::<T>(round.run());
    }
    let proposer = Proposer {
        raft: inner.raft.clone(),
        applied: inner.applied.clone(),
        reads: inner.reads.clone(),
        clocks: inner.clocks.clone(),
        host: inner.host.clone(),
        gate: inner.gate.clone(),
        counters: inner.counters.clone(),
        limits: inner.options.limits.clone(),
        costly_bytes: inner.options.costly_bytes,
        quorum_silence_max: inner.options.election_timeout.1 * 2,
        run: Run::new(),
    };
    let (raft, peers, counters) = (&inner.raft, &inner.peers, &inner.counters);
    let dispatcher = Dispatcher {
        queue: Queue::new(queue),
        proposer,
        forwarder: Forwarder::new(raft.clone(), peers.clone(), counters.clone()),
    };
    detach::<T>(dispatcher.run());
    detach::<T>(clocks::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(quorum::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(hub::run(
        Arc::downgrade(inner),
        inner.hub.clone(),
        inner.stop.clone(),
    ));
    detach::<T>(room::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(compaction::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(stall::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(observer::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(healing::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(history::run(Arc::downgrade(inner), inner.stop.clone()));
    detach::<T>(divergence::run(Arc::downgrade(inner), inner.stop.clone()));
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
/// be waiting for, and serves once it has applied everything it had acknowledged before. A node of
/// a larger cluster serves at once what needs no leader.
async fn form<T: Types>(
    raft: &Raft<T, StateMachine<T>>,
    options: &Options,
) -> Result<(), StartError> {
    if !raft.is_initialized().await.map_err(recovery)? {
        let members = match &options.formation {
            Formation::Alone => BTreeMap::from([(options.node_id, options.node.clone())]),
            Formation::Together(members) => members.clone(),
            Formation::Join => return Ok(()),
        };
        match raft.initialize(members).await {
            Ok(()) => {}
            // The others were faster, and their leader has written to this node already.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(recovery(error)),
        }
    }
    let voters = raft.with_raft_state(|state| {
        let membership = state.membership_state.effective();
        membership.voter_ids().collect::<BTreeSet<_>>()
    });
    // From the state itself: what openraft publishes of it comes a moment later.
    if voters.await.map_err(recovery)? == BTreeSet::from([options.node_id]) {
        raft.trigger().elect(false).await.map_err(recovery)?;
        raft.wait_for_recovery(None).await.map_err(recovery)?;
        while raft.as_leader().is_err() {
            T::sleep(PUBLISH_POLL).await;
        }
    }
    Ok(())
}

fn raft_config(options: &Options) -> Result<Config, openraft::ConfigError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: options.cluster_name.clone(),
        heartbeat_interval: millis(options.heartbeat),
        // A follower of openraft first waits for the leader's lease, which is its longest election
        // timeout, and then for its own: half of each makes what was asked for.
        election_timeout_min: millis(options.election_timeout.0 / 2),
        election_timeout_max: millis(options.election_timeout.1 / 2),
        // Snapshots are asked for by `compaction`, which also knows sizes and times.
        snapshot_policy: SnapshotPolicy::Never,
        max_payload_entries: APPEND_ENTRIES_MAX,
        max_in_snapshot_log_to_keep: options.compaction.kept_behind_snapshot,
        enable_pre_vote: Some(true),
        // A leader sends entries before it has them on disk itself. Restored in its old term after a
        // crash, it would write others at the same term and index, which Raft cannot tell apart.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate()
}
