//! Firings that were submitted to the proposer and are not answered yet. At a change of the term all of them are
//! dropped, because the proposer drops them too. The next look finds in the state what is still due.

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
use rstmdb_engine::{
    Command, ExpireLock, FireTimer, LockCommand, LockExpiry, LockReply, Reply, State,
};

use super::TimersTask;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::replied::Replied;
use crate::replica::types::Types;
use crate::replica::write::queue;
use crate::replica::write::request::RequestSource;

/// Most firings in flight while clients send commands. It is so small that a client's command after them hardly waits.
/// More are submitted once half of them are done.
const IN_FLIGHT_MAX: usize = 64;
/// Most firings in flight while no client sends commands.
const IN_FLIGHT_MAX_ALONE: usize = 1024;
/// After this time without a command, clients are taken to send none.
const ALONE_AFTER: Duration = Duration::from_secs(1);
// Clients always have at least half of what the proposer takes.
const _: () = assert!(IN_FLIGHT_MAX_ALONE <= queue::IN_FLIGHT_MAX / 2);
/// The shortest time between two looks, and the pause after a firing that had to wait.
pub(super) const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Pause after a firing that was not decided.
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// Timers that this node cannot decide are tried again after this time.
const NOT_UNDERSTOOD_PAUSE: Duration = Duration::from_secs(60);

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
    /// Timers that this node cannot decide.
    not_understood: HashSet<Due>,
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
            not_understood: HashSet::new(),
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

    /// How many more may be submitted, after `asked` commands of clients in all; `None` while too many are in flight.
    pub(super) fn room(&mut self, asked: u64, now: InstantOf<T>) -> Option<usize> {
        if self.asked != asked {
            self.asked = asked;
            self.clients_until = Some(now + ALONE_AFTER);
        }
        let most = match self.clients_until.is_some_and(|until| now < until) {
            true => IN_FLIGHT_MAX,
            false => IN_FLIGHT_MAX_ALONE,
        };
        (self.known.len() <= most / 2).then(|| most - self.known.len())
    }

    /// Remembers what is due soon, as a leader must not: what a state says later is newer.
    pub(super) fn remember(&mut self, state: &State) {
        const SOON_MS: u64 = 5_000;
        let soon_ms = state.last_time_ms() + SOON_MS;
        let soon = state.due_timers(soon_ms, IN_FLIGHT_MAX, |_| false);
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
        self.known.contains(due) || self.not_understood.contains(due)
    }

    pub(super) fn submit(&mut self, due: Due, timers: &TimersTask<T>) {
        let (command, actor) = match &due {
            Due::Timer(fire) => (Command::FireTimer(fire.clone()), "timer"),
            Due::Lock(lock) => (Command::Lock(LockCommand::Expire(lock.clone())), "lock"),
        };
        let source = RequestSource::ThisLeader { term: self.term };
        let submitted = timers.inbox.submit(command, None, Arc::from(actor), source);
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
                    // A machine may have a million of them.
                    if self.not_understood.is_empty() {
                        tracing::warn!(
                            timer = ?due,
                            "a timer is due, but this node does not understand its machine; another leader may"
                        );
                    }
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
                tracing::debug!(%error, ?due, "a due timer or an expired lock was not decided; this node tries again");
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
    pub(super) fn check(&self) {
        debug_assert_eq!(
            self.known.len(),
            self.outcomes.len(),
            "the firings in flight are not those that are awaited"
        );
    }
}
