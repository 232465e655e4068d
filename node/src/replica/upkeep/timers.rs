//! Fires timers whose time has come, and ends locks whose time is over. Only the leader does; the others have the same
//! timers and locks, and wait.
//!
//! The state holds all armed timers in the order in which they are due, so a new leader looks for nothing. A firing is a
//! command that the leader submits to its own proposer, never to another node. Whether it takes effect is decided there,
//! on what is armed at that moment: a firing that comes twice, too early or too late for a moved timer does nothing.
//!
//! A lock is ended in the same way. It is not honoured from the moment on at which its time is over; ending it gives it to
//! the first that waits. That goes on while automation is paused: it is safety for those that wait.
//!
//! What is in flight is exactly what was submitted and not answered yet. At a change of the term all of it is dropped,
//! because the proposer drops it too; the next look finds in the state what is still due.

use std::collections::HashSet;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::reply::Firing;
use rstmdb_engine::{Command, ExpireLock, FireTimer, LockCommand, LockExpiry, LockReply, Reply};

use crate::replica::apply::term::term_of;
use crate::replica::cluster::status::Standing;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::parts::applied::Applied;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::log_page::LogReader;
use crate::replica::parts::pace::Pace;
use crate::replica::parts::replied::Replied;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;
use crate::replica::write::clock::clocks::Clocks;
use crate::replica::write::request::Source;
use crate::replica::write::submit::Inbox;

/// Firings in flight at most. It is far less than half of what the proposer takes, and so few that a client's command
/// behind them waits no longer than for a write of its own.
const IN_FLIGHT_MAX: usize = 128;
/// More are submitted once only this many are left in flight.
const REFILL_AT: usize = IN_FLIGHT_MAX / 2;
/// The longest time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest one, and the pause after a firing that had to wait.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Interval between checks whether this node leads.
const LEADER_INTERVAL: Duration = Duration::from_millis(100);
/// Pause after a firing that was not decided.
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// Timers that this node cannot decide are tried again after this time.
const NOT_UNDERSTOOD_PAUSE: Duration = Duration::from_secs(60);
/// The log's time advances by at most a tenth faster than the clock that sleeping goes by.
const SLEW: (u64, u64) = (10, 11);
/// Overdue timers are counted no further.
const OVERDUE_COUNTED_MAX: usize = 100_000;

/// What fires timers.
pub(crate) struct Timers<T: Types> {
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
    /// How many instances have timers that do not fire, because too many have.
    pub suspended: u64,
    /// How many are overdue, up to 100,000. 0 on a node that does not lead.
    pub overdue: u64,
    /// For how long the first of them is, in milliseconds.
    pub lag_ms: u64,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Due {
    Timer(FireTimer),
    Lock(ExpireLock),
}

type Outcome = (Due, Result<Done, Error>);

/// What was submitted and not answered yet.
struct Firings<T: Types> {
    /// The term in which it was.
    term: u64,
    known: HashSet<Due>,
    outcomes: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    /// Timers that this node cannot decide.
    not_understood: HashSet<Due>,
    /// Nothing is submitted before.
    paused_until: Option<InstantOf<T>>,
    forget_at: Option<InstantOf<T>>,
}

/// Fires timers until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: Pace<Timers<T>>) {
    let Some(applied) = pace.parts().map(|timers| timers.applied.clone()) else {
        return;
    };
    let mut firings = Firings::<T>::new();
    let mut pause = Duration::ZERO;
    loop {
        let seen = applied.offset();
        let leads = firings.term != 0;
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
            () = applied.wait_for(seen + 1), if leads => {}
        }
        let Some(timers) = pace.parts() else { return };
        pause = timers.look(&mut firings);
    }
}

impl<T: Types> Timers<T> {
    pub(crate) fn new(
        standing: &Standing<T>,
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
            return LEADER_INTERVAL;
        }
        firings.begin(term);
        firings.check();
        let now = T::now();
        if let Some(until) = firings.paused_until.filter(|until| now < *until) {
            return until - now;
        }
        firings.forget(now);
        if firings.known.len() > REFILL_AT {
            return LOOK_INTERVAL;
        }
        let (due, next_ms, now_ms) = {
            let state = self.applied.read();
            let now_ms = self.clocks.log_time_ms(state.last_time_ms());
            let timers_ms = state.next_due_ms().filter(|_| !state.is_paused());
            let locks_ms = state.next_lock_expiry_ms();
            let room = IN_FLIGHT_MAX - firings.known.len();
            let mut due = Vec::new();
            if locks_ms.is_some_and(|first_ms| first_ms <= now_ms) {
                let leave_out = |lock: &ExpireLock| firings.knows(&Due::Lock(lock.clone()));
                let locks = state.expired_locks(now_ms, room, leave_out);
                due.extend(locks.into_iter().map(Due::Lock));
            }
            if timers_ms.is_some_and(|first_ms| first_ms <= now_ms) {
                let leave_out = |fire: &FireTimer| firings.knows(&Due::Timer(fire.clone()));
                let timers = state.due_timers(now_ms, room - due.len(), leave_out);
                due.extend(timers.into_iter().map(Due::Timer));
            }
            let next_ms = [timers_ms, locks_ms].into_iter().flatten();
            (
                due,
                next_ms.filter(|next_ms| now_ms < *next_ms).min(),
                now_ms,
            )
        };
        for due in due {
            firings.submit(due, self);
        }
        // What is due is in flight, and its outcome wakes this task, or it cannot be decided here.
        let Some(next_ms) = next_ms else {
            return LOOK_INTERVAL;
        };
        let left = (next_ms - now_ms).saturating_mul(SLEW.0) / SLEW.1;
        Duration::from_millis(left).clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL)
    }

    /// The timers now.
    pub(crate) fn now(&self) -> TimersNow {
        let state = self.applied.read();
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
            now.overdue = state.timers_overdue(now_ms, OVERDUE_COUNTED_MAX) as u64;
        }
        now
    }
}

impl<T: Types> Firings<T> {
    fn new() -> Self {
        Self {
            term: 0,
            known: HashSet::new(),
            outcomes: FuturesUnordered::new(),
            not_understood: HashSet::new(),
            paused_until: None,
            forget_at: None,
        }
    }

    /// Drops everything if the term is another one.
    fn begin(&mut self, term: u64) {
        if self.term != term {
            *self = Self {
                term,
                ..Self::new()
            };
        }
    }

    fn knows(&self, due: &Due) -> bool {
        self.known.contains(due) || self.not_understood.contains(due)
    }

    fn submit(&mut self, due: Due, timers: &Timers<T>) {
        let (command, actor) = match &due {
            Due::Timer(fire) => (Command::FireTimer(fire.clone()), "timer"),
            Due::Lock(lock) => (Command::Lock(LockCommand::Expire(lock.clone())), "lock"),
        };
        let source = Source::ThisLeader { term: self.term };
        let submitted = timers.inbox.submit(command, None, Arc::from(actor), source);
        self.known.insert(due.clone());
        self.outcomes
            .push(Box::pin(submitted.map(|outcome| (due, outcome))));
    }

    /// The next outcome; never, while nothing is in flight.
    async fn next(&mut self) -> Outcome {
        match self.outcomes.next().await {
            Some(outcome) => outcome,
            None => pending().await,
        }
    }

    fn take(&mut self, (due, outcome): Outcome, counters: &Counters) {
        self.known.remove(&due);
        let pause = match outcome.map(|done| done.reply) {
            Ok(Replied::Here(Reply::Fired(firing))) => match firing {
                Firing::Done => {
                    counters.timers_fired.add(1);
                    return;
                }
                Firing::Spent => {
                    counters.timers_spent.add(1);
                    return;
                }
                Firing::Void | Firing::Waits => LOOK_INTERVAL_MIN,
                Firing::NotUnderstood => {
                    tracing::warn!(
                        timer = ?due,
                        "this node does not understand the machine of a timer that is due; another leader may"
                    );
                    self.not_understood.insert(due);
                    return;
                }
            },
            Ok(Replied::Here(Reply::Lock(LockReply::Expired(expiry)))) => match expiry {
                LockExpiry::Done { .. } => {
                    counters.locks_expired.add(1);
                    return;
                }
                LockExpiry::Void | LockExpiry::Waits => LOOK_INTERVAL_MIN,
            },
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, ?due, "a timer was not fired, or a lock not ended, yet");
                ERROR_PAUSE
            }
        };
        self.paused_until = Some(T::now() + pause);
    }

    /// Tries again what could not be decided.
    fn forget(&mut self, now: InstantOf<T>) {
        if self.not_understood.is_empty() {
            self.forget_at = None;
        } else if self.forget_at.is_none() {
            self.forget_at = Some(now + NOT_UNDERSTOOD_PAUSE);
        } else if self.forget_at.is_some_and(|at| at <= now) {
            self.not_understood.clear();
        }
    }

    /// The set of what is in flight is exactly what is awaited.
    fn check(&self) {
        debug_assert_eq!(
            self.known.len(),
            self.outcomes.len(),
            "the firings in flight are not those that are awaited"
        );
    }
}
