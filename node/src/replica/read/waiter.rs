//! A reader that waits for a round of linearizable reads.

use openraft::type_config::alias::InstantOf;
use tokio::sync::oneshot;

use crate::replica::error::Error;
use crate::replica::parts::answer::{AnswerTo, Done};
use crate::replica::types::Types;

/// A read or a decision that waits for a round.
pub(super) struct Waiter<T: Types> {
    pub(super) purpose: Purpose,
    pub(super) deadline: InstantOf<T>,
}

pub(super) enum Purpose {
    /// A read of this node.
    Barrier(oneshot::Sender<Result<(), Error>>),
    /// A follower asks for the index.
    Index(oneshot::Sender<Result<u64, Error>>),
    /// A result that this node decided as the leader of a term, and the receiver of the result.
    Decided {
        answer: AnswerTo,
        result: Result<Done, Error>,
        term: u64,
    },
}

impl<T: Types> Waiter<T> {
    pub(super) fn resolve(self, round: Result<(), Error>) {
        // A receiver that is gone has given up waiting, so this answer has no reader.
        match self.purpose {
            Purpose::Barrier(tell) => {
                let _ = tell.send(round);
            }
            // `tell_index` has answered it, if it could be answered.
            Purpose::Index(tell) => {
                let _ = tell.send(Err(Error::NotLeader));
            }
            Purpose::Decided { answer, result, .. } => {
                answer.send(round.and(result));
            }
        }
    }

    pub(super) fn asks_index(&self) -> bool {
        matches!(self.purpose, Purpose::Index(_))
    }

    /// Whether a round can answer it; `led_in` is the term in which this node led during the round, if it led.
    pub(super) fn is_answered_by(&self, led_in: Option<u64>) -> bool {
        match &self.purpose {
            Purpose::Barrier(_) => true,
            Purpose::Index(_) => led_in.is_some(),
            Purpose::Decided { term, .. } => led_in == Some(*term),
        }
    }
}

/// Gives the index to the followers that ask for it: they wait for it themselves. Returns the other waiters.
pub(super) fn tell_index<T: Types>(waiters: Vec<Waiter<T>>, index: u64) -> Vec<Waiter<T>> {
    let rest = waiters
        .into_iter()
        .filter_map(|waiter| match waiter.purpose {
            Purpose::Index(tell) => {
                // A receiver that is gone has given up waiting.
                let _ = tell.send(Ok(index));
                None
            }
            purpose => Some(Waiter { purpose, ..waiter }),
        });
    rest.collect()
}
