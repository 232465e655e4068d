//! Firings that were submitted to the proposer and are not answered yet. At a change of the term all of them are
//! dropped, because the proposer drops them too. The next look finds in the state what is still due.

use std::collections::HashSet;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::reply::Firing;
use rstmdb_engine::{
    Command, DueSearch, ExpireLock, FireTimer, LockCommand, LockExpiry, LockReply, Reply, State,
};

use super::TimersTask;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::replied::Replied;
use crate::replica::types::Types;
use crate::replica::write::queue;
use crate::replica::write::request::RequestSource;

/// Most firings in flight, whatever is configured: clients always have at least half of what the proposer takes. The
/// table of keys names it.
const IN_FLIGHT_MAX: usize = queue::IN_FLIGHT_MAX / 2;
const _: () = assert!(IN_FLIGHT_MAX == 8_192);
/// While clients send commands, this part of what is configured. Of 256 this is only 32, so that a client's command
/// behind them hardly waits. With 64 the slowest hundredth took over three times as long.
const SHARE_BESIDE_CLIENTS: usize = 8;
/// After this time without a command, clients are taken to send none.
const ALONE_AFTER: Duration = Duration::from_secs(1);
/// The shortest time between two looks, and the pause after a firing that had to wait.
pub(super) const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Pause after a firing that was not decided.
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// Timers that this node does not understand are looked at again after this time, and with them those that were armed for
/// a time in the past, between them.
const NOT_UNDERSTOOD_PAUSE: Duration = Duration::from_secs(10);
/// How many timers a look at the state goes through, beside those in flight. No entry is applied meanwhile.
const LOOKED_AT_MAX: usize = 4096;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Due {
    Timer(FireTimer),
    Lock(ExpireLock),
}

type Outcome = (Due, Result<Done, Error>);

/// What was submitted and not answered yet.
pub(super) struct Firings<T: Types> {
    /// The term in which it was; 0 while this node does not lead.
    term: u64,
    known: HashSet<Due>,
    pub(super) outcomes: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    /// It leaves out the timers that this node does not understand.
    search: DueSearch,
    /// Whether the log says already that there are any.
    said: bool,
    /// What this node would fire if it led, with its bug planted.
    remembered: Vec<FireTimer>,
    /// Nothing is submitted before.
    paused_until: Option<InstantOf<T>>,
    forget_at: Option<InstantOf<T>>,
    /// How many commands of clients have come, and until when clients are expected to wait for others.
    asked: u64,
    clients_until: Option<InstantOf<T>>,
}

impl<T: Types> Firings<T> {
    pub(super) fn new() -> Self {
        Self {
            term: 0,
            known: HashSet::new(),
            outcomes: FuturesUnordered::new(),
            search: new_search(),
            said: false,
            remembered: Vec::new(),
            paused_until: None,
            forget_at: None,
            asked: 0,
            clients_until: None,
        }
    }

    pub(super) const fn leads(&self) -> bool {
        self.term != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Drops everything if the term is another one.
    pub(super) fn begin(&mut self, term: u64) {
        if self.term != term {
            *self = Self {
                term,
                remembered: std::mem::take(&mut self.remembered),
                ..Self::new()
            };
        }
    }

    /// For how long nothing may be submitted; `None` if firings may be submitted now.
    pub(super) fn pause(&mut self, now: InstantOf<T>) -> Option<Duration> {
        if let Some(until) = self.paused_until.filter(|until| now < *until) {
            return Some(until - now);
        }
        self.forget(now);
        None
    }

    /// How many more may be submitted, after `asked` commands of clients in all; `None` while too many are in flight:
    /// before half of them are done.
    pub(super) fn room(
        &mut self,
        configured: usize,
        asked: u64,
        now: InstantOf<T>,
    ) -> Option<usize> {
        if self.asked != asked {
            self.asked = asked;
            self.clients_until = Some(now + ALONE_AFTER);
        }
        let most = most_in_flight(
            configured,
            self.clients_until.is_some_and(|until| now < until),
        );
        (self.known.len() <= most / 2).then(|| most - self.known.len())
    }

    /// Remembers what is due soon, as a leader must not: what a state says later is newer.
    pub(super) fn remember(&mut self, state: &State) {
        const SOON_MS: u64 = 5_000;
        const REMEMBERED_MAX: usize = 64;
        let soon_ms = state.last_time_ms() + SOON_MS;
        let soon = state.due_timers(soon_ms, REMEMBERED_MAX, |_| false);
        let new = soon
            .into_iter()
            .filter(|fire| !self.remembered.contains(fire));
        let new: Vec<FireTimer> = new.collect();
        self.remembered.extend(new);
    }

    /// What was remembered and is due by now.
    pub(super) fn remembered_until(&mut self, now_ms: u64) -> impl Iterator<Item = Due> + use<T> {
        let remembered = std::mem::take(&mut self.remembered).into_iter();
        let (due, later): (Vec<_>, Vec<_>) = remembered.partition(|fire| fire.due_ms <= now_ms);
        self.remembered = later;
        due.into_iter().map(Due::Timer)
    }

    pub(super) fn knows(&self, due: &Due) -> bool {
        self.known.contains(due)
    }

    /// The timers that are due and not in flight: so many at most.
    pub(super) fn find(&mut self, state: &State, now_ms: u64, most: usize) -> Vec<FireTimer> {
        let known = &self.known;
        let leave_out = |fire: &FireTimer| known.contains(&Due::Timer(fire.clone()));
        let found = state.timers_to_fire(&mut self.search, now_ms, most, leave_out);
        if let Some((instance, timer)) = self.search.left_out().filter(|_| !self.said) {
            // A machine may have a million of them.
            self.said = true;
            tracing::warn!(
                instance,
                timer,
                "a timer is due, but this node does not understand its machine; another leader may"
            );
        }
        found
    }

    /// Whether the next look gets further, although nothing has happened.
    pub(super) fn goes_on(&self) -> bool {
        self.search.goes_on()
    }

    /// The first timer until this time that is not in flight. The search stays where it is.
    pub(super) fn first_until(&self, state: &State, goal_ms: u64) -> Option<FireTimer> {
        let leave_out = |fire: &FireTimer| self.known.contains(&Due::Timer(fire.clone()));
        let mut search = self.search.to_the_end();
        let found = state.timers_to_fire(&mut search, goal_ms, 1, leave_out);
        found.into_iter().next()
    }

    pub(super) fn submit(&mut self, due: Due, timers: &TimersTask<T>) {
        let (command, actor) = match &due {
            Due::Timer(fire) => (Command::FireTimer(fire.clone()), "timer"),
            Due::Lock(lock) => (Command::Lock(LockCommand::Expire(lock.clone())), "lock"),
        };
        let source = RequestSource::ThisLeader { term: self.term };
        let submitted = timers
            .inbox
            .submit(command, None, actor.into(), source, None);
        self.known.insert(due.clone());
        self.outcomes
            .push(Box::pin(submitted.map(|outcome| (due, outcome))));
    }

    /// The next outcome; never, while nothing is in flight.
    pub(super) async fn next(&mut self) -> Outcome {
        match self.outcomes.next().await {
            Some(outcome) => outcome,
            None => pending().await,
        }
    }

    pub(super) fn take(&mut self, (due, outcome): Outcome, counters: &Counters) {
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
                    if let Due::Timer(fire) = due {
                        self.search.pass(fire);
                    }
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
                tracing::debug!(%error, ?due, "a due timer or an expired lock was not decided; this node tries again");
                ERROR_PAUSE
            }
        };
        self.paused_until = Some(T::now() + pause);
    }

    /// Begins the search anew now and then.
    fn forget(&mut self, now: InstantOf<T>) {
        match self.forget_at {
            None if self.search.left_out().is_some() => {
                self.forget_at = Some(now + NOT_UNDERSTOOD_PAUSE);
            }
            Some(at) if at <= now => {
                self.forget_at = None;
                self.search = new_search();
            }
            _ => {}
        }
    }

    /// The set of what is in flight is exactly what is awaited.
    pub(super) fn check(&self) {
        debug_assert_eq!(
            self.known.len(),
            self.outcomes.len(),
            "the firings in flight are not those that are awaited"
        );
    }
}

fn new_search() -> DueSearch {
    DueSearch::new(LOOKED_AT_MAX + IN_FLIGHT_MAX)
}

fn most_in_flight(configured: usize, beside_clients: bool) -> usize {
    let share = match beside_clients {
        true => configured / SHARE_BESIDE_CLIENTS,
        false => configured,
    };
    share.clamp(1, IN_FLIGHT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_most_of_the_room_while_they_send_commands() {
        for (configured, alone, beside) in [
            (256, 256, 32),
            (1, 1, 1),
            (3, 3, 1),
            (8_192, 8_192, 1_024),
            (0, 1, 1),
            (usize::MAX, IN_FLIGHT_MAX, IN_FLIGHT_MAX),
        ] {
            assert_eq!(most_in_flight(configured, false), alone);
            assert_eq!(most_in_flight(configured, true), beside);
        }
    }
}
