//! The outcome of a command, and where it goes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use rstmdb_engine::{Refusal, Reply};
use tokio::sync::oneshot;

use super::replied::Replied;
use crate::replica::error::Error;

/// The outcome of a command.
#[derive(Debug, Clone)]
pub struct Done {
    /// The result.
    pub reply: Replied,
    /// Where it took effect; `None` when nothing was written.
    pub offset: Option<u64>,
}

impl Done {
    /// The outcome of a command whose entry took effect at an offset.
    pub(crate) fn written(reply: Reply, offset: u64) -> Result<Self, Error> {
        match reply {
            // The entry says only what the client has given up.
            Reply::Refused(refusal) => Err(Error::Refused(*refusal)),
            reply => Ok(Self {
                reply: reply.into(),
                offset: Some(offset),
            }),
        }
    }
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

/// How often a command whose leader was lost is given to the next leader. A command that crashes its leader must not go
/// from node to node.
const LOSSES_MAX: u8 = 1;

/// Where the outcome of a command goes.
pub(crate) struct AnswerTo {
    to: oneshot::Sender<Result<Done, Error>>,
    /// An earlier attempt may be in the log.
    unsure: bool,
    /// How many leaders were lost while they had the command.
    losses: u8,
    /// The command is decided although no client waits for it any more.
    kept: bool,
}

impl AnswerTo {
    pub(crate) fn new(to: oneshot::Sender<Result<Done, Error>>) -> Self {
        Self {
            to,
            unsure: false,
            losses: 0,
            kept: false,
        }
    }

    /// Of a command that this node decides for itself: it counts whether or not anyone waits for the outcome.
    pub(crate) fn unheard(to: oneshot::Sender<Result<Done, Error>>) -> Self {
        Self {
            kept: true,
            ..Self::new(to)
        }
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Remembers that an attempt may have taken effect, whatever the outcome of the next one is.
    pub(crate) fn doubt(&mut self) {
        self.unsure = true;
    }

    /// Notes that the leader died, or the connection to it broke, while it had the request.
    pub(crate) fn lose(&mut self) {
        self.losses = self.losses.saturating_add(1);
    }

    /// Whether so many leaders were lost with the request that it may be the cause.
    pub(crate) fn is_suspect(&self) -> bool {
        self.losses > LOSSES_MAX
    }

    /// Whether the client no longer waits for the outcome.
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_closed() && !self.kept
    }

    /// Sends the outcome, or what is known of it when an earlier attempt may be in the log. The engine knows that
    /// attempt by its key. But the engine was not asked if there was no leader, no room or no time. And it does not
    /// know a key whose instance was deleted meanwhile.
    pub(crate) fn send(self, outcome: Result<Done, Error>) {
        let outcome = match outcome {
            Err(error) if self.unsure && !is_certain(&error) => Err(Error::OutcomeUnknown),
            outcome => outcome,
        };
        // A receiver that is gone has given up waiting, so this answer has no reader.
        let _ = self.to.send(outcome);
    }
}

/// Whether the error also tells the outcome of an earlier attempt. A refusal does, unless the instance has begun a new
/// life since then: the engine forgets the keys of the life before.
fn is_certain(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => !may_be_of_a_later_life(refusal),
        Error::RefusedByLeader(refused) => !refused.may_be_of_a_later_life,
        Error::LostTwice => true,
        _ => false,
    }
}

/// Whether the key of an earlier attempt may have ended with the life of its instance: the instance was deleted since
/// then, or created anew, or everything was flushed.
pub(crate) fn may_be_of_a_later_life(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::InstanceNotFound { .. }
        | Refusal::InstanceExists { .. }
        | Refusal::MachineNotFound { .. } => true,
        Refusal::InBatch { refusal, .. } => may_be_of_a_later_life(refusal),
        _ => false,
    }
}
