//! Everything that a seed decides before its run begins. Each run has another mixture of settings and faults,
//! because some bugs show only when certain faults are absent.

use std::time::Duration;

use rstmdb::replica::{CompactionOptions, Formation, Options};
use rstmdb_engine::Limits;
use rstmdb_raft_store::{self as raft_store, NodeInfo, Retention};

use crate::harness::rng::Rng;

/// Where the data folder is on the simulated disks.
pub const DATA_DIR: &str = "/data";
/// A node with less than this on its disk takes no writes.
pub const RESERVE_BYTES: u64 = 8 << 20;
/// With this few lost messages, elections still succeed soon.
const LOSS_PERMILLE_SMALL: u64 = 2;
/// Longer than a run takes, and far less than a wall clock jumps by.
const KEY_RETENTION_MS: u64 = 600_000;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process of one node, or of more, is killed; what it wrote stays.
    Kill,
    /// The power of one node, or of more, is cut: what was not synced is lost, kept or torn.
    PowerCut,
    /// Links are cut: halves, the leader alone or at one link, a majority ring, a bridge, one way only, any ways.
    Partition,
    /// One link, or all of a node's, are slow.
    SlowLinks,
    /// A node is paused and continues.
    Freeze,
    /// The leadership is handed over.
    Transfer,
    /// The wall clock of a node jumps.
    ClockJump,
    /// Nodes are asked for a snapshot.
    Snapshot,
    /// A disk has no room for a while.
    FullDisk,
    /// Nodes are added, promoted, removed and replaced.
    Members,
    /// History or a snapshot on a disk is damaged.
    Damage,
    /// Nodes are shut down in order and started again.
    Restart,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 12] = [
        Fault::Kill,
        Fault::PowerCut,
        Fault::Partition,
        Fault::SlowLinks,
        Fault::Freeze,
        Fault::Transfer,
        Fault::ClockJump,
        Fault::Snapshot,
        Fault::FullDisk,
        Fault::Members,
        Fault::Damage,
        Fault::Restart,
    ];
}

/// The settings of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many nodes form the cluster.
    pub nodes: u64,
    /// The faults that this run has.
    pub faults: Vec<Fault>,
    /// For how long.
    pub trouble: Duration,
    /// The mean time between two faults.
    pub pause: Duration,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// The least time before an election; twice as much is the greatest.
    pub election: Duration,
    /// The shortest delay of a message, and the longest extra delay.
    pub latency: [Duration; 2],
    /// How many of 1000 messages get lost.
    pub loss_permille: u64,
    /// How many of 1000 messages arrive twice.
    pub twice_permille: u64,
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
    /// How many clients there are.
    pub clients: u64,
    /// How many commands each of them submits without waiting, at most.
    pub burst: u64,
    /// The longest pause of a client.
    pub think: Duration,
    /// How many instances they write to.
    pub instances: u64,
    /// The most that a command may cost to be decided at its turn.
    pub costly_bytes: usize,
}

impl Plan {
    /// The plan of `seed`, with this many nodes; the seed decides their number when absent.
    #[must_use]
    pub fn draw(seed: u64, nodes: Option<u64>) -> Self {
        let mut rng = Rng::new(seed ^ 0x51d);
        let ms = Duration::from_millis;
        let drawn_nodes = *rng.pick(&[3, 3, 5]);
        let heartbeat = rng.between(10, 40);
        let faults = loop {
            let share = rng.between(20, 70);
            let chosen = Fault::ALL.into_iter().filter(|_| rng.percent(share));
            let chosen: Vec<_> = chosen.collect();
            if !chosen.is_empty() {
                break chosen;
            }
        };
        let latency = [
            Duration::from_micros(rng.between(50, 2_000)),
            Duration::from_micros(*rng.pick(&[0, 500, 5_000, 20_000])),
        ];
        // At least two round trips. Otherwise no node leads for long.
        let election = ms(heartbeat * rng.between(3, 6)).max((latency[0] + latency[1]) * 4);
        Self {
            seed,
            nodes: nodes.unwrap_or(drawn_nodes),
            faults,
            trouble: ms(rng.between(300, 1_500)),
            pause: ms(rng.between(15, 150)),
            heartbeat: ms(heartbeat),
            election,
            latency,
            loss_permille: *rng.pick(&[0, 0, 2, 20, 60]),
            twice_permille: *rng.pick(&[0, 5, 50]),
            disk: Duration::from_micros(*rng.pick(&[0, 200, 2_000, 10_000])),
            skew: *rng.pick(&[0, 1_000, 20_000]),
            segment_bytes: *rng.pick(&[4 << 10, 8 << 10, 32 << 10]),
            cache_bytes: *rng.pick(&[0, 2 << 10, 1 << 20]),
            snapshot_entries: *rng.pick(&[10, 30, 100, 1_000_000]),
            kept: *rng.pick(&[0, 5, 50, 1_000]),
            clients: rng.between(2, 6),
            burst: *rng.pick(&[1, 1, 4, 10]),
            think: ms(*rng.pick(&[5, 20, 60])),
            instances: rng.between(1, 6),
            costly_bytes: *rng.pick(&[Options::COSTLY_BYTES, 2_100, 0]),
        }
    }

    /// Whether the run can check that a connected majority has a leader soon: its members stay the same, and
    /// messages pass.
    #[must_use]
    pub fn promises_leader(&self) -> bool {
        !self.faults.contains(&Fault::Members) && self.loss_permille <= LOSS_PERMILLE_SMALL
    }

    /// How long a request waits for a leader.
    #[must_use]
    pub fn leader_wait(&self) -> Duration {
        self.election * 6
    }

    /// How long a node waits for another one's answer.
    #[must_use]
    pub fn rpc_timeout(&self) -> Duration {
        self.election
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
            leader_wait: self.leader_wait(),
            stall_timeout: self.election * 3,
            limits: Limits {
                idempotency_retention_ms: KEY_RETENTION_MS,
                ..Limits::default()
            },
            compaction: CompactionOptions {
                enabled: true,
                events_threshold: self.snapshot_entries,
                size_threshold_bytes: u64::MAX,
                min_interval: Duration::ZERO,
                kept_behind_snapshot: self.kept,
                retention: Retention::default(),
            },
            clock_skew_max: Duration::from_secs(10),
            free_bytes_min: RESERVE_BYTES,
            costly_bytes: self.costly_bytes,
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

/// Where a node is reached.
#[must_use]
pub fn node_info(id: u64) -> NodeInfo {
    NodeInfo {
        peer_addr: format!("node{id}"),
        rcp_addr: format!("node{id}:7401"),
    }
}
