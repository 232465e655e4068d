//! What the replica counts of its archive.

use prometheus::{Gauge, IntCounter, IntGauge};

use super::Maker;
use super::families::raise_counter as counter;
use crate::replica::Counters;

/// The metrics of the archive.
pub(super) struct ArchiveMetrics {
    uploaded: IntCounter,
    uploaded_bytes: IntCounter,
    fetched: IntCounter,
    fetched_bytes: IntCounter,
    failed: IntCounter,
    damaged: IntCounter,
    damaged_now: IntGauge,
    pending: IntGauge,
    pending_bytes: IntGauge,
    pending_secs: Gauge,
}

impl ArchiveMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            uploaded: make.counter(
                "rstmdb_archive_uploaded_total",
                "Files with history that this node has put into the archive.",
            )?,
            uploaded_bytes: make.counter("rstmdb_archive_uploaded_bytes_total", "Their bytes.")?,
            fetched: make.counter(
                "rstmdb_archive_fetched_total",
                "Files that this node has read from the archive for clients.",
            )?,
            fetched_bytes: make.counter("rstmdb_archive_fetched_bytes_total", "Their bytes.")?,
            failed: make.counter(
                "rstmdb_archive_failures_total",
                "Times that the archive could not be listed, written or read.",
            )?,
            damaged: make.counter(
                "rstmdb_archive_damaged_total",
                "Files of the archive that turned out to be damaged.",
            )?,
            damaged_now: make.gauge(
                "rstmdb_archive_damaged_files",
                "Files of the archive that are known to be damaged.",
            )?,
            pending: make.gauge(
                "rstmdb_archive_pending_files",
                "Files that retention no longer keeps and the archive does not have yet.",
            )?,
            pending_bytes: make.gauge("rstmdb_archive_pending_bytes", "Their bytes.")?,
            pending_secs: make.register(Gauge::new(
                "rstmdb_archive_pending_seconds",
                "For how long there has been such a file.",
            )?)?,
        })
    }

    pub(super) fn set(&self, counters: &Counters) {
        let pairs = [
            (&self.uploaded, &counters.archive_uploaded),
            (&self.uploaded_bytes, &counters.archive_uploaded_bytes),
            (&self.fetched, &counters.archive_fetched),
            (&self.fetched_bytes, &counters.archive_fetched_bytes),
            (&self.failed, &counters.archive_failed),
            (&self.damaged, &counters.archive_damaged),
        ];
        for (shown, counted) in pairs {
            counter(shown, counted.load());
        }
        let now = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.pending.set(now(counters.archive_pending.load()));
        self.damaged_now
            .set(now(counters.archive_damaged_now.load()));
        self.pending_bytes
            .set(now(counters.archive_pending_bytes.load()));
        let waited = std::time::Duration::from_millis(counters.archive_pending_ms.load());
        self.pending_secs.set(waited.as_secs_f64());
    }
}
