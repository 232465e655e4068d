//! What is counted and measured, for Prometheus.
//!
//! Labels are resolved once, when the server starts: counting a request is two atomic additions. What the replica and
//! its log count themselves is read when a client asks for the metrics.
//!
//! | module | subject |
//! |---|---|
//! | `access` | who was refused; the audit log |
//! | `archive` | what the replica counts of its archive |
//! | `families` | what the node counts itself, in the form that the crate `prometheus` writes |
//! | `http` | responses of HTTP |
//! | `guards` | certificates, refusals at the port for other nodes |
//! | `agreed` | what the cluster has agreed on besides its contents |
//! | `process` | what the system says about the process |
//! | `renamed` | the old names of some, for one version |
//! | `locks` | locks that are held, waited for, expired, lost |
//! | `timers` | timers that are armed, overdue, fired, spent |
//! | `traces` | spans for the collector |
//! | `scraped` | what the replica and its log count |

mod access;
mod agreed;
mod archive;
mod families;
mod guards;
mod http;
mod locks;
mod process;
mod renamed;
mod scraped;
mod timers;
mod traces;

use std::collections::HashMap;
use std::time::Duration;

use axum::http::StatusCode;
use parking_lot::Mutex;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use rstmdb_rcp::Code;

use crate::replica::counters::Histogram;
use crate::server::logging;
use crate::server::logging::traces::Traces;
use crate::server::messages::op::Op;
use crate::server::peer::Refusals;
use crate::server::product::Replica;
use crate::server::transport::certificates::CertificateInUse;
use access::AccessMetrics;
pub(crate) use access::AccessRefusal;
use agreed::Agreed;
use archive::ArchiveMetrics;
use guards::Guards;
use http::HttpMetrics;
use locks::LockMetrics;
use process::ProcessMetrics;
use scraped::Scraped;
use timers::TimersMetrics;
use traces::TraceMetrics;

/// The metrics of one server.
pub struct Metrics {
    registry: Registry,
    connections_active: IntGauge,
    connections_total: IntCounter,
    connections_rejected: IntCounter,
    buffers_bytes: IntGauge,
    log_lines_dropped: IntCounter,
    /// From the arrival of a request to its answer, by operation.
    ops: Vec<Histogram>,
    errors: HashMap<&'static str, IntCounter>,
    subscriptions_instance: IntGauge,
    subscriptions_all: IntGauge,
    events_forwarded: IntCounter,
    http: HttpMetrics,
    access: AccessMetrics,
    agreed: Agreed,
    timers: Mutex<TimersMetrics>,
    locks: Mutex<LockMetrics>,
    scraped: Mutex<Scraped>,
    guards: Mutex<Guards>,
    archive: Mutex<ArchiveMetrics>,
    traces: Mutex<TraceMetrics>,
    process: ProcessMetrics,
}

/// What is read when the metrics are asked for.
pub(crate) struct Scrape<'a> {
    /// The replica behind the server.
    pub(crate) replica: &'a Replica,
    /// What all connections hold in memory, in bytes.
    pub(crate) buffers_bytes: u64,
    /// The certificates that are in use.
    pub(crate) certificates: &'a [CertificateInUse],
    /// What the port for other nodes refused.
    pub(crate) peer_refusals: &'a Refusals,
    /// Where requests are recorded, if traces are on.
    pub(crate) traces: Option<&'a Traces>,
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
    /// When a name is not valid or is there twice: a bug in this file.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
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
                "rstmdb_connections_rejected_total",
                "Client connections refused at network.max_connections.",
            )?,
            buffers_bytes: make.gauge(
                "rstmdb_connection_buffers_bytes",
                "Frames, commands and answers that client connections hold in memory.",
            )?,
            log_lines_dropped: make.counter(
                "rstmdb_log_lines_dropped_total",
                "Log lines that standard error did not take.",
            )?,
            ops: Op::ALL.iter().map(|_| Histogram::default()).collect(),
            errors: error_metrics(&make)?,
            subscriptions_instance: subscriptions.with_label_values(&["instance"]),
            subscriptions_all: subscriptions.with_label_values(&["all"]),
            events_forwarded: make
                .counter("rstmdb_events_forwarded_total", "Events sent to watches.")?,
            http: HttpMetrics::new(&make)?,
            access: AccessMetrics::new(&make)?,
            agreed: Agreed::new(&make)?,
            timers: Mutex::new(TimersMetrics::new(&make)?),
            locks: Mutex::new(LockMetrics::new(&make)?),
            scraped: Mutex::new(Scraped::new(&make)?),
            guards: Mutex::new(Guards::new(&make)?),
            archive: Mutex::new(ArchiveMetrics::new(&make)?),
            traces: Mutex::new(TraceMetrics::new(&make)?),
            process: ProcessMetrics::new(),
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
        if let Some(durations) = self.ops.get(op as usize) {
            durations.observe(took);
        }
    }

    /// An error was answered.
    pub(crate) fn error(&self, code: &Code) {
        if let Some(counter) = self.errors.get(code.as_str()) {
            counter.inc();
        }
    }

    /// A client was not let in, or not allowed something.
    pub(crate) fn access_refused(&self, why: AccessRefusal) {
        self.access.refused(why);
    }

    /// Records were written to the audit log.
    pub(crate) fn audit_written(&self, records: u64) {
        self.access.audit_written.inc_by(records);
    }

    /// Records for the audit log were lost.
    pub(crate) fn audit_lost(&self, records: u64) {
        self.access.audit_lost.inc_by(records);
    }

    /// How many records were written, and how many were lost.
    #[cfg(test)]
    pub(crate) fn audit_counts(&self) -> (u64, u64) {
        (
            self.access.audit_written.get(),
            self.access.audit_lost.get(),
        )
    }

    /// A response of HTTP was begun.
    pub(crate) fn http_answered(&self, status: StatusCode) {
        self.http.answered(status);
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
    /// When the format cannot hold a metric: a bug in this file.
    pub(crate) fn render(&self, scrape: &Scrape<'_>) -> prometheus::Result<String> {
        let replica = scrape.replica;
        let buffers = i64::try_from(scrape.buffers_bytes);
        self.buffers_bytes.set(buffers.unwrap_or(i64::MAX));
        let mut families = {
            self.agreed.set(&replica.status());
            self.timers.lock().set(scrape);
            self.locks.lock().set(scrape);
            let scraped = self.scraped.lock();
            scraped.set(replica);
            self.guards.lock().set(scrape);
            self.traces.lock().set(scrape);
            self.archive.lock().set(scrape.replica.counters());
            let dropped = logging::lines_dropped();
            let known = self.log_lines_dropped.get();
            self.log_lines_dropped.inc_by(dropped.saturating_sub(known));
            self.registry.gather()
        };
        families.extend(self.requests());
        families.extend(scraped::latencies(replica));
        families.extend(self.process.families());
        let mut text = TextEncoder::new().encode_to_string(&families)?;
        renamed::write(&families, &mut text);
        Ok(text)
    }

    fn requests(&self) -> [MetricFamily; 2] {
        let of_each = |set: fn(&mut Metric, &Histogram)| {
            let ops = Op::ALL.iter().zip(&self.ops);
            ops.map(|(op, durations)| {
                let mut series = families::labelled("op", op.name());
                set(&mut series, durations);
                series
            })
            .collect()
        };
        let counts = of_each(|series, durations| {
            let answered = durations.counts().iter().sum();
            series.set_counter(families::counter(answered));
        });
        let durations =
            of_each(|series, durations| series.set_histogram(families::histogram(durations)));
        [
            families::family(
                "rstmdb_requests_total",
                "Requests answered.",
                MetricType::COUNTER,
                counts,
            ),
            families::family(
                "rstmdb_request_duration_seconds",
                "From the request's arrival to its answer.",
                MetricType::HISTOGRAM,
                durations,
            ),
        ]
    }
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
