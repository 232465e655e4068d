//! Linearizable reads: one ReadIndex round serves every read that was waiting when it began.
//!
//! A round asks openraft to confirm the leadership and to name the index that was committed at
//! that moment; once this node has applied it, its state answers every read that arrived before
//! the round. Reads that arrive during a round wait for the next one: at most one round trip
//! more, and never a round per read (Raft dissertation, section 6.4).

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{LinearizableReadError, RaftError};
use openraft::type_config::TypeConfigExt;
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::applied::Applied;
use super::handle::Done;
use super::proposer::AnswerTo;
use super::state_machine::StateMachine;
use super::types::Types;

/// Waiters one round takes at most.
const ROUND_WAITERS_MAX: usize = 4096;

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Sees every write that was acknowledged before the read began, on any node.
    #[default]
    Linearizable,
    /// The same as long as clocks run at about the same rate: trusts the leader's lease and
    /// saves the round trip.
    Lease,
    /// Whatever this node has applied.
    Local,
}

enum Waiter {
    Barrier(oneshot::Sender<Result<(), Error>>),
    Answer(AnswerTo, Result<Done, Error>),
}

impl Waiter {
    fn resolve(self, round: Result<(), Error>) {
        // A receiver that is gone has given up waiting; nobody is left to tell.
        match self {
            Self::Barrier(tx) => {
                let _ = tx.send(round);
            }
            Self::Answer(tx, result) => {
                let _ = tx.send(round.and(result));
            }
        }
    }
}

/// The handle to the rounds.
#[derive(Clone)]
pub(crate) struct Reads {
    strict: mpsc::UnboundedSender<Waiter>,
    lease: mpsc::UnboundedSender<Waiter>,
}

impl Reads {
    /// Returns once a read at `level` may be served from the applied state.
    pub(crate) async fn barrier(&self, level: Consistency) -> Result<(), Error> {
        let rounds = match level {
            Consistency::Local => return Ok(()),
            Consistency::Lease => &self.lease,
            Consistency::Linearizable => &self.strict,
        };
        let (tx, rx) = oneshot::channel();
        if rounds.send(Waiter::Barrier(tx)).is_err() {
            return Err(Error::ShuttingDown);
        }
        rx.await.unwrap_or(Err(Error::ShuttingDown))
    }

    /// Sends `result` to `answer` after the leadership check of a linearizable read.
    pub(crate) fn confirm(&self, answer: AnswerTo, result: Result<Done, Error>) {
        if let Err(mpsc::error::SendError(waiter)) =
            self.strict.send(Waiter::Answer(answer, result))
        {
            waiter.resolve(Err(Error::ShuttingDown));
        }
    }

    /// Makes the handle and the tasks that run the rounds, one for each policy.
    pub(crate) fn new() -> (Self, [Rounds; 2]) {
        let (strict, strict_rx) = mpsc::unbounded_channel();
        let (lease, lease_rx) = mpsc::unbounded_channel();
        let rounds = [
            Rounds {
                policy: ReadPolicy::ReadIndex,
                waiting: strict_rx,
            },
            Rounds {
                policy: ReadPolicy::LeaseRead,
                waiting: lease_rx,
            },
        ];
        (Self { strict, lease }, rounds)
    }
}

/// Runs the rounds of one policy.
pub(crate) struct Rounds {
    policy: ReadPolicy,
    waiting: mpsc::UnboundedReceiver<Waiter>,
}

impl Rounds {
    /// Runs until every handle is dropped.
    pub(crate) async fn run<T: Types>(
        mut self,
        raft: Raft<T, StateMachine<T>>,
        applied: Arc<Applied>,
        leader_wait: Duration,
    ) {
        let mut round = Vec::new();
        while self.waiting.recv_many(&mut round, ROUND_WAITERS_MAX).await > 0 {
            let result = self.confirm_leadership(&raft, &applied, leader_wait).await;
            for waiter in round.drain(..) {
                waiter.resolve(result.clone());
            }
        }
    }

    async fn confirm_leadership<T: Types>(
        &self,
        raft: &Raft<T, StateMachine<T>>,
        applied: &Applied,
        leader_wait: Duration,
    ) -> Result<(), Error> {
        let deadline = T::now() + leader_wait;
        loop {
            match raft.get_read_log_id(self.policy.clone()).await {
                Ok((read, _)) => {
                    applied.wait_for(read.index()).await;
                    return Ok(());
                }
                Err(RaftError::Fatal(fatal)) => {
                    return Err(Error::Storage {
                        reason: fatal.to_string(),
                        outcome_unknown: false,
                    });
                }
                Err(RaftError::APIError(
                    LinearizableReadError::ForwardToLeader(_)
                    | LinearizableReadError::QuorumNotEnough(_),
                )) => {}
            }
            if T::now() >= deadline {
                return Err(Error::NoLeader);
            }
            T::sleep(Duration::from_millis(5)).await;
        }
    }
}
