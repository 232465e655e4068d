//! The options of a replica; `tuning` has those that may change while it runs.

pub(crate) mod levels;
pub(crate) mod tuning;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levels::Levels;
use rstmdb_engine::Limits;
use rstmdb_raft_store::{NodeInfo, Retention};

use crate::replica::types::Archive;

/// When snapshots are taken and how much history is kept.
#[derive(Debug, Clone)]
pub struct CompactionOptions {
    /// Whether thresholds trigger snapshots; COMPACT works either way.
    pub enabled: bool,
    /// Entries since the last snapshot that trigger the next one.
    pub events_threshold: u64,
    /// Log bytes since the last snapshot that trigger the next one.
    pub size_threshold_bytes: u64,
    /// The least time between two snapshots.
    pub min_interval: Duration,
    /// Entries that stay in the Raft log behind a snapshot, so that a follower that lacks only a few catches up by log.
    pub kept_behind_snapshot: u64,
    /// How much history is kept although a snapshot covers it.
    pub retention: Retention,
}

/// How a node that belongs to no cluster yet comes into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formation {
    /// It forms a cluster of its own.
    Alone,
    /// It forms a cluster with these members, itself among them; all of them start with the same list.
    Together(BTreeMap<u64, NodeInfo>),
    /// It waits until the leader of an existing cluster adds it.
    Join,
}

/// Where history goes that retention drops.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// The archive.
    pub archive: Arc<dyn Archive>,
    /// How many bytes of its files are kept on the disk for reading.
    pub cache_bytes: u64,
    /// How long one call may take.
    pub timeout: Duration,
}

/// The options of a replica.
#[derive(Debug, Clone)]
pub struct Options {
    /// This node's id, never used by another node of this cluster, before or after.
    pub node_id: u64,
    /// How others reach this node.
    pub node: NodeInfo,
    /// What it does while it belongs to no cluster.
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
    /// How far this node's clock may be from the median of the members' clocks. Beyond that the log's time does not
    /// follow this clock.
    pub clock_skew_max: Duration,
    /// How long a leader's entries may stay unacknowledged while its heartbeats are answered. Then the leader logs it
    /// and lets another node lead.
    pub stall_timeout: Duration,
    /// The engine's limits.
    pub limits: Limits,
    /// Snapshots and retention.
    pub compaction: CompactionOptions,
    /// Where history goes instead of being lost.
    pub archive: Option<ArchiveOptions>,
    /// Free disk space, in bytes, below which writes and entries are refused; 0 never refuses.
    pub free_bytes_min: u64,
    /// What a command may cost, in bytes that its decision reads and writes, to be decided in the serial section, where
    /// all other writes wait for it. A command that costs more is decided ahead.
    pub costly_bytes: usize,
    /// What this node knows of feature levels.
    pub levels: Arc<Levels>,
    /// Whether this node, as the leader, raises the feature level as soon as every member understands a higher one.
    pub raises_level: bool,
    /// How many firings of timers this node, as the leader, has in flight at most; while clients send commands, a quarter
    /// of it.
    pub timers_in_flight: usize,
}

impl Options {
    /// Less than a millisecond's work.
    pub const COSTLY_BYTES: usize = 64 << 10;
    /// The default of the configuration.
    pub const TIMERS_IN_FLIGHT: usize = 256;
}
