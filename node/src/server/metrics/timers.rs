//! Timers: armed, overdue, fired, spent, suspended.

use prometheus::{Gauge, IntCounter, IntGauge};

use super::families::raise_counter as counter;
use super::{Maker, Scrape};

/// See the module documentation.
pub(super) struct TimersMetrics {
    armed: IntGauge,
    overdue: IntGauge,
    lag: Gauge,
    suspended: IntGauge,
    fired: IntCounter,
    spent: IntCounter,
}

impl TimersMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            armed: make.gauge("rstmdb_timers_armed", "Timers that are armed.")?,
            overdue: make.gauge(
                "rstmdb_timers_overdue",
                "On the leader: timers that are due and have not fired, counted up to 100000.",
            )?,
            lag: make.register(Gauge::new(
                "rstmdb_timers_lag_seconds",
                "On the leader: for how long the first overdue timer is overdue.",
            )?)?,
            suspended: make.gauge(
                "rstmdb_timers_suspended_instances",
                "Instances whose timers do not fire because too many have fired within a minute.",
            )?,
            fired: make.counter(
                "rstmdb_timers_fired_total",
                "Timers that took effect while this node was the leader.",
            )?,
            spent: make.counter(
                "rstmdb_timers_spent_total",
                "Timers that were spent without effect while this node was the leader.",
            )?,
        })
    }

    /// Must not run twice at the same time: counters would count a difference twice.
    pub(super) fn set(&self, scrape: &Scrape<'_>) {
        let now = scrape.replica.timers();
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.armed.set(gauge(now.armed));
        self.overdue.set(gauge(now.overdue));
        self.lag.set(now.lag_ms as f64 / 1000.0);
        self.suspended.set(gauge(now.suspended));
        let counters = scrape.replica.counters();
        counter(&self.fired, counters.timers_fired.load());
        counter(&self.spent, counters.timers_spent.load());
    }
}
