//! What a replica counts for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only rises, or the last value of something.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number now.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Upper bounds of the histogram's buckets, in microseconds, inclusive; the last is unbounded.
pub const LATENCY_BUCKETS_US: [u64; 16] = [
    50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800, 409_600,
    819_200, 1_638_400,
];

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; LATENCY_BUCKETS_US.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }

    /// How many fell into each bucket; the last one has no upper bound.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(Counter::load).collect()
    }

    /// The sum of all, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load()
    }
}

/// The counters of one replica.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries that changed nothing because the state had moved on.
    pub facts_stale: Counter,
    /// Commands that were decided more than once.
    pub commands_redecided: Counter,
    /// Files with history that were kept in the archive by this node, and their bytes.
    pub archive_uploaded: Counter,
    /// See [`Counters::archive_uploaded`].
    pub archive_uploaded_bytes: Counter,
    /// Files that were read from the archive, and their bytes.
    pub archive_fetched: Counter,
    /// See [`Counters::archive_fetched`].
    pub archive_fetched_bytes: Counter,
    /// Calls of the archive that have failed.
    pub archive_failed: Counter,
    /// Files of the archive that turned out to be damaged.
    pub archive_damaged: Counter,
    /// How many of them are not mended.
    pub archive_damaged_now: Counter,
    /// Files that retention no longer keeps and the archive does not have yet, and their bytes.
    pub archive_pending: Counter,
    /// See [`Counters::archive_pending`].
    pub archive_pending_bytes: Counter,
    /// For how many milliseconds the oldest of them has waited.
    pub archive_pending_ms: Counter,
    /// Commands whose decision panicked.
    pub decisions_failed: Counter,
    /// Decisions that took longer than 50 ms.
    pub decisions_slow: Counter,
    /// Commands that were sent to the leader.
    pub commands_forwarded: Counter,
    /// Times this node's state differed from another's at the same offset.
    pub digest_mismatches: Counter,
    /// Changes of the leader, or of its term, that this node noticed.
    pub leader_changes: Counter,
    /// Times this node led, heard no majority and stepped down.
    pub stepped_down: Counter,
    /// Times this node found that the leader's process had ended, and did not wait for the election timeout.
    pub successions: Counter,
    /// How often entries of this leader were not acknowledged although heartbeats were.
    pub replication_stalls: Counter,
    /// 1 during such a stall.
    pub replication_stalled: Counter,
    /// Snapshots taken since the start.
    pub snapshots_taken: Counter,
    /// Snapshots that could not be written.
    pub snapshots_failed: Counter,
    /// The size of the last one taken, in bytes.
    pub snapshot_last_bytes: Counter,
    /// How long the last one taken took, in microseconds.
    pub snapshot_last_us: Counter,
    /// Times this machine's wall clock was set while the node ran, or the machine was suspended.
    pub clock_steps: Counter,
    /// Damaged files with history that were replaced from another node.
    pub history_healed: Counter,
    /// Timers of this leader that took effect.
    pub timers_fired: Counter,
    /// Timers of this leader whose event was refused or came too late.
    pub timers_spent: Counter,
    /// Locks that this leader ended because their time was over.
    pub locks_expired: Counter,
    /// Requests that this node refused because their token did not hold the lock: renewals, releases and writes with a
    /// fence.
    pub locks_lost: Counter,
    /// From the decision of a batch of commands until its last entry was applied.
    pub proposal: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for us in [0, 50, 51, 2_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let counts = histogram.counts();
        assert_eq!((counts[0], counts[1]), (2, 1));
        assert_eq!(counts.last(), Some(&1));
        assert_eq!(histogram.sum_us(), 2_000_101);
    }
}
