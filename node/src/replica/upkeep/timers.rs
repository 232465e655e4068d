//! Fires timers whose time has come. Only the leader does; the others have the same timers and wait.
//!
//! The state holds all armed timers in the order in which they are due, so a new leader looks for nothing. A firing is a
//! command that the leader submits to its own proposer, never to another node. Whether it takes effect is decided there,
//! on what is armed at that moment: a firing that comes twice, too early or too late for a moved timer does nothing.
//!
//! What is in flight is exactly what was submitted and not answered yet. At a change of the term all of it is dropped,
//! because the proposer drops it too; the next look finds in the state what is still due.

use std::collections::HashSet;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::reply::Firing;
use rstmdb_engine::{Command, FireTimer, Reply};

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
use crate::replica::write::queue;
use crate::replica::write::request::Source;
use crate::replica::write::submit::Inbox;

/// Firings in flight at most while clients send commands: so few that a command behind them hardly waits. More are
/// submitted once half of them are done.
const IN_FLIGHT_MAX: usize = 64;
/// Firings in flight at most while no client does.
const IN_FLIGHT_MAX_ALONE: usize = 1024;
/// After this time without a command from a client there is none.
const ALONE_AFTER: Duration = Duration::from_secs(1);
// Clients always have at least half of what the proposer takes.
const _: () = assert!(IN_FLIGHT_MAX_ALONE <= queue::IN_FLIGHT_MAX / 2);
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
    /// Nothing is submitted before.
    paused_until: Option<InstantOf<T>>,
    forget_at: Option<InstantOf<T>>,
    /// How many commands of clients have come, and until when clients are expected to wait for others.
    asked: u64,
    clients_until: Option<InstantOf<T>>,
}

/// Fires timers until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: Pace<Timers<T>>) {
    let Some(applied) = pace.parts().map(|timers| timers.applied.clone()) else {
        return;
    };
    let mut firings = Firings::<T>::new();
    let (mut pause, mut seen) = (Duration::ZERO, applied.offset());
    loop {
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
            () = changed::<T>(&applied, seen), if leads => {}
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
        let most = firings.most(self.inbox.asked.load(Ordering::Relaxed), now);
        if firings.known.len() > most / 2 {
            return LOOK_INTERVAL;
        }
        let (due, next_due_ms, now_ms) = {
            let state = self.applied.read();
            if state.is_paused() {
                return LOOK_INTERVAL;
            }
            let Some(first_ms) = state.next_due_ms() else {
                return LOOK_INTERVAL;
            };
            let now_ms = self.clocks.log_time_ms(state.last_time_ms());
            let room = most - firings.known.len();
            let due = match first_ms <= now_ms {
                true => state.due_timers(now_ms, room, |fire| firings.knows(fire)),
                false => Vec::new(),
            };
            (due, first_ms, now_ms)
        };
        for fire in due {
            firings.submit(fire, self);
        }
        if next_due_ms <= now_ms {
            // What is due is in flight, and its outcome wakes this task, or it cannot be decided here.
            return LOOK_INTERVAL;
        }
        let left = (next_due_ms - now_ms).saturating_mul(SLEW.0) / SLEW.1;
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
            now.overdue = state.timers_overdue(now_ms);
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
            asked: 0,
            clients_until: None,
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

    /// How many firings may be in flight, now that so many commands of clients have come.
    fn most(&mut self, asked: u64, now: InstantOf<T>) -> usize {
        if self.asked != asked {
            self.asked = asked;
            self.clients_until = Some(now + ALONE_AFTER);
        }
        match self.clients_until.is_some_and(|until| now < until) {
            true => IN_FLIGHT_MAX,
            false => IN_FLIGHT_MAX_ALONE,
        }
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
                    // A machine may have a million of them.
                    if self.not_understood.is_empty() {
                        tracing::warn!(
                            instance_id = fire.instance_id,
                            timer = fire.name,
                            "this node does not understand the machine of a timer that is due; another leader may"
                        );
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::types::tests::TestTypes;

    #[test]
    fn fewer_timers_are_in_flight_while_clients_send_commands() {
        let (mut firings, now) = (Firings::<TestTypes>::new(), TestTypes::now());
        let later = now + ALONE_AFTER;
        for (asked, at, most) in [
            (0, now, IN_FLIGHT_MAX_ALONE),
            (1, now, IN_FLIGHT_MAX),
            (1, later - Duration::from_millis(1), IN_FLIGHT_MAX),
            (1, later, IN_FLIGHT_MAX_ALONE),
            (9, later, IN_FLIGHT_MAX),
        ] {
            assert_eq!(firings.most(asked, at), most, "{asked} at {at:?}");
        }
    }
}
