//! Fires timers that are due, and ends locks that have expired. Only the leader does this. Followers have the same
//! timers and locks, and fire none.
//!
//! The state holds all armed timers in the order in which they are due, so a new leader finds them without a scan. A
//! firing is a command that the leader submits to its own proposer, never to another node. The proposer decides it on
//! the timers that are armed at that moment. So a firing that comes twice, too early, or after its timer was moved does
//! nothing.
//!
//! The leader ends a lock in the same way. No decision treats a lock as held once it has expired; ending it gives it to
//! the first owner that waits. This goes on while automation is paused, so that these owners do not wait for ever.
//!
//! A clock that stands still until it is advanced is advanced here: from one due time to the next.

mod firings;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::StreamExt;
use openraft::type_config::TypeConfigExt;
use rstmdb_engine::ExpireLock;

use crate::planted::{self, Bug};
use crate::replica::apply::term::term_of;
use crate::replica::cluster::status::ClusterStanding;
use crate::replica::parts::applied::Applied;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::log_page::LogReader;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::{ManualClock, Types};
use crate::replica::write::clock::clocks::Clocks;
use crate::replica::write::submit::Inbox;

use firings::{Due, Firings, LOOK_INTERVAL_MIN};

/// The longest time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between checks whether this node leads.
const LEADER_INTERVAL: Duration = Duration::from_millis(100);
/// The log's time advances by at most a tenth faster than the clock that sleeping goes by.
const SLEW: (u64, u64) = (10, 11);

/// The task that fires timers.
pub(crate) struct TimersTask<T: Types> {
    neighbours: Arc<Neighbours<T>>,
    applied: Arc<Applied>,
    clocks: Arc<Clocks<T>>,
    inbox: Inbox<T>,
    counters: Arc<Counters>,
}

/// The timers of a node at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimersNow {
    /// How many are armed.
    pub armed: u64,
    /// How many instances have timers that do not fire, because too many have fired within a minute.
    pub suspended: u64,
    /// How many are overdue. 0 on a node that does not lead.
    pub overdue: u64,
    /// For how long the first of these is overdue, in milliseconds.
    pub lag_ms: u64,
}

/// What one look at the state has found.
struct Found {
    due: Vec<Due>,
    now_ms: u64,
    /// When the next timer that is not due yet is due, or the next lock.
    next_ms: Option<u64>,
    /// Timers were passed over that this node does not understand, and the next look gets further.
    goes_on: bool,
}

/// Fires timers until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<TimersTask<T>>) {
    let Some((applied, manual)) = pace
        .parts()
        .map(|timers| (timers.applied.clone(), timers.clocks.manual().cloned()))
    else {
        return;
    };
    let mut firings = Firings::<T>::new();
    let (mut pause, mut seen) = (Duration::ZERO, applied.offset());
    loop {
        let leads = firings.leads();
        tokio::select! {
            biased;
            next = pace.next::<T>(pause) => if next.is_none() {
                return;
            },
            outcome = firings.next() => {
                let Some(timers) = pace.parts() else { return };
                firings.take(outcome, &timers.counters);
                while let Some(Some(outcome)) = firings.outcomes.next().now_or_never() {
                    firings.take(outcome, &timers.counters);
                }
            },
            () = changed::<T>(&applied, seen), if leads => {}
            () = advanced(manual.as_deref()) => {}
        }
        let Some(timers) = pace.parts() else { return };
        // Before the look: what is applied during it may have armed a timer that it did not see.
        seen = applied.offset();
        pause = timers.look(&mut firings);
    }
}

/// Waits for an entry behind this offset, which may have armed a timer, and then for others that come with it: under
/// load entries are applied far more often than it is worth to look.
async fn changed<T: Types>(applied: &Applied, offset: u64) {
    applied.wait_for(offset + 1).await;
    T::sleep(LOOK_INTERVAL_MIN).await;
}

/// Returns once the clock is to be advanced; never, if it goes by itself.
async fn advanced(manual: Option<&ManualClock>) {
    match manual {
        Some(manual) => manual.wait().await,
        None => pending().await,
    }
}

impl<T: Types> TimersTask<T> {
    pub(crate) fn new(
        standing: &ClusterStanding<T>,
        log: &LogReader<T::Fs>,
        inbox: Inbox<T>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            neighbours: standing.neighbours.clone(),
            applied: log.applied.clone(),
            clocks: standing.clock.clocks.clone(),
            inbox,
            counters,
        }
    }

    /// Submits what is due; gives the time until the next look, unless something happens before.
    fn look(&self, firings: &mut Firings<T>) -> Duration {
        let raft = &self.neighbours.raft;
        let term = term_of(raft);
        if !raft.is_leader() || !self.clocks.has_begun(term) {
            firings.begin(0);
            if planted::is(Bug::TimerFiresTwiceAfterFailover) {
                firings.remember(&self.applied.read());
            }
            return LEADER_INTERVAL;
        }
        firings.begin(term);
        firings.check();
        let now = T::now();
        if let Some(pause) = firings.pause(now) {
            return pause;
        }
        let asked = self.inbox.asked.load(Ordering::Relaxed);
        let configured = self.inbox.tuned.now().timers_in_flight;
        let Some(room) = firings.room(configured, asked, now) else {
            return LOOK_INTERVAL;
        };
        if let Some(manual) = self.clocks.manual() {
            return self.look_and_step(firings, room, manual);
        }
        let found = self.find(firings, room);
        let remembered = firings.remembered_until(found.now_ms);
        for due in found.due.into_iter().chain(remembered) {
            if !firings.knows(&due) {
                firings.submit(due, self);
            }
        }
        if found.goes_on {
            return LOOK_INTERVAL_MIN;
        }
        // What is due is in flight, and its outcome wakes this task, or it cannot be decided here.
        let Some(next_ms) = found.next_ms else {
            return LOOK_INTERVAL;
        };
        let left = (next_ms - found.now_ms).saturating_mul(SLEW.0) / SLEW.1;
        Duration::from_millis(left).clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL)
    }

    /// What is due and not in flight yet: so many at most.
    fn find(&self, firings: &mut Firings<T>, room: usize) -> Found {
        let state = self.applied.read();
        let mut now_ms = self.clocks.log_time_ms(state.last_time_ms());
        if planted::is(Bug::TimerFiresBeforeDue) {
            now_ms += planted::FIRES_EARLY_MS;
        }
        let timers_ms = state.next_due_ms().filter(|_| !state.is_paused());
        let locks_ms = state.next_lock_expiry_ms();
        let is_due = |first_ms: Option<u64>| first_ms.is_some_and(|first_ms| first_ms <= now_ms);
        let (mut due, mut goes_on) = (Vec::new(), false);
        if is_due(locks_ms) {
            let leave_out = |lock: &ExpireLock| firings.knows(&Due::Lock(lock.clone()));
            let locks = state.expired_locks(now_ms, room, leave_out);
            due.extend(locks.into_iter().map(Due::Lock));
        }
        if is_due(timers_ms) {
            let timers = firings.find(&state, now_ms, room - due.len());
            due.extend(timers.into_iter().map(Due::Timer));
            goes_on = firings.goes_on();
        }
        let next_ms = [timers_ms, locks_ms].into_iter().flatten();
        Found {
            due,
            now_ms,
            next_ms: next_ms.filter(|next_ms| now_ms < *next_ms).min(),
            goes_on,
        }
    }

    /// As [`TimersTask::look`], by a clock that stands still. Once nothing is due that can be decided, the clock takes its
    /// next step.
    fn look_and_step(
        &self,
        firings: &mut Firings<T>,
        room: usize,
        manual: &ManualClock,
    ) -> Duration {
        // Read before the state, so that an advance ends only after what was armed before it.
        let (goal_ms, asked) = manual.goal();
        let found = self.find(firings, room);
        for due in found.due {
            firings.submit(due, self);
        }
        if found.goes_on {
            return LOOK_INTERVAL_MIN;
        }
        if !firings.is_empty() {
            return LOOK_INTERVAL;
        }
        let next_ms = self.next_until(firings, goal_ms);
        match manual.step(next_ms, asked) {
            true => Duration::ZERO,
            false => LOOK_INTERVAL,
        }
    }

    /// When the first timer or lock until this time is due.
    fn next_until(&self, firings: &Firings<T>, goal_ms: u64) -> Option<u64> {
        let state = self.applied.read();
        let timer = match state.is_paused() {
            true => None,
            false => firings.first_until(&state, goal_ms),
        };
        let locks = state.expired_locks(goal_ms, 1, |_| false);
        let timer_ms = timer.map(|fire| fire.due_ms);
        let lock_ms = locks.first().map(|lock| lock.expires_ms);
        [timer_ms, lock_ms].into_iter().flatten().min()
    }

    /// The timers now.
    pub(crate) fn now(&self) -> TimersNow {
        // A copy, because counting may take longer than entries may wait to be applied.
        let state = self.applied.read().clone();
        let mut now = TimersNow {
            armed: state.timers_armed(),
            suspended: state.timers_suspended(),
            ..TimersNow::default()
        };
        let term = term_of(&self.neighbours.raft);
        let leads = self.neighbours.raft.is_leader() && self.clocks.has_begun(term);
        if let Some(first_ms) = state.next_due_ms().filter(|_| leads) {
            let now_ms = self.clocks.log_time_ms(state.last_time_ms());
            now.lag_ms = now_ms.saturating_sub(first_ms);
            now.overdue = state.timers_overdue(now_ms);
        }
        now
    }
}
