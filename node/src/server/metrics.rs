//! What is counted and measured, for Prometheus.
//!
//! Labels are resolved once, when the server starts: counting a request is two atomic additions.
//! What the replica and its log count themselves is read when somebody asks for the metrics.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use rstmdb_rcp::Code;

use super::ops::Op;
use super::product::Replica;

/// From 50 µs, below one fdatasync, to the default request timeout.
const LATENCY_BUCKETS_SECS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0,
];

struct OpMetrics {
    requests: IntCounter,
    duration: Histogram,
}

/// The metrics of one server.
pub struct Metrics {
    registry: Registry,
    connections_active: IntGauge,
    connections_total: IntCounter,
    connections_rejected: IntCounter,
    ops: Vec<OpMetrics>,
    errors: HashMap<&'static str, IntCounter>,
    subscriptions_instance: IntGauge,
    subscriptions_all: IntGauge,
    events_forwarded: IntCounter,
    scraped: Scraped,
}

/// What is set when the metrics are asked for.
struct Scraped {
    machines: IntGauge,
    instances: IntGauge,
    idempotency_keys: IntGauge,
    wal_entries: IntGauge,
    wal_segments: IntGauge,
    wal_size_bytes: IntGauge,
    wal_bytes_written: IntCounter,
    wal_bytes_read: IntCounter,
    wal_writes: IntCounter,
    wal_reads: IntCounter,
    wal_fsyncs: IntCounter,
    raft_is_leader: IntGauge,
    raft_term: IntGauge,
    raft_commit_index: IntGauge,
    raft_applied_index: IntGauge,
    raft_snapshot_index: IntGauge,
    earliest_offset: IntGauge,
    read_only: IntGauge,
    watches: IntGauge,
}

/// Makes collectors and registers them.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is not valid or is there twice: a fault of this file.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let make = Maker(&registry);
        let build = make.register(IntGaugeVec::new(
            Opts::new(
                "rstmdb_build_info",
                "Always 1; the version is in the label.",
            ),
            &["version"],
        )?)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let subscriptions = make.register(IntGaugeVec::new(
            Opts::new("rstmdb_subscriptions_active", "Live watches."),
            &["kind"],
        )?)?;
        let metrics = Self {
            connections_active: make
                .gauge("rstmdb_connections_active", "Open client connections.")?,
            connections_total: make
                .counter("rstmdb_connections_total", "Client connections accepted.")?,
            connections_rejected: make.counter(
                "rstmdb_connections_rejected",
                "Client connections refused at network.max_connections.",
            )?,
            ops: op_metrics(&make)?,
            errors: error_metrics(&make)?,
            subscriptions_instance: subscriptions.with_label_values(&["instance"]),
            subscriptions_all: subscriptions.with_label_values(&["all"]),
            events_forwarded: make
                .counter("rstmdb_events_forwarded_total", "Events sent to watches.")?,
            scraped: Scraped::new(&make)?,
            registry: registry.clone(),
        };
        Ok(metrics)
    }

    /// A connection was accepted.
    pub(crate) fn connection_opened(&self) {
        self.connections_total.inc();
        self.connections_active.inc();
    }

    /// An accepted connection is gone.
    pub(crate) fn connection_closed(&self) {
        self.connections_active.dec();
    }

    /// A connection was refused.
    pub(crate) fn connection_rejected(&self) {
        self.connections_rejected.inc();
    }

    /// How many connections are open.
    pub(crate) fn connections_active(&self) -> u64 {
        u64::try_from(self.connections_active.get()).unwrap_or(0)
    }

    /// A request was answered.
    pub(crate) fn answered(&self, op: Op, took: Duration) {
        if let Some(metrics) = self.ops.get(op as usize) {
            metrics.requests.inc();
            metrics.duration.observe(took.as_secs_f64());
        }
    }

    /// An error was answered.
    pub(crate) fn error(&self, code: &Code) {
        if let Some(counter) = self.errors.get(code.as_str()) {
            counter.inc();
        }
    }

    /// A watch has begun or, with -1, ended.
    pub(crate) fn subscriptions(&self, of_instance: bool, change: i64) {
        if of_instance {
            self.subscriptions_instance.add(change);
        } else {
            self.subscriptions_all.add(change);
        }
    }

    /// Events were sent to watches.
    pub(crate) fn events_forwarded(&self, count: usize) {
        self.events_forwarded.inc_by(count as u64);
    }

    /// Everything, in Prometheus's text format.
    ///
    /// # Errors
    /// When the format cannot hold a metric: a fault of this file.
    pub(crate) fn render(&self, replica: &Replica) -> prometheus::Result<String> {
        self.scraped.set(replica);
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn op_metrics(make: &Maker<'_>) -> prometheus::Result<Vec<OpMetrics>> {
    let requests = make.register(IntCounterVec::new(
        Opts::new("rstmdb_requests_total", "Requests answered."),
        &["op"],
    )?)?;
    let duration = make.register(HistogramVec::new(
        HistogramOpts::new(
            "rstmdb_request_duration_seconds",
            "From the request's arrival to its answer.",
        )
        .buckets(LATENCY_BUCKETS_SECS.to_vec()),
        &["op"],
    )?)?;
    let resolved = Op::ALL.iter().map(|op| OpMetrics {
        requests: requests.with_label_values(&[op.name()]),
        duration: duration.with_label_values(&[op.name()]),
    });
    Ok(resolved.collect())
}

fn error_metrics(make: &Maker<'_>) -> prometheus::Result<HashMap<&'static str, IntCounter>> {
    let errors = make.register(IntCounterVec::new(
        Opts::new("rstmdb_errors_total", "Requests refused or failed."),
        &["code"],
    )?)?;
    let resolved = Code::ALL
        .iter()
        .map(|code| (code.as_str(), errors.with_label_values(&[code.as_str()])));
    Ok(resolved.collect())
}

impl Scraped {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            machines: make.gauge("rstmdb_machines_total", "Machine versions.")?,
            instances: make.gauge("rstmdb_instances_total", "Live instances.")?,
            idempotency_keys: make
                .gauge("rstmdb_idempotency_keys", "Idempotency keys remembered.")?,
            wal_entries: make.gauge("rstmdb_wal_entries", "Log entries retained.")?,
            wal_segments: make.gauge("rstmdb_wal_segments", "Log segments.")?,
            wal_size_bytes: make.gauge("rstmdb_wal_size_bytes", "Size of the log.")?,
            wal_bytes_written: make.counter(
                "rstmdb_wal_bytes_written_total",
                "Bytes written to the log.",
            )?,
            wal_bytes_read: make
                .counter("rstmdb_wal_bytes_read_total", "Bytes read from the log.")?,
            wal_writes: make.counter("rstmdb_wal_writes_total", "Writes to the log.")?,
            wal_reads: make.counter("rstmdb_wal_reads_total", "Reads from the log's files.")?,
            wal_fsyncs: make.counter("rstmdb_wal_fsyncs_total", "Syncs of the log.")?,
            raft_is_leader: make.gauge("rstmdb_raft_is_leader", "1 on the leader.")?,
            raft_term: make.gauge("rstmdb_raft_term", "Raft's term.")?,
            raft_commit_index: make.gauge(
                "rstmdb_raft_commit_index",
                "The last offset known to be committed.",
            )?,
            raft_applied_index: make
                .gauge("rstmdb_raft_applied_index", "The last offset applied.")?,
            raft_snapshot_index: make
                .gauge("rstmdb_raft_snapshot_index", "The last snapshot's offset.")?,
            earliest_offset: make.gauge(
                "rstmdb_earliest_offset",
                "The first offset that is retained.",
            )?,
            read_only: make.gauge("rstmdb_read_only", "1 while writes are refused.")?,
            watches: make.gauge("rstmdb_watches", "Watches known to the replica.")?,
        })
    }

    fn set(&self, replica: &Replica) {
        let gauge = |gauge: &IntGauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        // What the log counts only grows, so the difference to the last scrape is what to add.
        let counter = |counter: &IntCounter, value: u64| {
            counter.inc_by(value.saturating_sub(counter.get()));
        };
        let status = replica.status();
        gauge(&self.machines, status.machines);
        gauge(&self.instances, status.instances);
        gauge(&self.idempotency_keys, status.idempotency_keys);
        gauge(&self.raft_is_leader, u64::from(replica.is_leader()));
        gauge(&self.raft_term, status.term);
        gauge(&self.raft_commit_index, status.commit_index);
        gauge(&self.raft_applied_index, status.last_applied);
        gauge(&self.raft_snapshot_index, status.snapshot_offset);
        gauge(&self.earliest_offset, status.earliest_offset);
        gauge(&self.read_only, u64::from(status.read_only.is_some()));
        gauge(&self.watches, replica.watch_count() as u64);
        let log = replica.store_stats();
        gauge(&self.wal_entries, log.entry_count);
        gauge(&self.wal_segments, log.segment_count);
        gauge(&self.wal_size_bytes, log.total_size_bytes);
        counter(&self.wal_bytes_written, log.bytes_written);
        counter(&self.wal_bytes_read, log.bytes_read);
        counter(&self.wal_writes, log.writes);
        counter(&self.wal_reads, log.reads);
        counter(&self.wal_fsyncs, log.fsyncs);
    }
}
