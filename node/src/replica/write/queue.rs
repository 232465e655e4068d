//! Commands on their way to a decision, in the order in which they were submitted.

use std::collections::VecDeque;

use openraft::type_config::alias::InstantOf;
use rstmdb_engine::Command;
use tokio::sync::mpsc;

use super::request::Request;
use super::writes::{TouchedInstances, is_repeatable};
use crate::replica::error::Error;
use crate::replica::parts::invariants::{BrokenInvariant, FEW, assert_sound, ensure};
use crate::replica::types::Types;

/// Commands taken from the queue at once.
pub(crate) const BATCH_COMMANDS_MAX: usize = 512;
/// Commands in flight at most, decided or forwarded; above this new ones wait in the queue.
pub(crate) const IN_FLIGHT_MAX: usize = 16_384;

/// Refuses the waiting commands that touch an instance which `done` has changed.
///
/// `done` was submitted after them. So they must not take effect any more, and only their clients may retry them.
pub(crate) fn refuse_overtaken<T: Types>(waiting: &mut VecDeque<Request<T>>, done: &Command) {
    if waiting.is_empty() {
        return;
    }
    let mut touched = TouchedInstances::default();
    touched.add(done);
    for request in std::mem::take(waiting) {
        if touched.has_any_of(&request.command) {
            request.refuse(Error::NoLeader);
        } else {
            waiting.push_back(request);
        }
    }
}

/// Refuses the commands that have waited for a leader longer than they may.
pub(crate) fn refuse_expired<T: Types>(waiting: &mut VecDeque<Request<T>>, now: InstantOf<T>) {
    if !waiting.iter().any(|request| request.deadline <= now) {
        return;
    }
    for request in std::mem::take(waiting) {
        if request.deadline <= now {
            request.refuse(Error::NoLeader);
        } else {
            waiting.push_back(request);
        }
    }
}

/// The commands that wait for a decision: new ones, and those to be decided again.
pub(crate) struct Queue<T: Types> {
    pub incoming: mpsc::UnboundedReceiver<Request<T>>,
    /// To be placed before anything new: these were taken from the queue already.
    pub again: VecDeque<Request<T>>,
}

impl<T: Types> Queue<T> {
    pub(crate) fn new(incoming: mpsc::UnboundedReceiver<Request<T>>) -> Self {
        Self {
            incoming,
            again: VecDeque::new(),
        }
    }

    /// Waits until there is something to place; `false` once there never will be.
    pub(crate) async fn wait(&mut self) -> bool {
        if self.again.is_empty() {
            let mut taken = Vec::with_capacity(BATCH_COMMANDS_MAX);
            self.incoming
                .recv_many(&mut taken, BATCH_COMMANDS_MAX)
                .await;
            self.again.extend(taken);
        }
        !self.again.is_empty()
    }

    /// Takes commands that have to be placed again, in their order, behind those that it has already.
    ///
    /// A command that may have taken effect is retried only if that is harmless. No command that came before it and
    /// touches the same instance is retried: that one would now take effect after it. Only its client may retry it.
    pub(crate) fn put_back(&mut self, requests: VecDeque<Request<T>>) {
        let mut done = TouchedInstances::default();
        let mut again = VecDeque::with_capacity(requests.len());
        for request in requests.into_iter().rev() {
            let is_overtaken = done.has_any_of(&request.command);
            let is_unsure = request.answer.is_unsure();
            if is_unsure {
                done.add(&request.command);
            }
            if request.answer.is_suspect() {
                let error = match is_unsure {
                    true => Error::LostTwice,
                    false => Error::NoLeader,
                };
                request.refuse(error);
            } else if is_overtaken || (is_unsure && !is_repeatable(&request.command)) {
                request.refuse(Error::NoLeader);
            } else {
                again.push_front(request);
            }
        }
        self.again.append(&mut again);
        assert_sound(|| self.check_invariants());
    }

    /// Checks that what waits may be tried: it has had no effect, or a second one is harmless, and it is not what
    /// has ended two leaders.
    fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        let wrong = self.again.iter().take(FEW).find(|request| {
            let answer = &request.answer;
            let is_harmless = !answer.is_unsure() || is_repeatable(&request.command);
            answer.is_suspect() || !is_harmless
        });
        ensure(wrong.is_none(), || {
            let command = wrong.map(|request| request.command.to_string());
            format!("{command:?} waits to be tried again")
        })
    }

    /// Whether more may come.
    pub(crate) fn is_open(&self) -> bool {
        !self.incoming.is_closed() || !self.incoming.is_empty()
    }

    /// Returns the commands that were put aside, without those whose clients no longer wait.
    pub(crate) fn take_again(&mut self) -> Vec<Request<T>> {
        assert_sound(|| self.check_invariants());
        let mut requests: Vec<_> = self.again.drain(..).collect();
        requests.retain(|request| !request.answer.is_closed());
        requests
    }
}

#[cfg(test)]
mod tests;
