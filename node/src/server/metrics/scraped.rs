//! What the replica and its log count themselves: read when a client asks for the metrics.

use std::time::Duration;

use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::families::{raise_counter as counter, set_gauge as gauge};
use super::{Maker, families};
use crate::replica::Role;
use crate::server::product::Replica;

/// The roles a node can have.
const ROLES: [Role; 4] = [Role::Leader, Role::Follower, Role::Learner, Role::Candidate];

/// Metrics that are copied from the replica and its log at each scrape.
pub(super) struct Scraped {
    machines: IntGauge,
    instances: IntGauge,
    idempotency_keys: IntGauge,
    idempotency_bytes: IntGauge,
    earliest_offset: IntGauge,
    read_only: IntGauge,
    history_damaged: IntGauge,
    history_healed: IntCounter,
    watches: IntGauge,
    watches_lagging: IntGauge,
    facts_stale: IntCounter,
    commands_redecided: IntCounter,
    commands_forwarded: IntCounter,
    decisions_failed: IntCounter,
    digest_mismatches: IntCounter,
    diverged: IntGauge,
    snapshots: Snapshots,
    clocks: ClockMetrics,
    slow: Slow,
    wal: Wal,
    raft: Raft,
}

struct Snapshots {
    taken: IntCounter,
    failed: IntCounter,
    last_bytes: IntGauge,
    last_secs: Gauge,
}

struct ClockMetrics {
    skew: GaugeVec,
    log_ahead: Gauge,
    steps: IntCounter,
}

struct Wal {
    entries: IntGauge,
    segments: IntGauge,
    size_bytes: IntGauge,
    bytes_written: IntCounter,
    bytes_read: IntCounter,
    writes: IntCounter,
    reads: IntCounter,
    fsyncs: IntCounter,
}

/// Operations that took long.
struct Slow {
    decisions: IntCounter,
}

struct Raft {
    is_leader: IntGauge,
    roles: Vec<(Role, IntGauge)>,
    term: IntGauge,
    commit_index: IntGauge,
    applied_index: IntGauge,
    snapshot_index: IntGauge,
    purged_index: IntGauge,
    lag: IntGaugeVec,
    leader_changes: IntCounter,
    stepped_down: IntCounter,
    successions: IntCounter,
    stalls: IntCounter,
    stalled: IntGauge,
    peer_stalls: IntCounterVec,
}

impl Scraped {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            machines: make.gauge("rstmdb_machines", "Machine versions.")?,
            instances: make.gauge("rstmdb_instances", "Live instances.")?,
            idempotency_keys: make
                .gauge("rstmdb_idempotency_keys", "Idempotency keys remembered.")?,
            idempotency_bytes: make.gauge(
                "rstmdb_idempotency_bytes",
                "About how many bytes of memory the idempotency keys take.",
            )?,
            earliest_offset: make.gauge(
                "rstmdb_earliest_offset",
                "The first offset that is retained.",
            )?,
            read_only: make.gauge("rstmdb_read_only", "1 while writes are refused.")?,
            history_damaged: make.gauge("rstmdb_history_damaged", "Damaged files with history.")?,
            history_healed: make.counter(
                "rstmdb_history_healed_total",
                "Damaged files with history that were replaced from another node.",
            )?,
            watches: make.gauge("rstmdb_watches", "Watches known to the replica.")?,
            watches_lagging: make.gauge(
                "rstmdb_watches_lagging",
                "Watches that are far behind the head.",
            )?,
            facts_stale: make.counter(
                "rstmdb_facts_stale_total",
                "Log entries that changed nothing because the state had moved on.",
            )?,
            commands_redecided: make.counter(
                "rstmdb_commands_redecided_total",
                "Commands that were decided more than once.",
            )?,
            commands_forwarded: make.counter(
                "rstmdb_commands_forwarded_total",
                "Commands that were sent to the leader.",
            )?,
            decisions_failed: make.counter(
                "rstmdb_decisions_failed_total",
                "Requests whose decision failed because of a bug in rstmdb.",
            )?,
            digest_mismatches: make.counter(
                "rstmdb_digest_mismatches_total",
                "Times this node's state differed from another's at the same offset.",
            )?,
            diverged: make.gauge(
                "rstmdb_state_diverged",
                "1 once this node's state is known to be wrong.",
            )?,
            snapshots: Snapshots::new(make)?,
            clocks: ClockMetrics::new(make)?,
            slow: Slow::new(make)?,
            wal: Wal::new(make)?,
            raft: Raft::new(make)?,
        })
    }

    /// Must not run twice at the same time: counters would count a difference twice.
    pub(super) fn set(&self, replica: &Replica) {
        let status = replica.status();
        gauge(&self.machines, status.machines);
        gauge(&self.instances, status.instances);
        gauge(&self.idempotency_keys, status.idempotency_keys);
        gauge(&self.idempotency_bytes, status.idempotency_bytes);
        gauge(&self.earliest_offset, status.earliest_offset);
        gauge(&self.read_only, u64::from(status.read_only.is_some()));
        gauge(&self.history_damaged, status.history_damaged);
        gauge(&self.watches, replica.watch_count() as u64);
        gauge(&self.watches_lagging, replica.watches_lagging() as u64);
        let counters = replica.counters();
        counter(&self.slow.decisions, counters.decisions_slow.load());
        counter(&self.facts_stale, counters.facts_stale.load());
        counter(&self.commands_redecided, counters.commands_redecided.load());
        counter(&self.commands_forwarded, counters.commands_forwarded.load());
        counter(&self.decisions_failed, counters.decisions_failed.load());
        counter(&self.digest_mismatches, counters.digest_mismatches.load());
        gauge(&self.diverged, u64::from(status.diverged));
        self.snapshots.set(replica);
        counter(&self.history_healed, counters.history_healed.load());
        counter(&self.raft.leader_changes, counters.leader_changes.load());
        counter(&self.raft.stepped_down, counters.stepped_down.load());
        counter(&self.raft.successions, counters.successions.load());
        counter(&self.raft.stalls, counters.replication_stalls.load());
        gauge(&self.raft.stalled, counters.replication_stalled.load());
        for member in &status.members {
            let node_id = member.node_id.to_string();
            let stalls = replica.sent(member.node_id).stalls;
            counter(
                &self.raft.peer_stalls.with_label_values(&[&node_id]),
                stalls,
            );
        }
        gauge(&self.raft.is_leader, u64::from(replica.is_leader()));
        for (role, is_it) in &self.raft.roles {
            is_it.set(i64::from(*role == status.role));
        }
        gauge(&self.raft.term, status.term);
        gauge(&self.raft.commit_index, status.commit_index);
        gauge(&self.raft.applied_index, status.last_applied);
        gauge(&self.raft.snapshot_index, status.snapshot_offset);
        gauge(&self.raft.purged_index, status.purged_offset);
        self.raft.lag.reset();
        for (node_id, lag) in &status.lag {
            gauge(
                &self.raft.lag.with_label_values(&[&node_id.to_string()]),
                *lag,
            );
        }
        self.clocks.set(replica);
        self.wal.set(replica);
    }
}

/// What is a latency.
pub(super) fn latencies(replica: &Replica) -> [MetricFamily; 2] {
    let mut proposals = Metric::default();
    proposals.set_histogram(families::histogram(&replica.counters().proposal));
    let log = replica.store_stats();
    let mut syncs = Metric::default();
    syncs.set_summary(families::summary(log.fsync_us_sum, log.fsyncs));
    [
        families::family(
            "rstmdb_proposal_duration_seconds",
            "From the decision of a batch of commands until its last entry was applied.",
            MetricType::HISTOGRAM,
            vec![proposals],
        ),
        families::family(
            "rstmdb_wal_fsync_duration_seconds",
            "Syncs of the log.",
            MetricType::SUMMARY,
            vec![syncs],
        ),
    ]
}

impl Snapshots {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            taken: make.counter("rstmdb_snapshots_total", "Snapshots taken.")?,
            failed: make.counter(
                "rstmdb_snapshots_failed_total",
                "Snapshots that could not be written.",
            )?,
            last_bytes: make.gauge(
                "rstmdb_snapshot_size_bytes",
                "Size of the last snapshot taken since the start.",
            )?,
            last_secs: make.register(Gauge::new(
                "rstmdb_snapshot_duration_seconds",
                "How long the last snapshot took.",
            )?)?,
        })
    }

    fn set(&self, replica: &Replica) {
        let counters = replica.counters();
        counter(&self.taken, counters.snapshots_taken.load());
        counter(&self.failed, counters.snapshots_failed.load());
        gauge(&self.last_bytes, counters.snapshot_last_bytes.load());
        let took = families::secs(counters.snapshot_last_us.load());
        self.last_secs.set(took);
    }
}

impl ClockMetrics {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            skew: make.register(GaugeVec::new(
                Opts::new(
                    "rstmdb_clock_skew_seconds",
                    "On the leader: how far a voter's clock is ahead of the median of all.",
                ),
                &["node"],
            )?)?,
            log_ahead: make.register(Gauge::new(
                "rstmdb_log_time_ahead_seconds",
                "On the leader: how far the log's time is ahead of the clock it is slewed towards.",
            )?)?,
            steps: make.counter(
                "rstmdb_clock_steps_total",
                "Times this machine's clock was set while the node ran, or the machine was suspended.",
            )?,
        })
    }

    fn set(&self, replica: &Replica) {
        let secs = |ms: i64| {
            Duration::from_millis(ms.unsigned_abs())
                .as_secs_f64()
                .copysign(sign(ms))
        };
        self.skew.reset();
        for (node_id, skew_ms) in replica.clock_skews_ms() {
            let of_node = self.skew.with_label_values(&[&node_id.to_string()]);
            of_node.set(secs(skew_ms));
        }
        self.log_ahead.set(secs(replica.log_time_ahead_ms()));
        counter(&self.steps, replica.counters().clock_steps.load());
    }
}

fn sign(ms: i64) -> f64 {
    if ms < 0 { -1.0 } else { 1.0 }
}

impl Wal {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            entries: make.gauge("rstmdb_wal_entries", "Log entries retained.")?,
            segments: make.gauge("rstmdb_wal_segments", "Log segments.")?,
            size_bytes: make.gauge("rstmdb_wal_size_bytes", "Size of the log.")?,
            bytes_written: make.counter(
                "rstmdb_wal_bytes_written_total",
                "Bytes written to the log.",
            )?,
            bytes_read: make.counter("rstmdb_wal_bytes_read_total", "Bytes read from the log.")?,
            writes: make.counter("rstmdb_wal_writes_total", "Writes to the log.")?,
            reads: make.counter("rstmdb_wal_reads_total", "Reads from the log's files.")?,
            fsyncs: make.counter("rstmdb_wal_fsyncs_total", "Syncs of the log.")?,
        })
    }

    fn set(&self, replica: &Replica) {
        let log = replica.store_stats();
        gauge(&self.entries, log.entry_count);
        gauge(&self.segments, log.segment_count);
        gauge(&self.size_bytes, log.total_size_bytes);
        counter(&self.bytes_written, log.bytes_written);
        counter(&self.bytes_read, log.bytes_read);
        counter(&self.writes, log.writes);
        counter(&self.reads, log.reads);
        counter(&self.fsyncs, log.fsyncs);
    }
}

impl Slow {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            decisions: make.counter(
                "rstmdb_decisions_slow_total",
                "Decisions that took longer than 50 ms.",
            )?,
        })
    }
}

impl Raft {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let roles = make.register(IntGaugeVec::new(
            Opts::new("rstmdb_raft_role", "1 for the role this node has."),
            &["role"],
        )?)?;
        Ok(Self {
            is_leader: make.gauge("rstmdb_raft_is_leader", "1 on the leader.")?,
            roles: ROLES
                .iter()
                .map(|role| (*role, roles.with_label_values(&[role.as_str()])))
                .collect(),
            term: make.gauge("rstmdb_raft_term", "Raft's term.")?,
            commit_index: make.gauge(
                "rstmdb_raft_commit_index",
                "The last offset known to be committed.",
            )?,
            applied_index: make.gauge("rstmdb_raft_applied_index", "The last offset applied.")?,
            snapshot_index: make
                .gauge("rstmdb_raft_snapshot_index", "The last snapshot's offset.")?,
            purged_index: make.gauge(
                "rstmdb_raft_purged_index",
                "The last offset that Raft has removed: a member that ends below it needs a snapshot.",
            )?,
            lag: make.register(IntGaugeVec::new(
                Opts::new(
                    "rstmdb_raft_replication_lag",
                    "On the leader: entries of its log that another member lacks.",
                ),
                &["peer"],
            )?)?,
            leader_changes: make.counter(
                "rstmdb_raft_leader_changes_total",
                "Changes of the leader, or of its term, that this node noticed.",
            )?,
            stepped_down: make.counter(
                "rstmdb_raft_stepped_down_total",
                "Times this node led, heard no majority and stepped down.",
            )?,
            successions: make.counter(
                "rstmdb_raft_successions_total",
                "Times this node found that the leader's process had ended, and did not wait for the election timeout.",
            )?,
            stalls: make.counter(
                "rstmdb_replication_stalls_total",
                "Times that entries of this leader were not acknowledged for cluster.stall_timeout_ms \
                 although heartbeats were.",
            )?,
            stalled: make.gauge(
                "rstmdb_replication_stalled",
                "1 while entries of this leader are not acknowledged although heartbeats are.",
            )?,
            peer_stalls: make.register(IntCounterVec::new(
                Opts::new(
                    "rstmdb_peer_stalls_total",
                    "Times that nothing sent to another member arrived although heartbeats did.",
                ),
                &["peer"],
            )?)?,
        })
    }
}
