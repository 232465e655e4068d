//! Fires timers whose time has come. Only the leader does; the others have the same timers and wait.
//!
//! The state holds all armed timers in the order in which they are due, so a new leader looks for nothing. A firing is a
//! command that the leader submits to its own proposer, never to another node. Whether it takes effect is decided there,
//! on what is armed at that moment: a firing that comes twice, too early or too late for a moved timer does nothing.
//!
//! What is in flight is exactly what was submitted and not answered yet. At a change of the term all of it is dropped,
//! because the proposer drops it too; the next look finds in the state what is still due.
//!
//! A clock that stands still until it is advanced is advanced here: from one due time to the next.

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
use rstmdb_engine::{Command, FireTimer, Reply, State};

use crate::planted::{self, Bug};
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
use crate::replica::types::{ManualClock, Types};
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

type Outcome = (FireTimer, Result<Done, Error>);

/// What was submitted and not answered yet.
struct Firings<T: Types> {
    /// The term in which it was.
    term: u64,
    known: HashSet<FireTimer>,
    outcomes: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    /// Timers that this node cannot decide.
    not_understood: HashSet<FireTimer>,
    /// What this node would fire if it led, with its bug planted.
    remembered: Vec<FireTimer>,
    /// Nothing is submitted before.
    paused_until: Option<InstantOf<T>>,
    forget_at: Option<InstantOf<T>>,
}

/// Fires timers until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: Pace<Timers<T>>) {
    let Some(applied) = pace.parts().map(|timers| timers.applied.clone()) else {
        return;
    };
    let manual = pace
        .parts()
        .and_then(|timers| timers.clocks.manual().cloned());
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
            () = advanced(manual.as_deref()) => {}
        }
        let Some(timers) = pace.parts() else { return };
        pause = timers.look(&mut firings);
    }
}

/// Returns once the clock is to be advanced; never, if it goes by itself.
async fn advanced(manual: Option<&ManualClock>) {
    match manual {
        Some(manual) => manual.wait().await,
        None => pending().await,
    }
}

/// What one look at the state has found.
struct DueTimers {
    due: Vec<FireTimer>,
    now_ms: u64,
    /// When the next timer is due, or the first of those that are.
    next_due_ms: Option<u64>,
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
            if planted::is(Bug::TimerFiresTwiceAfterFailover) {
                firings.remember(&self.applied.read());
            }
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
        if let Some(manual) = self.clocks.manual() {
            return self.look_and_step(firings, manual);
        }
        let DueTimers {
            due,
            now_ms,
            next_due_ms,
        } = self.find(firings);
        let remembered = std::mem::take(&mut firings.remembered).into_iter();
        let (remembered, later) = remembered.partition(|fire| fire.due_ms <= now_ms);
        firings.remembered = later;
        for fire in due.into_iter().chain::<Vec<FireTimer>>(remembered) {
            if !firings.knows(&fire) {
                firings.submit(fire, self);
            }
        }
        let Some(next_due_ms) = next_due_ms.filter(|next_ms| *next_ms > now_ms) else {
            // What is due is in flight, and its outcome wakes this task, or it cannot be decided here.
            return LOOK_INTERVAL;
        };
        let left = (next_due_ms - now_ms).saturating_mul(SLEW.0) / SLEW.1;
        Duration::from_millis(left).clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL)
    }

    /// What is due and not in flight yet.
    fn find(&self, firings: &Firings<T>) -> DueTimers {
        let state = self.applied.read();
        let mut now_ms = self.clocks.log_time_ms(state.last_time_ms());
        if planted::is(Bug::TimerFiresBeforeDue) {
            now_ms += planted::FIRES_EARLY_MS;
        }
        let next_due_ms = state.next_due_ms().filter(|_| !state.is_paused());
        let room = IN_FLIGHT_MAX - firings.known.len();
        let due = match next_due_ms {
            Some(first_ms) if first_ms <= now_ms => {
                state.due_timers(now_ms, room, |fire| firings.knows(fire))
            }
            _ => Vec::new(),
        };
        DueTimers {
            due,
            now_ms,
            next_due_ms,
        }
    }

    /// As [`Timers::look`], by a clock that stands still. Once nothing is due that can be decided, the clock takes its
    /// next step.
    fn look_and_step(&self, firings: &mut Firings<T>, manual: &ManualClock) -> Duration {
        // Read before the state, so that an advance ends only after what was armed before it.
        let (goal_ms, asked) = manual.goal();
        for fire in self.find(firings).due {
            firings.submit(fire, self);
        }
        if !firings.known.is_empty() {
            return LOOK_INTERVAL;
        }
        let next_due_ms = {
            let state = self.applied.read();
            let open = match state.is_paused() {
                true => Vec::new(),
                false => state.due_timers(goal_ms, 1, |fire| firings.knows(fire)),
            };
            open.first().map(|fire| fire.due_ms)
        };
        match manual.step(next_due_ms, asked) {
            true => Duration::ZERO,
            false => LOOK_INTERVAL,
        }
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
            remembered: Vec::new(),
            paused_until: None,
            forget_at: None,
        }
    }

    /// Drops everything if the term is another one.
    fn begin(&mut self, term: u64) {
        if self.term != term {
            *self = Self {
                term,
                remembered: std::mem::take(&mut self.remembered),
                ..Self::new()
            };
        }
    }

    /// Remembers what is due soon, as a leader must not: what a state says later is newer.
    fn remember(&mut self, state: &State) {
        const SOON_MS: u64 = 5_000;
        let soon_ms = state.last_time_ms() + SOON_MS;
        let soon = state.due_timers(soon_ms, IN_FLIGHT_MAX, |_| false);
        let new = soon
            .into_iter()
            .filter(|fire| !self.remembered.contains(fire));
        let new: Vec<FireTimer> = new.collect();
        self.remembered.extend(new);
    }

    fn knows(&self, fire: &FireTimer) -> bool {
        self.known.contains(fire) || self.not_understood.contains(fire)
    }

    fn submit(&mut self, fire: FireTimer, timers: &Timers<T>) {
        let submitted = timers.inbox.submit(
            Command::FireTimer(fire.clone()),
            None,
            Arc::from("timer"),
            Source::ThisLeader { term: self.term },
        );
        self.known.insert(fire.clone());
        self.outcomes
            .push(Box::pin(submitted.map(|outcome| (fire, outcome))));
    }

    /// The next outcome; never, while nothing is in flight.
    async fn next(&mut self) -> Outcome {
        match self.outcomes.next().await {
            Some(outcome) => outcome,
            None => pending().await,
        }
    }

    fn take(&mut self, (fire, outcome): Outcome, counters: &Counters) {
        self.known.remove(&fire);
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
                        instance_id = fire.instance_id,
                        timer = fire.name,
                        "this node does not understand the machine of a timer that is due; another leader may"
                    );
                    self.not_understood.insert(fire);
                    return;
                }
            },
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, timer = fire.name, "a timer was not fired yet");
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
