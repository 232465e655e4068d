//! Locks: held, waited for, expired, lost.

use prometheus::{IntCounter, IntGauge};

use super::families::raise_counter as counter;
use super::{Maker, Scrape};

/// See the module documentation.
pub(super) struct LockMetrics {
    held: IntGauge,
    waiting: IntGauge,
    expired: IntCounter,
    lost: IntCounter,
}

impl LockMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            held: make.gauge("rstmdb_locks_held", "Locks that are held.")?,
            waiting: make.gauge("rstmdb_locks_waiting", "Owners that wait for locks.")?,
            expired: make.counter(
                "rstmdb_locks_expired_total",
                "Locks that expired while this node was the leader.",
            )?,
            lost: make.counter(
                "rstmdb_locks_lost_total",
                "Requests that this node refused as the leader because their token did not hold the lock.",
            )?,
        })
    }

    /// Must not run twice at the same time: counters would count a difference twice.
    pub(super) fn set(&self, scrape: &Scrape<'_>) {
        let replica = scrape.replica;
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (held, waiting) =
            replica.with_state(|state| (state.locks_held(), state.locks_waiting()));
        self.held.set(gauge(held));
        self.waiting.set(gauge(waiting));
        let counters = replica.counters();
        counter(&self.expired, counters.locks_expired.load());
        counter(&self.lost, counters.locks_lost.load());
    }
}
