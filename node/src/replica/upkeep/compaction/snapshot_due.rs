//! Decides whether a snapshot is due: by how much the log has grown since the last one, and when that was.

use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_raft_store::Stats;

use crate::replica::parts::options::CompactionOptions;
use crate::replica::types::Types;

/// How long the node takes no snapshot by itself after one has failed: the failed one may have written much.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// The log when the last snapshot was taken, or when the replica started.
#[derive(Debug, Clone, Copy)]
struct SnapshotMark<T: Types> {
    at: InstantOf<T>,
    bytes_written: u64,
    /// Log bytes behind the last snapshot that were written before the start.
    carried_bytes: u64,
}

/// How far the log is, and the last snapshot.
pub(super) struct LogGrowth {
    /// Entries that were applied and are in no snapshot.
    pub entries: u64,
    /// Bytes written to the log since the start.
    pub bytes_written: u64,
    /// Bytes of the last snapshot.
    pub last_size: u64,
}

/// What is remembered from one snapshot to the next.
pub(super) struct SnapshotDue<T: Types> {
    since: Mutex<SnapshotMark<T>>,
    /// The node takes no snapshot by itself before this time, because one has failed.
    not_before: Mutex<InstantOf<T>>,
}

impl<T: Types> SnapshotDue<T> {
    /// Begins with `entries_behind` entries that the last snapshot does not cover, whose size is
    /// estimated by the log's average.
    pub(super) fn new(stats: &Stats, entries_behind: u64) -> Self {
        let average = stats.total_size_bytes / stats.entry_count.max(1);
        Self {
            since: Mutex::new(SnapshotMark {
                at: T::now(),
                bytes_written: stats.bytes_written,
                carried_bytes: average.saturating_mul(entries_behind),
            }),
            not_before: Mutex::new(T::now()),
        }
    }

    /// Whether the last snapshot, or the last failure, is long enough ago.
    pub(super) fn may_be_taken(&self, min_interval: Duration) -> bool {
        T::now() >= self.since.lock().at + min_interval && T::now() >= *self.not_before.lock()
    }

    /// Whether the log has grown enough since the last snapshot to ask for the next.
    pub(super) fn is_due(&self, options: &CompactionOptions, grown: &LogGrowth) -> bool {
        let since = *self.since.lock();
        let bytes = grown.bytes_written.saturating_sub(since.bytes_written) + since.carried_bytes;
        grown.entries > 0
            && bytes >= grown.last_size
            && (grown.entries >= options.events_threshold || bytes >= options.size_threshold_bytes)
    }

    /// A snapshot was taken; the log had `bytes_written` when it began.
    pub(super) fn was_taken(&self, bytes_written: u64) {
        *self.since.lock() = SnapshotMark {
            at: T::now(),
            bytes_written,
            carried_bytes: 0,
        };
    }

    /// A snapshot could not be written.
    pub(super) fn has_failed(&self) {
        *self.not_before.lock() = T::now() + RETRY_PAUSE;
    }
}
