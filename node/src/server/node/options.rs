//! From the configuration to the options of the store and the replica.

use std::time::Duration;

use rstmdb_engine::Limits;
use rstmdb_raft_store::{self as raft_store, Retention};
use uuid::Uuid;

use crate::replica::{CompactionOptions, Formation, Options, Tuning};
use crate::server::config::Config;
use crate::server::peer::Local;

/// Bytes of recent log entries that stay in memory.
const LOG_CACHE_BYTES: usize = 64 << 20;
/// A follower that lacks no more entries than this, or what was written since the last snapshot,
/// catches up by log.
const LOG_KEPT_BEHIND_SNAPSHOT: u64 = 10_000;

/// The options of the store.
pub(crate) fn store_options(config: &Config, cluster_id: u128) -> raft_store::Options {
    let mut options = raft_store::Options::new(&config.storage.data_dir);
    options.segment_bytes = config.storage.wal_segment_bytes;
    options.fsync_policy = config.storage.fsync_policy;
    options.cache_bytes = LOG_CACHE_BYTES;
    options.cluster_id = cluster_id;
    options.compress = config.storage.compress;
    options.keys = config.storage.keys.clone();
    options
}

fn formation(config: &Config) -> Formation {
    let cluster = &config.cluster;
    if !cluster.join.is_empty() {
        return Formation::Join;
    }
    match cluster.peers.as_slice() {
        [] | [_] => Formation::Alone,
        peers => Formation::Together(
            peers
                .iter()
                .map(|peer| (peer.id, peer.addresses()))
                .collect(),
        ),
    }
}

/// The options that may change while the replica runs.
pub(crate) fn tuning(config: &Config) -> Tuning {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Tuning {
        limits: Limits {
            max_machine_versions: config.storage.machine_versions_max,
            allow_instance_recreate: config.storage.allow_instance_recreate,
            allow_flush_all: config.storage.allow_flush_all,
            idempotency_retention_ms: millis(config.idempotency.retention),
            idempotency_keys_max: config.idempotency.keys_max,
            idempotency_bytes_max: config.idempotency.bytes_max,
        },
        compaction: CompactionOptions {
            enabled: config.compaction.enabled,
            events_threshold: config.compaction.events_threshold,
            size_threshold_bytes: config.compaction.size_threshold_bytes,
            min_interval: config.compaction.interval_min,
            kept_behind_snapshot: LOG_KEPT_BEHIND_SNAPSHOT,
            retention: Retention {
                events: config.compaction.retain_events,
                hours: config.compaction.retain_hours,
                mb: config.compaction.retain_mb,
                archive_dir: config.compaction.archive_dir.clone(),
            },
        },
        free_bytes_min: config.storage.free_bytes_min,
        // A client that waits for a leader in vain gets its answer before the session gives up on the request.
        leader_wait: config.network.request_timeout * 9 / 10,
        raises_level: config.cluster.raises_level,
        timers_in_flight: config.timers.in_flight,
    }
}

/// The options of the replica.
pub(crate) fn replica_options(config: &Config, local: &Local, cluster_id: u128) -> Options {
    let tuning = tuning(config);
    Options {
        node_id: local.node_id,
        node: config.addresses(local.node_id),
        formation: formation(config),
        cluster_id: Uuid::from_u128(cluster_id).to_string(),
        cluster_name: config.cluster.name.clone(),
        heartbeat: config.cluster.heartbeat,
        election_timeout: (
            config.cluster.election_timeout_min,
            config.cluster.election_timeout_max,
        ),
        clock_skew_max: config.cluster.clock_skew_max,
        leader_wait: tuning.leader_wait,
        stall_timeout: config.cluster.stall_timeout,
        limits: tuning.limits,
        compaction: tuning.compaction,
        archive: None,
        free_bytes_min: tuning.free_bytes_min,
        costly_bytes: Options::COSTLY_BYTES,
        levels: local.levels.clone(),
        raises_level: tuning.raises_level,
        timers_in_flight: tuning.timers_in_flight,
    }
}
