//! How a simulated cluster is set up.

use std::sync::Arc;
use std::time::Duration;

use rstmdb::replica::{ArchiveOptions, CompactionOptions, Formation, Levels, Options};
use rstmdb_engine::Limits;
use rstmdb_engine::fact::level;
use rstmdb_raft_store::{self as raft_store, NodeInfo, Retention};

/// Where the data folder is on the simulated disks.
pub const DATA_DIR: &str = "/data";
/// What a node's disk keeps free, unless it is set up otherwise.
pub const RESERVE_BYTES: u64 = 8 << 20;
/// By how much a leader's clock may differ from the others'.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(10);

/// The settings of one cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides every delay.
    pub seed: u64,
    /// How many nodes form the cluster.
    pub nodes: u64,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// The least time before an election; twice as much is the greatest.
    pub election: Duration,
    /// How long a request waits for a leader.
    pub leader_wait: Duration,
    /// How long a follower may take no entries before the leader lets another node lead.
    pub stall_timeout: Duration,
    /// The shortest delay of bytes between nodes, and the longest extra delay.
    pub latency: [Duration; 2],
    /// How many of 1000 pieces of data get lost.
    pub loss_permille: u64,
    /// The longest that a write to a disk takes.
    pub disk: Duration,
    /// How far from the right speed clocks may be, in millionths.
    pub skew: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Bytes of recent entries that the log keeps in memory.
    pub cache_bytes: usize,
    /// Entries behind a snapshot that ask for the next.
    pub snapshot_entries: u64,
    /// Entries that stay in the log behind a snapshot.
    pub kept: u64,
    /// What is kept of the history.
    pub retention: Retention,
    /// Where history goes that is not kept.
    pub archive: Option<ArchiveOptions>,
    /// How long idempotency keys are remembered, in milliseconds.
    pub key_retention_ms: u64,
    /// The most that a command may cost to be decided at its turn.
    pub costly_bytes: usize,
    /// A node with less than this on its disk takes no writes.
    pub reserve_bytes: u64,
    /// How far the time of the log may be ahead of the right time.
    pub log_ahead_max: Duration,
    /// The highest feature level that the program of the first nodes understands.
    pub understands: u32,
    /// Whether leaders raise the feature level by themselves.
    pub raises_level: bool,
    /// Whether clients say something about their writes, by the rule of [`crate::check::said`].
    pub clients_say: bool,
    /// Whether a majority that can talk must have a leader soon: its members stay the same, and messages pass.
    pub promises_leader: bool,
}

impl Settings {
    /// A cluster without trouble of its own: exact clocks, fast disks, bytes that take a millisecond.
    #[must_use]
    pub fn calm(seed: u64, nodes: u64) -> Self {
        let ms = Duration::from_millis;
        Self {
            seed,
            nodes,
            heartbeat: ms(100),
            election: ms(500),
            leader_wait: ms(2_000),
            stall_timeout: ms(3_000),
            latency: [ms(1), Duration::ZERO],
            loss_permille: 0,
            disk: Duration::ZERO,
            skew: 0,
            segment_bytes: 64 << 10,
            cache_bytes: raft_store::Options::new(DATA_DIR).cache_bytes,
            snapshot_entries: 1_000,
            kept: 500,
            retention: Retention::default(),
            archive: None,
            key_retention_ms: Limits::default().idempotency_retention_ms,
            costly_bytes: Options::COSTLY_BYTES,
            reserve_bytes: RESERVE_BYTES,
            // The most by which a leader follows its own clock, and the time that an answer needs to arrive.
            log_ahead_max: CLOCK_SKEW_MAX + Duration::from_secs(1),
            understands: level::CURRENT,
            raises_level: false,
            clients_say: false,
            promises_leader: false,
        }
    }

    /// The options of a replica.
    #[must_use]
    pub fn options(&self, node_id: u64, formation: Formation) -> Options {
        Options {
            node_id,
            node: node_info(node_id),
            formation,
            cluster_id: "sim".into(),
            cluster_name: "sim".into(),
            heartbeat: self.heartbeat,
            election_timeout: (self.election, self.election * 2),
            leader_wait: self.leader_wait,
            stall_timeout: self.stall_timeout,
            limits: Limits {
                idempotency_retention_ms: self.key_retention_ms,
                ..Limits::default()
            },
            compaction: CompactionOptions {
                enabled: true,
                events_threshold: self.snapshot_entries,
                size_threshold_bytes: u64::MAX,
                min_interval: Duration::ZERO,
                kept_behind_snapshot: self.kept,
                retention: self.retention.clone(),
            },
            clock_skew_max: CLOCK_SKEW_MAX,
            free_bytes_min: self.reserve_bytes,
            costly_bytes: self.costly_bytes,
            levels: Arc::new(Levels::understanding(self.understands)),
            raises_level: self.raises_level,
            timers_in_flight: Options::TIMERS_IN_FLIGHT,
            archive: self.archive.clone(),
        }
    }

    /// The options of a store.
    #[must_use]
    pub fn store_options(&self) -> raft_store::Options {
        let mut options = raft_store::Options::new(DATA_DIR);
        options.catalog = false;
        options.segment_bytes = self.segment_bytes;
        options.cache_bytes = self.cache_bytes;
        // Retention by age is off, and nothing else depends on it.
        options.clock = std::sync::Arc::new(|| 0);
        options
    }
}

/// Where a node is reached that has never moved.
#[must_use]
pub fn node_info(id: u64) -> NodeInfo {
    moved_info(id, 0)
}

/// Where a node is reached that has moved so often.
#[must_use]
pub fn moved_info(id: u64, moves: u64) -> NodeInfo {
    let name = match moves {
        0 => format!("node{id}"),
        moves => format!("node{id}-{moves}"),
    };
    NodeInfo {
        peer_addr: format!("{name}:7402"),
        rcp_addr: format!("{name}:7401"),
    }
}

/// The node that is, or was, reached at an address for other nodes, and how often it had moved then.
#[must_use]
pub fn node_at(peer_addr: &str) -> Option<(u64, u64)> {
    let (name, _) = peer_addr.split_once(':')?;
    let name = name.strip_prefix("node")?;
    match name.split_once('-') {
        Some((id, moves)) => Some((id.parse().ok()?, moves.parse().ok()?)),
        None => Some((name.parse().ok()?, 0)),
    }
}
