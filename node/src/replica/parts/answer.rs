//! What came of a command, and where that goes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use rstmdb_engine::{Refusal, Reply};
use tokio::sync::oneshot;

use crate::replica::error::Error;

/// What came of a command.
#[derive(Debug, Clone)]
pub struct Done {
    /// The result.
    pub reply: Reply,
    /// Where it took effect; `None` when nothing was written.
    pub offset: Option<u64>,
}

/// The outcome of a submitted command, to be waited for.
#[derive(Debug)]
pub struct Submitted(pub(crate) oneshot::Receiver<Result<Done, Error>>);

impl Future for Submitted {
    type Output = Result<Done, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or(Err(Error::OutcomeUnknown)))
    }
}

/// A command whose leader was lost while it had it is given to the next one this often: if it is what ended
/// the first, it must not go from node to node.
const LOSSES_MAX: u8 = 1;

/// Where the outcome of a command goes.
pub(crate) struct AnswerTo {
    to: oneshot::Sender<Result<Done, Error>>,
    /// An earlier try may be in the log.
    unsure: bool,
    /// How many leaders were lost while they had it.
    losses: u8,
}

impl AnswerTo {
    pub(crate) fn new(to: oneshot::Sender<Result<Done, Error>>) -> Self {
        Self {
            to,
            unsure: false,
            losses: 0,
        }
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Remembers that a try may have taken effect, whatever becomes of the next one.
    pub(crate) fn doubt(&mut self) {
        self.unsure = true;
    }

    /// Notes that a leader died, or the connection to it, while it had the request.
    pub(crate) fn lose(&mut self) {
        self.losses = self.losses.saturating_add(1);
    }

    /// Whether so many leaders were lost with the request that it may be what ends them.
    pub(crate) fn is_suspect(&self) -> bool {
        self.losses > LOSSES_MAX
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Tells the outcome, or what is known of it when an earlier try may be in the log: the engine
    /// knows of that try by its key, but for want of a leader, of room or of time nothing was looked at. Nor does
    /// it know of a key whose instance was deleted meanwhile.
    pub(crate) fn send(self, outcome: Result<Done, Error>) {
        let outcome = match outcome {
            Err(error) if self.unsure && !is_certain(&error) => Err(Error::OutcomeUnknown),
            outcome => outcome,
        };
        // A receiver that is gone has given up waiting; nobody is left to tell.
        let _ = self.to.send(outcome);
    }
}

/// Whether the error says what became of an earlier try, too. A refusal does, where the keys that the engine knows
/// are still those of the life in which that try took effect, if it did.
fn is_certain(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => !may_be_of_a_later_life(refusal),
        Error::LostTwice => true,
        _ => false,
    }
}

/// Whether it can be that the key of an earlier try ended with the life of its instance: that was deleted since, or
/// created anew, or everything was flushed.
fn may_be_of_a_later_life(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::InstanceNotFound { .. }
        | Refusal::InstanceExists { .. }
        | Refusal::MachineNotFound { .. } => true,
        Refusal::InBatch { refusal, .. } => may_be_of_a_later_life(refusal),
        _ => false,
    }
}
