//! What time it is for the log: the clock of a leadership, and the clocks of the others that it is held
//! against.
//!
//! 1. A leadership begins at the lower median of the clocks of the majority that answered, or at the last
//!    time in the log where that is later. Where no majority answers for the longest election timeout although this
//!    node leads, it begins at the last median, carried on, or else at the last time in the log: nothing is written
//!    before it goes.
//! 2. From there on it goes with the monotonic clock; see [`log_time`](super::log_time).
//! 3. It is slewed towards this node's wall clock, or towards the median where the two differ by more than
//!    `cluster.max_clock_skew_ms`: then this clock is the one that is wrong. It says so.
//!
//! The median is taken again every few seconds, and goes on with the monotonic clock in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::background::next_look;
use super::counters::Counters;
use super::handle::{Inner, Replica};
use super::log_time::{LogClock, ahead_ms, lower_median, step_ms};
use super::proposer::term_of;
use super::types::{Host, Types};
use crate::planted::{self, Bug};

/// How often the wall clock is held against the monotonic one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a leader asks the others for their clocks.
const ASK_INTERVAL: Duration = Duration::from_secs(5);
/// What a wall clock goes ahead of the monotonic one, or falls behind, between two looks before it counts as
/// a step: more than a time server slews in that time, or a busy machine takes between two readings.
const STEP_MS_MIN: u64 = 1_000;

/// See the module documentation.
pub(crate) struct Clocks<T: Types> {
    host: Arc<dyn Host>,
    began: InstantOf<T>,
    skew_max: Duration,
    counters: Arc<Counters>,
    /// Somebody waits for the clock of a leadership.
    wanted: Notify,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The term in which this node led last, and its clock.
    led: Option<(u64, LogClock)>,
    /// The median of the clocks, and the monotonic time at which they showed it.
    median: Option<(Duration, Duration)>,
    /// By how many milliseconds each voter that answered is ahead of the median.
    skews: BTreeMap<u64, i64>,
    /// The log's time of the oldest decision here whose outcome is not known yet.
    in_flight_since_ms: Option<u64>,
}

/// What one voter's clock showed, and the monotonic time here at which that was heard.
struct Reading {
    node_id: u64,
    shows: Duration,
    heard: Duration,
}

impl<T: Types> Clocks<T> {
    pub(crate) fn new(host: Arc<dyn Host>, skew_max: Duration, counters: Arc<Counters>) -> Self {
        Self {
            host,
            began: T::now(),
            skew_max,
            counters,
            wanted: Notify::new(),
            known: Mutex::default(),
        }
    }

    fn monotonic(&self) -> Duration {
        T::now() - self.began
    }

    fn wall(&self) -> Duration {
        Duration::from_millis(self.host.now_ms())
    }

    /// Whether the clock of this node's leadership in `term` goes.
    fn goes(&self, term: u64) -> bool {
        self.known.lock().leads_in(term)
    }

    /// The same, and asks for it otherwise.
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

    fn read(&self, known: &mut Known, last_ms: u64) -> u64 {
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
        // One lock for both: a time that is told in between would lie behind these decisions.
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
    /// goes.
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
    fn log_ahead_ms(&self) -> Option<i64> {
        let (wall, now) = (self.wall(), self.monotonic());
        let known = self.known.lock();
        let target = known.target(wall, now, self.skew_max);
        let (_, mut clock) = known.led?;
        Some(ahead_ms(clock.read(target, now), target))
    }

    /// Where a clock begins that is told by nobody: at the last median, carried on, or else at `last_ms`, the last time
    /// in the log. Where that has none, there is nothing that this node's own clock could spoil.
    fn last_known(&self, last_ms: u64) -> Duration {
        let now = self.monotonic();
        match self.known.lock().median {
            Some((shown, at)) => shown + now.saturating_sub(at),
            None if last_ms == 0 => self.wall(),
            None => Duration::from_millis(last_ms),
        }
    }

    /// Begins the clock of the leadership in `term`.
    fn begin(&self, term: u64, median: Duration) {
        let now = self.monotonic();
        self.known.lock().led = Some((term, LogClock::new(median, now)));
    }
}

impl Known {
    fn leads_in(&self, term: u64) -> bool {
        matches!(self.led, Some((led, _)) if led == term)
    }

    /// The wall clock that the log's time is slewed towards.
    fn target(&self, wall: Duration, now: Duration, skew_max: Duration) -> Duration {
        match self.median {
            Some((shown, at)) => {
                let median = shown + now.saturating_sub(at);
                match wall.abs_diff(median) > skew_max {
                    true => median,
                    false => wall,
                }
            }
            None => wall,
        }
    }
}

/// Looks until the replica is dropped or `stop` is notified.
pub(crate) async fn run<T: Types>(replica: Weak<Inner<T>>, stop: Arc<Notify>) {
    let Some(clocks) = replica.upgrade().map(|inner| inner.clocks.clone()) else {
        return;
    };
    let mut before = None;
    let mut asked: Option<InstantOf<T>> = None;
    let mut led: Option<(u64, InstantOf<T>)> = None;
    while let Some(replica) = next_look_or(&replica, &stop, &clocks.wanted).await {
        before = Some(clocks.look_for_step(before));
        let raft = &replica.inner.raft;
        if !raft.is_leader() {
            clocks.known.lock().skews.clear();
            asked = None;
            led = None;
            continue;
        }
        let term = term_of(raft);
        if !clocks.goes(term) {
            let since = match led {
                Some((seen, since)) if seen == term => since,
                _ => T::now(),
            };
            led = Some((term, since));
            replica.begin_clock(term, since).await;
        } else if asked.is_none_or(|at| T::now() >= at + ASK_INTERVAL) {
            asked = Some(T::now());
            // Without a majority the last median goes on.
            let _ = replica.median(Answers::All).await;
        }
    }
}

/// As [`next_look`], or as soon as the clock of a leadership is wanted.
async fn next_look_or<T: Types>(
    replica: &Weak<Inner<T>>,
    stop: &Notify,
    wanted: &Notify,
) -> Option<Replica<T>> {
    tokio::select! {
        biased;
        next = next_look(replica, stop, LOOK_INTERVAL) => next,
        () = wanted.notified() => next_look(replica, stop, Duration::ZERO).await,
    }
}

impl<T: Types> Clocks<T> {
    /// Says when the wall clock was set while this node ran, or the machine stood still; gives what both
    /// clocks show for the next look.
    fn look_for_step(&self, before: Option<(Duration, Duration)>) -> (Duration, Duration) {
        let after = (self.wall(), self.monotonic());
        let step = before.map_or(0, |before| step_ms(before, after));
        if step.unsigned_abs() >= STEP_MS_MIN {
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

/// How many clocks a median needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Those of the first that are a majority.
    Majority,
    /// Those of all that answer, a majority at least.
    All,
}

impl<T: Types> Replica<T> {
    /// On the leader: by how many milliseconds the clock of each voter that answers is ahead of the median.
    #[must_use]
    pub fn clock_skews_ms(&self) -> BTreeMap<u64, i64> {
        match self.is_leader() {
            true => self.inner.clocks.known.lock().skews.clone(),
            false => BTreeMap::new(),
        }
    }

    /// On the leader: by how many milliseconds the log's time is ahead of the clock that it is slewed
    /// towards; negative behind it. 0 elsewhere.
    #[must_use]
    pub fn log_time_ahead_ms(&self) -> i64 {
        let leads = self.is_leader();
        let ahead = leads.then(|| self.inner.clocks.log_ahead_ms()).flatten();
        ahead.unwrap_or(0)
    }

    /// Begins the clock of the leadership in `term`, seen `since` then, unless it is too early to go without the
    /// others' clocks.
    async fn begin_clock(&self, term: u64, since: InstantOf<T>) {
        let clocks = &self.inner.clocks;
        let deadline = since + self.inner.options.election_timeout.1;
        let median = T::timeout_at(deadline, self.median(Answers::Majority)).await;
        let median = median.ok().flatten();
        let is_late = T::now() >= deadline;
        if term_of(&self.inner.raft) != term || (median.is_none() && !is_late) {
            return;
        }
        let begins = median.unwrap_or_else(|| {
            let last_ms = self.inner.applied.read().last_time_ms();
            tracing::warn!(
                term,
                "this leader could not ask a majority of the voters for their clocks: the log's time goes on from its \
                 last known value"
            );
            clocks.last_known(last_ms)
        });
        clocks.begin(term, begins);
    }

    /// Asks the voters for their clocks; the median, unless fewer than a majority have answered.
    async fn median(&self, wanted: Answers) -> Option<Duration> {
        let clocks = &self.inner.clocks;
        let me = self.inner.options.node_id;
        let voters: Vec<u64> = {
            let metrics = self.inner.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.membership().voter_ids().collect()
        };
        let majority = voters.len() / 2 + 1;
        let mut readings = vec![Reading {
            node_id: me,
            shows: clocks.wall(),
            heard: clocks.monotonic(),
        }];
        let others = self.others().into_iter();
        let others = others.filter(|peer| voters.contains(&peer.id));
        let mut answers: FuturesUnordered<_> = others
            .map(|peer| async move { (peer.id, self.inner.peers.report(&peer).await) })
            .collect();
        while wanted == Answers::All || readings.len() < majority {
            let Some((node_id, answer)) = answers.next().await else {
                break;
            };
            if let Some(ms) = answer.ok().and_then(|report| report.clock_ms) {
                readings.push(Reading {
                    node_id,
                    shows: Duration::from_millis(ms),
                    heard: clocks.monotonic(),
                });
            }
        }
        (readings.len() >= majority).then(|| clocks.take(&readings, me))?
    }
}

impl<T: Types> Clocks<T> {
    /// Takes the clocks of a majority, this node's among them; gives their median now.
    fn take(&self, readings: &[Reading], me: u64) -> Option<Duration> {
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
                     cluster.max_clock_skew_ms: the log's time follows the median; set this machine's clock right"
                ),
                (true, false) => tracing::warn!(
                    node_id,
                    skew_ms,
                    skew_ms_max,
                    "a member's clock is further from the median of the voters' clocks than \
                     cluster.max_clock_skew_ms: set the clock of its machine right"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_too_far_from_the_median_is_not_followed() {
        let secs = Duration::from_secs;
        let mut known = Known::default();
        let target = |known: &Known, wall| known.target(secs(wall), secs(7), secs(10));
        assert_eq!(
            target(&known, 5_000),
            secs(5_000),
            "no other clock to compare with"
        );
        // The median was 1,000 s two seconds ago.
        known.median = Some((secs(1_000), secs(5)));
        for (wall, followed) in [
            (1_002, 1_002),
            (1_012, 1_012),
            (1_013, 1_002),
            (992, 992),
            (991, 1_002),
            (90_000, 1_002),
            (0, 1_002),
        ] {
            assert_eq!(target(&known, wall), secs(followed), "{wall}");
        }
    }
}
