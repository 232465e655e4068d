//! Begins the clock of a leadership, compares it with the clocks of the other voters, and tells the log's time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use tokio::sync::Notify;

use super::clocks::{Clocks, Reading};
use crate::replica::apply::term::term_of;
use crate::replica::parts::applied::Applied;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;

/// Interval between comparisons of the wall clock with the monotonic one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which a leader asks the other voters for their clocks.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

/// The clock of this node's leadership.
pub(crate) struct LeaderClock<T: Types> {
    pub clocks: Arc<Clocks<T>>,
    pub neighbours: Arc<Neighbours<T>>,
    pub applied: Arc<Applied>,
    pub election_timeout_max: Duration,
}

/// Checks again and again until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<LeaderClock<T>>) {
    let Some(clocks) = pace.parts().map(|leader| leader.clocks.clone()) else {
        return;
    };
    let mut before = None;
    let mut asked: Option<InstantOf<T>> = None;
    let mut led: Option<(u64, InstantOf<T>)> = None;
    while let Some(leader) = next_look_or(&pace, &clocks.wanted).await {
        before = Some(clocks.look_for_step(before));
        let raft = &leader.neighbours.raft;
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
            leader.begin_clock(term, since).await;
        } else if asked.is_none_or(|at| T::now() >= at + ASK_INTERVAL) {
            asked = Some(T::now());
            // Without a majority the last median goes on.
            let _ = leader.median(ClockAnswers::All).await;
        }
    }
}

/// As [`TaskPace::next`], or as soon as the clock of a leadership is wanted.
async fn next_look_or<T: Types>(
    pace: &TaskPace<LeaderClock<T>>,
    wanted: &Notify,
) -> Option<Arc<LeaderClock<T>>> {
    tokio::select! {
        biased;
        next = pace.next::<T>(LOOK_INTERVAL) => next,
        () = wanted.notified() => pace.next::<T>(Duration::ZERO).await,
    }
}

/// How many clocks a median needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClockAnswers {
    /// The first answers that are a majority.
    Majority,
    /// All answers, a majority at least.
    All,
}

impl<T: Types> LeaderClock<T> {
    /// On the leader: by how many milliseconds the clock of each voter that answers is ahead of the median.
    pub(crate) fn skews_ms(&self) -> BTreeMap<u64, i64> {
        match self.neighbours.is_leader() {
            true => self.clocks.known.lock().skews.clone(),
            false => BTreeMap::new(),
        }
    }

    /// On the leader: by how many milliseconds the log's time is ahead of the clock that it is slewed
    /// towards; negative behind it. 0 elsewhere.
    pub(crate) fn ahead_ms(&self) -> i64 {
        let leads = self.neighbours.is_leader();
        let ahead = leads.then(|| self.clocks.log_ahead_ms()).flatten();
        ahead.unwrap_or(0)
    }

    /// The log time up to which, inclusive, the leader has applied everything, in Unix milliseconds. If no leader
    /// answers, this is the time of the last fact on this node, which may be much earlier.
    pub(crate) async fn log_time_ms(&self) -> u64 {
        if let Some(time_ms) = self.led_time_ms() {
            return time_ms;
        }
        let raft = &self.neighbours.raft;
        let leads = raft.server_metrics().borrow_watched().current_leader;
        let others = self.neighbours.others().into_iter();
        let leader = others.into_iter().find(|peer| Some(peer.id) == leads);
        let told = match leader {
            Some(leader) => self.neighbours.peers.report(&leader).await.ok(),
            None => None,
        };
        let told = told.and_then(|report| report.log_ms);
        told.unwrap_or_else(|| self.applied.read().last_time_ms())
    }

    /// The log's time that a decision at this moment would have. If another node leads, this node's wall clock stands for
    /// that node's; the last time in the log counts if it is later.
    pub(crate) fn now_ms(&self) -> u64 {
        let last_ms = self.applied.read().last_time_ms();
        let leads = self.neighbours.is_leader();
        match leads && self.clocks.goes(term_of(&self.neighbours.raft)) {
            true => self.clocks.log_time_ms(last_ms),
            false => self.clocks.wall_ms().max(last_ms),
        }
    }

    /// The time up to which this node has applied everything, if it leads.
    pub(crate) fn led_time_ms(&self) -> Option<u64> {
        if !self.neighbours.is_leader() {
            return None;
        }
        let last_ms = self.applied.read().last_time_ms();
        let term = term_of(&self.neighbours.raft);
        self.clocks.led_time_ms(term, last_ms)
    }

    /// Begins the clock of the leadership in `term`, first seen at `since`, unless it is too early to begin without the
    /// clocks of the other voters.
    async fn begin_clock(&self, term: u64, since: InstantOf<T>) {
        let clocks = &self.clocks;
        let deadline = since + self.election_timeout_max;
        let median = T::timeout_at(deadline, self.median(ClockAnswers::Majority)).await;
        let median = median.ok().flatten();
        let is_late = T::now() >= deadline;
        if term_of(&self.neighbours.raft) != term || (median.is_none() && !is_late) {
            return;
        }
        let begins = median.unwrap_or_else(|| {
            let last_ms = self.applied.read().last_time_ms();
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
    async fn median(&self, wanted: ClockAnswers) -> Option<Duration> {
        let clocks = &self.clocks;
        let (me, voters): (u64, Vec<u64>) = {
            let metrics = self.neighbours.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            let voters = metrics.membership_config.membership().voter_ids();
            (metrics.id, voters.collect())
        };
        let majority = voters.len() / 2 + 1;
        let mut readings = vec![Reading {
            node_id: me,
            shows: clocks.wall(),
            heard: clocks.monotonic(),
        }];
        let others = self.neighbours.others().into_iter();
        let others = others.filter(|peer| voters.contains(&peer.id));
        let mut answers: FuturesUnordered<_> = others
            .map(|peer| async move { (peer.id, self.neighbours.peers.report(&peer).await) })
            .collect();
        while wanted == ClockAnswers::All || readings.len() < majority {
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
