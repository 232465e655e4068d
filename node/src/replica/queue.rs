//! Commands on their way to a decision, in the order in which they were submitted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_engine::Command;
use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::handle::Done;
use super::types::Types;

/// Commands taken from the queue at once.
pub(crate) const BATCH_COMMANDS_MAX: usize = 512;
/// Commands in flight at most, decided or forwarded; above this new ones wait in the queue.
pub(crate) const IN_FLIGHT_MAX: usize = 16_384;

/// Where the outcome of a command goes.
pub(crate) struct AnswerTo {
    to: oneshot::Sender<Result<Done, Error>>,
    /// An earlier try may be in the log.
    unsure: bool,
}

impl AnswerTo {
    pub(crate) fn new(to: oneshot::Sender<Result<Done, Error>>) -> Self {
        Self { to, unsure: false }
    }

    /// Remembers that a try may be in the log, whatever becomes of the next one.
    pub(crate) fn doubt(&mut self) {
        self.unsure = true;
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Tells the outcome, or what is known of it when an earlier try may be in the log: the engine
    /// knows of that try by its key, but for want of a leader, of room or of time nothing was looked at.
    pub(crate) fn send(self, outcome: Result<Done, Error>) {
        let outcome = match outcome {
            Err(error) if self.unsure && !matches!(error, Error::Refused(_)) => {
                Err(Error::OutcomeUnknown)
            }
            outcome => outcome,
        };
        // A receiver that is gone has given up waiting; nobody is left to tell.
        let _ = self.to.send(outcome);
    }
}

/// A submitted command.
pub(crate) struct Request<T: Types> {
    pub command: Command,
    pub actor: Arc<str>,
    pub answer: AnswerTo,
    /// Until then it waits for somebody who can decide it.
    pub deadline: InstantOf<T>,
    /// The stream of another node that brought it; none for this node's own clients.
    pub origin: Option<Arc<Origin>>,
}

impl<T: Types> Request<T> {
    /// Answers with `error`.
    pub(crate) fn refuse(self, error: Error) {
        self.answer.send(Err(error));
    }

    /// Refuses it, and all that its stream brings after it, if another node brought it: that node
    /// looks for the leader itself. Gives back what this node's own clients have submitted.
    pub(crate) fn unless_foreign(self) -> Option<Self> {
        match &self.origin {
            None => Some(self),
            Some(origin) => {
                origin.close();
                self.answer.send(Err(Error::NotLeader));
                None
            }
        }
    }

    /// Whether its stream was closed before it was decided.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.origin
            .as_ref()
            .is_some_and(|origin| origin.is_closed())
    }
}

/// A stream of commands from another node. Once one of them was refused for want of leadership,
/// none that follows may take effect: the other node sends them again, in their order.
#[derive(Default)]
pub(crate) struct Origin {
    closed: AtomicBool,
}

impl Origin {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Closes a stream when nobody reads its outcomes any more.
pub(crate) struct OriginGuard(pub Arc<Origin>);

impl Drop for OriginGuard {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The open streams of the other nodes, at most one of each: what is left of an older one must
/// not take effect behind what its node has sent again.
#[derive(Default)]
pub(crate) struct Origins {
    by_node: Mutex<BTreeMap<u64, Arc<Origin>>>,
}

impl Origins {
    pub(crate) fn open(&self, node_id: u64) -> Arc<Origin> {
        let origin = Arc::new(Origin::default());
        if let Some(older) = self.by_node.lock().insert(node_id, origin.clone()) {
            older.close();
        }
        origin
    }
}

/// See the module documentation.
pub(crate) struct Queue<T: Types> {
    pub incoming: mpsc::UnboundedReceiver<Request<T>>,
    /// To be placed before anything new: it was taken from the queue already.
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

    /// Whether more may come.
    pub(crate) fn is_open(&self) -> bool {
        !self.incoming.is_closed() || !self.incoming.is_empty()
    }

    /// Takes up what was put aside, without what nobody waits for any more.
    pub(crate) fn take_again(&mut self) -> Vec<Request<T>> {
        let mut requests: Vec<_> = self.again.drain(..).collect();
        requests.retain(|request| !request.answer.is_closed());
        requests
    }
}

/// Whether deciding the command again is harmless if its first write is in the log after all:
/// with an idempotency key it takes effect once, and a machine's definition is the same again.
#[must_use]
pub fn is_repeatable(command: &Command) -> bool {
    match command {
        Command::PutMachine(_) => true,
        Command::FlushAll => false,
        Command::CreateInstance(create) => create.idempotency_key.is_some(),
        Command::ApplyEvent(apply) => apply.idempotency_key.is_some(),
        Command::DeleteInstance(delete) => delete.idempotency_key.is_some(),
        Command::Batch(ops) => ops.iter().all(|op| match op {
            rstmdb_engine::BatchOp::Write(command) => is_repeatable(command),
            rstmdb_engine::BatchOp::Read(_) => true,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(unsure: bool, outcome: Result<Done, Error>) -> Result<Done, Error> {
        let (to, mut told) = oneshot::channel();
        let mut answer = AnswerTo::new(to);
        if unsure {
            answer.doubt();
        }
        answer.send(outcome);
        told.try_recv().expect("it was sent")
    }

    #[test]
    fn what_was_not_looked_at_again_is_not_called_undone() {
        for error in [Error::NoLeader, Error::NotLeader, Error::ShuttingDown] {
            let name = error.to_string();
            let sure = told(false, Err(error.clone())).expect_err("an error");
            assert_eq!(sure.to_string(), name);
            let unsure = told(true, Err(error)).expect_err("an error");
            assert!(matches!(unsure, Error::OutcomeUnknown), "{unsure}");
        }
    }
}
