//! Decides commands in the order they were submitted and pipelines them through the log.
//!
//! The proposer decides against the applied state overlaid with its own facts that are still in
//! flight, so a second event for an instance does not wait for the first one's commit. Each fact
//! names the log index it expects to land on. That is a prediction, checked when it is applied:
//! an entry that landed elsewhere, or whose instance had moved on, is *stale* and changed
//! nothing. Then the proposer lets everything in flight come back, forgets the overlay, and
//! decides the affected commands again, in their order, from the log's end.
//!
//! What must hold, in the order it is ensured below:
//!
//! 1. Answers leave in the order of the decisions they were based on. A refusal, a replayed
//!    result or a read inside a batch was decided against facts in flight, so it waits in the
//!    same queue until those were applied, and becomes a new decision if one of them was stale.
//! 2. Such an answer also needs the leadership check of a linearizable read, because nothing of
//!    it went through the log.
//! 3. A command whose write may or may not be in the log is decided again only if repeating it
//!    is harmless; otherwise its outcome is unknown and said to be so.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use openraft::Raft;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::raft::WriteResult;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::fact::Message;
use rstmdb_engine::{Command, DecideAt, Decision, Limits, Outcome, Pending, Reply, decide};
use rstmdb_raft_store::Data;
use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::applied::Applied;
use super::counters::Counters;
use super::handle::{Done, WriteGate};
use super::reads::Reads;
use super::state_machine::StateMachine;
use super::types::{Host, Types};

/// Commands decided under one look at the state, and entries handed to Raft in one message.
const BATCH_COMMANDS_MAX: usize = 512;
/// Commands in flight at most; above this new ones wait in the queue.
const IN_FLIGHT_MAX: usize = 16_384;

/// Where the outcome of a command goes.
pub(crate) type AnswerTo = oneshot::Sender<Result<Done, Error>>;

/// A submitted command.
pub(crate) struct Request {
    pub command: Command,
    pub actor: Arc<str>,
    pub answer: AnswerTo,
}

/// A decided command that waits for the log, or for what it was decided upon.
enum InFlight {
    Write {
        request: Request,
        reply: Reply,
    },
    Answer {
        request: Request,
        result: Result<Done, Error>,
    },
}

/// The entries handed to Raft in one message.
struct Batch<T: Types> {
    decided: InstantOf<T>,
    results: BoxStream<'static, Written<T>>,
}

type Written<T> = Result<WriteResult<T>, Fatal<T>>;

/// See the module documentation.
pub(crate) struct Proposer<T: Types> {
    pub raft: Raft<T, StateMachine<T>>,
    pub applied: Arc<Applied>,
    pub reads: Reads,
    pub host: Arc<dyn Host>,
    pub gate: Arc<WriteGate>,
    pub counters: Arc<Counters>,
    pub limits: Limits,
    pub leader_wait: std::time::Duration,
    pub queue: mpsc::UnboundedReceiver<Request>,
    pub run: Run<T>,
}

/// What the proposer knows between two steps.
pub(crate) struct Run<T: Types> {
    pending: Pending,
    /// The index the next entry will get; `None` until it was read from the log's end.
    next_offset: Option<u64>,
    in_flight: VecDeque<InFlight>,
    /// One stream of results for each batch in flight, oldest first.
    written: VecDeque<Batch<T>>,
    /// To be decided again, in order, before anything new.
    again: VecDeque<Request>,
    /// A stale entry was seen: decide nothing until everything in flight has come back.
    draining: bool,
}

impl<T: Types> Run<T> {
    pub(crate) fn new() -> Self {
        Self {
            pending: Pending::new(),
            next_offset: None,
            in_flight: VecDeque::new(),
            written: VecDeque::new(),
            again: VecDeque::new(),
            draining: false,
        }
    }
}

impl<T: Types> Proposer<T> {
    /// Runs until the queue is closed and everything in flight was answered.
    pub(crate) async fn run(mut self) {
        let mut incoming = Vec::with_capacity(BATCH_COMMANDS_MAX);
        loop {
            if self.run.in_flight.is_empty() {
                self.restart_from_log_end();
                if self.run.again.is_empty()
                    && self
                        .queue
                        .recv_many(&mut incoming, BATCH_COMMANDS_MAX)
                        .await
                        == 0
                {
                    return;
                }
                self.propose(&mut incoming).await;
                continue;
            }
            let takes_more = !self.run.draining && self.run.in_flight.len() < IN_FLIGHT_MAX;
            let queue_open = !self.queue.is_closed() || !self.queue.is_empty();
            tokio::select! {
                biased;
                written = next_written(&mut self.run.written, &self.counters) => self.settle(written),
                count = self.queue.recv_many(&mut incoming, BATCH_COMMANDS_MAX), if takes_more && queue_open => {
                    if count > 0 {
                        self.propose(&mut incoming).await;
                    }
                }
            }
        }
    }

    /// After a drain nothing is in flight: the overlay is empty and the next index unknown.
    fn restart_from_log_end(&mut self) {
        if self.run.draining {
            self.run.draining = false;
            self.run.pending.clear();
            self.run.next_offset = None;
        }
    }

    /// Decides what is to be decided again, then `incoming`, and hands the entries to Raft.
    async fn propose(&mut self, incoming: &mut Vec<Request>) {
        let mut requests: Vec<Request> = self.run.again.drain(..).collect();
        requests.append(incoming);
        requests.retain(|request| !request.answer.is_closed());
        if requests.is_empty() {
            return;
        }
        if self.gate.is_shutting_down() {
            for request in requests {
                let _ = request.answer.send(Err(Error::ShuttingDown));
            }
            return;
        }
        let first = match self.run.next_offset {
            Some(next) => next,
            None => match self.log_end().await {
                Ok(next) => next,
                Err(error) => {
                    for request in requests {
                        let _ = request.answer.send(Err(error.clone()));
                    }
                    return;
                }
            },
        };
        let decided = T::now();
        let entries = self.decide_all(requests, first);
        if entries.is_empty() {
            self.pass_on_answers();
            return;
        }
        match self.raft.client_write_many(entries).await {
            Ok(results) => self.run.written.push_back(Batch { decided, results }),
            Err(fatal) => self.fail_all(&fatal),
        }
    }

    /// Decides each request and returns the entries to write; everything decided is in flight.
    fn decide_all(&mut self, requests: Vec<Request>, first: u64) -> Vec<Data> {
        let now_ms = self.host.now_ms();
        let mut next = first;
        let mut entries = Vec::with_capacity(requests.len());
        let read_only = self.gate.read_only();
        let state = self.applied.read();
        for request in requests {
            let at = DecideAt {
                offset: next,
                now_ms,
                actor: &request.actor,
                limits: &self.limits,
            };
            let decision = decide(&state, &self.run.pending, &request.command, &at);
            self.run.in_flight.push_back(match (decision, &read_only) {
                (Ok(Decision::Write { .. }), Some(error)) => InFlight::Answer {
                    request,
                    result: Err(error.clone()),
                },
                (Ok(Decision::Write { entry, reply }), None) => {
                    self.run.pending.push(&entry);
                    entries.push(Data(entry.encode_to_vec().into()));
                    next += 1;
                    InFlight::Write { request, reply }
                }
                (Ok(Decision::Answer { reply, offset }), _) => InFlight::Answer {
                    request,
                    result: Ok(Done { reply, offset }),
                },
                (Err(refusal), _) => InFlight::Answer {
                    request,
                    result: Err(refusal.into()),
                },
            });
        }
        drop(state);
        self.run.next_offset = Some(next);
        entries
    }

    /// Takes one result from the log, and every further one that is there already.
    fn settle(&mut self, first: Option<Written<T>>) {
        let mut result = first;
        let mut settled = None;
        while let Some(written) = result {
            let written = match written {
                Ok(written) => written,
                Err(fatal) => return self.fail_all(&fatal),
            };
            self.pass_on_answers();
            if let Some(InFlight::Write { request, reply }) = self.run.in_flight.pop_front() {
                settled = self.settle_write(request, reply, written).or(settled);
            }
            result = next_written(&mut self.run.written, &self.counters)
                .now_or_never()
                .flatten();
        }
        self.pass_on_answers();
        if let Some(offset) = settled {
            self.run.pending.settle(offset);
        }
    }

    /// Answers one write, or puts it aside to be decided again. Returns where it took effect.
    fn settle_write(
        &mut self,
        request: Request,
        reply: Reply,
        written: WriteResult<T>,
    ) -> Option<u64> {
        match written {
            Ok(response) if response.response == Outcome::Applied => {
                let offset = response.log_id.index;
                let _ = request.answer.send(Ok(Done {
                    reply,
                    offset: Some(offset),
                }));
                return Some(offset);
            }
            // Applied as stale: it changed nothing.
            Ok(_) => self.decide_again(request),
            // Refused before it reached the log.
            Err(ClientWriteError::ForwardToLeader(_)) => self.decide_again(request),
            Err(_) => {
                if is_repeatable(&request.command) {
                    self.decide_again(request);
                } else {
                    self.run.draining = true;
                    let _ = request.answer.send(Err(Error::OutcomeUnknown));
                }
            }
        }
        None
    }

    /// Raft has stopped for good: whatever is in flight may or may not be in the log.
    fn fail_all(&mut self, fatal: &Fatal<T>) {
        self.run.written.clear();
        self.run.draining = true;
        for in_flight in self.run.in_flight.drain(..) {
            let (request, outcome_unknown) = match in_flight {
                InFlight::Write { request, .. } => (request, true),
                InFlight::Answer { request, .. } => (request, false),
            };
            let _ = request.answer.send(Err(Error::Storage {
                reason: fatal.to_string(),
                outcome_unknown,
            }));
        }
    }

    fn decide_again(&mut self, request: Request) {
        self.counters.commands_redecided.add(1);
        self.run.draining = true;
        self.run.again.push_back(request);
    }

    /// Passes on the answers at the front of the queue: what they were based on was applied.
    fn pass_on_answers(&mut self) {
        while let Some(InFlight::Answer { .. }) = self.run.in_flight.front() {
            let Some(InFlight::Answer { request, result }) = self.run.in_flight.pop_front() else {
                return;
            };
            if self.run.draining {
                self.run.again.push_back(request);
            } else {
                self.reads.confirm(request.answer, result);
            }
        }
    }

    /// Waits until this node leads and has applied its whole log, and returns the next index.
    ///
    /// Deciding against a state that lacks part of the log would only produce stale facts.
    async fn log_end(&mut self) -> Result<u64, Error> {
        let deadline = T::now() + self.leader_wait;
        loop {
            if self.gate.is_shutting_down() {
                return Err(Error::ShuttingDown);
            }
            if self.raft.as_leader().is_ok() {
                let last = self
                    .raft
                    .with_raft_state(|state| state.log_ids.last().map_or(0, |id| id.index))
                    .await
                    .map_err(|fatal| Error::Storage {
                        reason: fatal.to_string(),
                        outcome_unknown: false,
                    })?;
                let applied = self.applied.wait_for(last);
                if T::timeout_at(deadline, applied).await.is_ok() {
                    return Ok(last + 1);
                }
            }
            if T::now() >= deadline {
                return Err(Error::NoLeader);
            }
            T::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// The next result of the oldest batch in flight; never resolves while nothing is in flight.
async fn next_written<T: Types>(
    written: &mut VecDeque<Batch<T>>,
    counters: &Counters,
) -> Option<Written<T>> {
    loop {
        let Some(oldest) = written.front_mut() else {
            return std::future::pending().await;
        };
        if let Some(result) = oldest.results.next().await {
            return Some(result);
        }
        counters.proposal.observe(T::now() - oldest.decided);
        written.pop_front();
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
