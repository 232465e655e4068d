//! Linearizable reads: one ReadIndex round serves every read that was waiting when it began.
//!
//! A round confirms the leadership and names the index that was committed at that moment. Once this node has applied
//! that index, its state answers every read that arrived before the round. Reads that arrive during a round wait for
//! the next one: at most one round trip more, and never a round per read (Raft dissertation, section 6.4). A follower
//! asks the leader for the index and serves the read from its own state; the leader's rounds serve these questions,
//! too.
//!
//! A decision of the proposer that writes nothing waits for a round too. But only this node's own leadership, in the
//! term of the decision, can confirm it: a read index from another leader does not prove that this node led when it
//! decided.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::type_config::TypeConfigExt;
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};

use super::alone::Alone;
use super::waiter::{Purpose, Waiter, tell_index};
use crate::planted::{self, Bug};
use crate::replica::apply::state_machine::StateMachine;
use crate::replica::apply::term::term_of;
use crate::replica::error::Error;
use crate::replica::parts::answer::{AnswerTo, Done};
use crate::replica::parts::applied::Applied;
use crate::replica::parts::consistency::{Consistency, LEASE_READS};
use crate::replica::parts::gate::Gate;
use crate::replica::parts::log_page::LogReader;
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::peers::calls::{Peer, PeerError, Peers};
use crate::replica::types::Types;

/// Waiters one round takes at most.
const ROUND_WAITERS_MAX: usize = 4096;
/// The pause after a round that found no leader.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// The handle to the rounds.
#[derive(Clone)]
pub(crate) struct Reads<T: Types> {
    strict: mpsc::UnboundedSender<Waiter<T>>,
    lease: mpsc::UnboundedSender<Waiter<T>>,
    raft: Raft<T, StateMachine<T>>,
    applied: Arc<Applied>,
    gate: Arc<Gate>,
    alone: Arc<Alone<T>>,
    tuned: Arc<Tuned>,
}

impl<T: Types> Reads<T> {
    /// Returns once a read at `level`, and not before `min_offset` was applied here, may be served from the applied
    /// state.
    pub(crate) async fn barrier(
        &self,
        level: Consistency,
        min_offset: Option<u64>,
    ) -> Result<(), Error> {
        self.gate.trust()?;
        if level != Consistency::Local {
            self.gate.belong()?;
        }
        self.round(level).await?;
        if let Some(offset) = min_offset {
            self.applied.wait_for(offset).await;
        }
        Ok(())
    }

    /// Whether a read at `level` may be served at once from the applied state.
    pub(crate) fn need_no_round(&self, level: Consistency) -> bool {
        let is_fresh = level == Consistency::Local
            || (self.gate.belong().is_ok() && !self.gate.is_silent() && self.alone.may_read());
        is_fresh && self.gate.trust().is_ok()
    }

    /// The index that a read beginning now on another node must see, confirmed as `level` asks, if this node leads.
    pub(crate) async fn index(&self, level: Consistency) -> Result<u64, Error> {
        // A node that does not lead must not pass the question on: two nodes that each take the other one for the
        // leader would wait for each other.
        if !self.raft.is_leader() || self.gate.is_silent() {
            return Err(Error::NotLeader);
        }
        let (tell, told) = oneshot::channel();
        let waiter = Waiter {
            purpose: Purpose::Index(tell),
            deadline: T::now() + self.tuned.now().leader_wait,
        };
        let rounds = match level {
            Consistency::Lease => &self.lease,
            Consistency::Linearizable | Consistency::Local => &self.strict,
        };
        if rounds.send(waiter).is_err() {
            return Err(Error::NotLeader);
        }
        told.await.unwrap_or(Err(Error::NotLeader))
    }

    /// Waits for the round that serves a read at `level`.
    async fn round(&self, level: Consistency) -> Result<(), Error> {
        let rounds = match level {
            Consistency::Local => return Ok(()),
            Consistency::Linearizable if planted::is(Bug::ReadWithoutReadIndex) => return Ok(()),
            _ if self.need_no_round(level) => return Ok(()),
            Consistency::Lease => &self.lease,
            Consistency::Linearizable => &self.strict,
        };
        let (tell, told) = oneshot::channel();
        let deadline = T::now() + self.tuned.now().leader_wait;
        let purpose = Purpose::Barrier(tell);
        if rounds.send(Waiter { purpose, deadline }).is_err() {
            return Err(Error::ShuttingDown);
        }
        told.await.unwrap_or(Err(Error::ShuttingDown))
    }

    /// Sends `result`, which this node decided as the leader of `term`, to `answer` once a round confirms that it led
    /// then.
    pub(crate) fn confirm(&self, answer: AnswerTo, result: Result<Done, Error>, term: u64) {
        let waiter = Waiter {
            purpose: Purpose::Decided {
                answer,
                result,
                term,
            },
            deadline: T::now() + self.tuned.now().leader_wait,
        };
        if let Err(mpsc::error::SendError(waiter)) = self.strict.send(waiter) {
            waiter.resolve(Err(Error::ShuttingDown));
        }
    }

    /// Makes the handle and the tasks that run the rounds, one for each policy. A read waits as
    /// long as a request waits for a leader.
    pub(crate) fn new(
        raft: &Raft<T, StateMachine<T>>,
        log: &LogReader<T::Fs>,
        peers: &Arc<dyn Peers>,
        gate: &Arc<Gate>,
        tuned: &Arc<Tuned>,
    ) -> (Self, [Rounds<T>; 2]) {
        let alone = Arc::new(Alone::new(raft.clone(), log.store.clone()));
        let applied = &log.applied;
        let (strict, strict_rx) = mpsc::unbounded_channel();
        let (lease, lease_rx) = mpsc::unbounded_channel();
        let levels = [
            (Consistency::Linearizable, strict_rx),
            (Consistency::Lease, lease_rx),
        ];
        let rounds = levels.map(|(level, incoming)| Rounds {
            level,
            incoming,
            raft: raft.clone(),
            applied: applied.clone(),
            peers: peers.clone(),
            gate: gate.clone(),
            alone: alone.clone(),
            waiting: Vec::new(),
        });
        let handle = Self {
            strict,
            lease,
            raft: raft.clone(),
            applied: applied.clone(),
            gate: gate.clone(),
            alone,
            tuned: tuned.clone(),
        };
        (handle, rounds)
    }
}

/// Runs the rounds of one policy.
pub(crate) struct Rounds<T: Types> {
    level: Consistency,
    incoming: mpsc::UnboundedReceiver<Waiter<T>>,
    raft: Raft<T, StateMachine<T>>,
    applied: Arc<Applied>,
    peers: Arc<dyn Peers>,
    gate: Arc<Gate>,
    alone: Arc<Alone<T>>,
    waiting: Vec<Waiter<T>>,
}

/// What a round has found.
enum Round {
    /// This node led in this term, and this index was committed.
    Led { term: u64, index: u64 },
    /// Another node led, and this index was committed there.
    Followed { index: u64 },
    /// No leader has confirmed an index.
    Nobody,
}

impl<T: Types> Rounds<T> {
    /// Runs until every handle is dropped.
    pub(crate) async fn run(mut self) {
        while self.gather().await {
            match self.round().await {
                Ok(Round::Led { term, index }) => self.release(Some(term), index),
                Ok(Round::Followed { index }) => self.release(None, index),
                Ok(Round::Nobody) => {
                    self.refuse_indexes();
                    self.give_up_late();
                    T::sleep(RETRY_PAUSE).await;
                }
                Err(error) => {
                    for waiter in self.waiting.drain(..) {
                        waiter.resolve(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Takes everything that waits when a round begins; waits for the first waiter. `false` at the end.
    async fn gather(&mut self) -> bool {
        if self.waiting.is_empty() {
            let first = self
                .incoming
                .recv_many(&mut self.waiting, ROUND_WAITERS_MAX);
            return first.await > 0;
        }
        while self.waiting.len() < ROUND_WAITERS_MAX {
            let Ok(waiter) = self.incoming.try_recv() else {
                break;
            };
            self.waiting.push(waiter);
        }
        true
    }

    async fn round(&mut self) -> Result<Round, Error> {
        if self.gate.is_silent() {
            return Ok(Round::Nobody);
        }
        // A follower need not ask its own Raft core, which would only name the leader. A leader that was deposed
        // meanwhile answers that it no longer leads, and the next round asks the new leader.
        if let Some(leader) = self.other_leader() {
            return Ok(self.ask(&leader).await);
        }
        let began_in = term_of(&self.raft);
        // A leader that was cut off waits for the answers of a majority, which do not come.
        let Some(deadline) = self.waiting.iter().map(|waiter| waiter.deadline).min() else {
            return Ok(Round::Nobody);
        };
        let confirmed = self.raft.get_read_log_id(self.policy());
        let Ok(confirmed) = T::timeout_at(deadline, confirmed).await else {
            return Ok(Round::Nobody);
        };
        match confirmed {
            Ok((read, _)) => {
                // Terms only rise: if the term is the same before and after, the leadership was confirmed in it.
                let term = if term_of(&self.raft) == began_in {
                    began_in
                } else {
                    0
                };
                let index = read.index();
                Ok(Round::Led { term, index })
            }
            Err(RaftError::Fatal(fatal)) => Err(Error::Storage {
                reason: fatal.to_string(),
                outcome_unknown: false,
            }),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Ok(Round::Nobody)
            }
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                let (Some(id), Some(node)) = (forward.leader_id, forward.leader_node) else {
                    return Ok(Round::Nobody);
                };
                Ok(self.ask(&Peer { id, node }).await)
            }
        }
    }

    /// openraft's name for how this round is confirmed. openraft's own lease is as long as an election timeout, but voters
    /// keep only a part of it when the leader's process seems to have ended.
    fn policy(&self) -> ReadPolicy {
        let metrics = self.raft.metrics();
        let acked = metrics.borrow_watched().last_quorum_acked;
        let is_recent = acked.is_some_and(|at| T::now() < *at + LEASE_READS)
            || planted::is(Bug::LeaseOutlivesThePromise);
        match self.level {
            Consistency::Lease if is_recent => ReadPolicy::LeaseRead,
            _ => ReadPolicy::ReadIndex,
        }
    }

    /// The leader, as last published, unless it is this node or unknown. None when this node's Raft core has failed:
    /// then the core says why.
    fn other_leader(&self) -> Option<Peer> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.running_state.as_ref().ok()?;
        let id = metrics.current_leader.filter(|id| *id != metrics.id)?;
        let node = metrics.membership_config.membership().get_node(&id)?;
        Some(Peer {
            id,
            node: node.clone(),
        })
    }

    async fn ask(&mut self, leader: &Peer) -> Round {
        self.refuse_indexes();
        match self.peers.read_index(leader, self.level).await {
            Ok(index) => Round::Followed { index },
            Err(error) => {
                if !matches!(error, PeerError::NotLeader) {
                    tracing::debug!(%error, %leader, "no read index");
                }
                Round::Nobody
            }
        }
    }

    /// Tells the followers that ask for an index that this node has none.
    fn refuse_indexes(&mut self) {
        for waiter in self.waiting.extract_if(.., |waiter| waiter.asks_index()) {
            waiter.resolve(Err(Error::NotLeader));
        }
    }

    /// Answers these waiters once this node has applied `index`, without delaying the next round.
    fn release(&mut self, led_in: Option<u64>, index: u64) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (released, refused): (Vec<_>, Vec<_>) =
            waiting.partition(|waiter| waiter.is_answered_by(led_in));
        for waiter in refused {
            waiter.resolve(Err(Error::NotLeader));
        }
        let released = tell_index(released, index);
        if self.applied.offset() >= index {
            // A round during which the term changed confirms no term.
            if let Some(term) = led_in.filter(|term| *term > 0) {
                self.alone.confirm(term);
            }
            for waiter in released {
                waiter.resolve(Ok(()));
            }
            return;
        }
        let applied = self.applied.clone();
        drop(T::spawn(async move {
            let Some(deadline) = released.iter().map(|waiter| waiter.deadline).max() else {
                return;
            };
            let caught_up = T::timeout_at(deadline, applied.wait_for(index)).await;
            let outcome = caught_up.map_err(|_| Error::NotCaughtUp { offset: index });
            for waiter in released {
                waiter.resolve(outcome.clone());
            }
        }));
    }

    /// Tells the waiters whose time is over that there is no leader.
    fn give_up_late(&mut self) {
        let now = T::now();
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (late, waiting): (Vec<_>, Vec<_>) = waiting.partition(|waiter| waiter.deadline <= now);
        self.waiting = waiting;
        for waiter in late {
            waiter.resolve(Err(Error::NoLeader));
        }
    }
}
