//! The time of the log: the clock of a leadership, and the clocks of the other voters that it is compared with.
//!
//! 1. A leadership begins at the lower median of the clocks of the majority that answered, or at the last time in the
//!    log if that is later. If no majority answers for the longest election timeout although this node leads, it begins
//!    at the last median, carried on. If there is none, it begins at the last time in the log. No entry is written
//!    before the clock has begun.
//! 2. From there on it advances with the monotonic clock; see `log_time`.
//! 3. It is slewed towards this node's wall clock. If that clock differs from the median by more than
//!    `cluster.max_clock_skew_ms`, it counts as wrong: the time is slewed towards the median, and the node logs it.
//!
//! The median is taken again every few seconds, and advances with the monotonic clock in between.
//!
//! A clock that stands still until it is advanced takes the place of all this, where the host has one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::known::KnownClocks;
use super::log_time::{LogClock, ahead_ms, lower_median, step_ms};
use crate::planted::{self, Bug};
use crate::replica::parts::counters::Counters;
use crate::replica::types::{Host, ManualClock, Types};

/// By how much a wall clock must get ahead of the monotonic one, or behind it, between two checks to count as a step.
/// It is more than a time server slews in that time, or a busy machine takes between two readings.
const STEP_MS_MIN: u64 = 1_000;

/// Gives the time of the log to decisions, and collects the clocks of the other voters.
pub(crate) struct Clocks<T: Types> {
    host: Arc<dyn Host>,
    manual: Option<Arc<ManualClock>>,
    began: InstantOf<T>,
    skew_max: Duration,
    counters: Arc<Counters>,
    /// Notified when the clock of a leadership is wanted.
    pub(super) wanted: Notify,
    pub(super) known: Mutex<KnownClocks>,
}

/// What one voter's clock showed, and the monotonic time here at which that was heard.
pub(super) struct Reading {
    pub(super) node_id: u64,
    pub(super) shows: Duration,
    pub(super) heard: Duration,
}

impl<T: Types> Clocks<T> {
    pub(crate) fn new(host: Arc<dyn Host>, skew_max: Duration, counters: Arc<Counters>) -> Self {
        Self {
            manual: host.manual_clock(),
            host,
            began: T::now(),
            skew_max,
            counters,
            wanted: Notify::new(),
            known: Mutex::default(),
        }
    }

    pub(super) fn monotonic(&self) -> Duration {
        T::now() - self.began
    }

    pub(super) fn wall(&self) -> Duration {
        Duration::from_millis(self.wall_ms())
    }

    /// This node's wall clock, Unix milliseconds.
    pub(super) fn wall_ms(&self) -> u64 {
        self.host.now_ms()
    }

    /// Whether the clock of this node's leadership in `term` has begun.
    pub(super) fn goes(&self, term: u64) -> bool {
        self.known.lock().leads_in(term)
    }

    /// As [`Clocks::goes`], and asks for the clock if it has not begun.
    pub(crate) fn has_begun(&self, term: u64) -> bool {
        let goes = self.goes(term);
        if !goes {
            self.wanted.notify_one();
        }
        goes
    }

    /// The log's time on the leader, Unix milliseconds: `last_ms`, the last time in the log, at least.
    pub(crate) fn log_time_ms(&self, last_ms: u64) -> u64 {
        self.read(&mut self.known.lock(), last_ms)
    }

    fn read(&self, known: &mut KnownClocks, last_ms: u64) -> u64 {
        if let Some(manual) = &self.manual {
            return manual.raised_ms(last_ms);
        }
        let (wall, now) = (self.wall(), self.monotonic());
        if planted::is(Bug::LogTimeFollowsWallClock) {
            return self.host.now_ms().max(last_ms);
        }
        let target = known.target(wall, now, self.skew_max);
        let Some((_, clock)) = &mut known.led else {
            return last_ms;
        };
        clock.raise(Duration::from_millis(last_ms));
        u64::try_from(clock.read(target, now).as_millis()).unwrap_or(u64::MAX)
    }

    /// The log's time for decisions that the proposer makes now. They count as in flight until
    /// [`Clocks::set_in_flight`] is called.
    pub(crate) fn begin_decisions(&self, last_ms: u64) -> u64 {
        // One lock for both: a log time that is told between the two would be later than that of these decisions.
        let mut known = self.known.lock();
        let time_ms = self.read(&mut known, last_ms);
        known.in_flight_since_ms.get_or_insert(time_ms);
        time_ms
    }

    /// The log's time of the oldest decision that is in flight, if there is one.
    pub(crate) fn set_in_flight(&self, since_ms: Option<u64>) {
        self.known.lock().in_flight_since_ms = since_ms;
    }

    /// The time that every fact that is not applied yet is later than, if the clock of this node's leadership in `term`
    /// has begun.
    pub(crate) fn led_time_ms(&self, term: u64, last_ms: u64) -> Option<u64> {
        let mut known = self.known.lock();
        if !known.leads_in(term) {
            return None;
        }
        let now_ms = self.read(&mut known, last_ms);
        let next_ms = known
            .in_flight_since_ms
            .map_or(now_ms, |since_ms| since_ms.min(now_ms));
        // The next fact may be of this very millisecond.
        Some(next_ms.saturating_sub(1))
    }

    /// By how many milliseconds the log's time is ahead of the clock that it is slewed towards.
    pub(super) fn log_ahead_ms(&self) -> Option<i64> {
        if self.manual.is_some() {
            return None;
        }
        let (wall, now) = (self.wall(), self.monotonic());
        let known = self.known.lock();
        let target = known.target(wall, now, self.skew_max);
        let (_, mut clock) = known.led?;
        Some(ahead_ms(clock.read(target, now), target))
    }

    /// Where a clock begins if no majority answers: at the last median, carried on, or else at `last_ms`, the last time
    /// in the log. If the log has no time either, this node's own clock can do no harm.
    pub(super) fn last_known(&self, last_ms: u64) -> Duration {
        let now = self.monotonic();
        match self.known.lock().median {
            Some((shown, at)) => shown + now.saturating_sub(at),
            None if last_ms == 0 => self.wall(),
            None => Duration::from_millis(last_ms),
        }
    }

    /// Begins the clock of the leadership in `term`.
    pub(super) fn begin(&self, term: u64, median: Duration) {
        let now = self.monotonic();
        self.known.lock().led = Some((term, LogClock::new(median, now)));
    }
}

impl<T: Types> Clocks<T> {
    /// The clock that stands still until it is advanced, if the log's time is this clock's.
    pub(crate) fn manual(&self) -> Option<&Arc<ManualClock>> {
        self.manual.as_ref()
    }

    /// Logs when the wall clock was set while this node ran, or the machine was suspended. Returns what both clocks
    /// show, for the next check.
    pub(super) fn look_for_step(
        &self,
        before: Option<(Duration, Duration)>,
    ) -> (Duration, Duration) {
        let after = (self.wall(), self.monotonic());
        let step = before.map_or(0, |before| step_ms(before, after));
        if step.unsigned_abs() >= STEP_MS_MIN && self.manual.is_none() {
            self.counters.clock_steps.add(1);
            tracing::warn!(
                step_ms = step,
                "the wall clock of this machine was set, or the machine was suspended: the log's time approaches the \
                 clock by at most a tenth of the time that passes"
            );
        }
        after
    }
}

impl<T: Types> Clocks<T> {
    /// Takes the clocks of a majority, this node's among them; gives their median now.
    pub(super) fn take(&self, readings: &[Reading], me: u64) -> Option<Duration> {
        let now = self.monotonic();
        let shows = |reading: &Reading| reading.shows + now.saturating_sub(reading.heard);
        let median = lower_median(readings.iter().map(shows).collect())?;
        let skew_ms_max = u64::try_from(self.skew_max.as_millis()).unwrap_or(u64::MAX);
        let skews = readings
            .iter()
            .map(|reading| (reading.node_id, ahead_ms(shows(reading), median)));
        let skews: BTreeMap<u64, i64> = skews.collect();
        let mut known = self.known.lock();
        for (node_id, skew_ms) in &skews {
            let is_wrong = |ms: &i64| ms.unsigned_abs() > skew_ms_max;
            match (
                is_wrong(skew_ms),
                known.skews.get(node_id).is_some_and(is_wrong),
            ) {
                (true, false) if *node_id == me => tracing::warn!(
                    skew_ms,
                    skew_ms_max,
                    "this leader's clock is further from the median of the voters' clocks than \
                     cluster.max_clock_skew_ms: the log's time follows the median; correct this machine's clock"
                ),
                (true, false) => tracing::warn!(
                    node_id,
                    skew_ms,
                    skew_ms_max,
                    "a member's clock is further from the median of the voters' clocks than \
                     cluster.max_clock_skew_ms: correct the clock of its machine"
                ),
                (false, true) => {
                    tracing::info!(
                        node_id,
                        skew_ms,
                        "a member's clock agrees with the others again"
                    )
                }
                _ => {}
            }
        }
        known.skews = skews;
        known.median = Some((median, now));
        Some(median)
    }
}
