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
//!    it went through the log: in the very term in which it was decided, because a leader that
//!    was deposed and elected again may have decided it against a state that was no longer true.
//! 3. A command whose write may or may not be in the log is decided again only if repeating it
//!    is harmless; otherwise its outcome is unknown and said to be so. What stands before it and touches
//!    the same is not decided again either (`Queue::put_back`).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::raft::WriteResult;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::fact::Message;
use rstmdb_engine::{DecideAt, Decision, Limits, Outcome, Pending, Reply, decide};
use rstmdb_raft_store::Data;

use super::Error;
use super::applied::Applied;
use super::clocks::Clocks;
use super::counters::Counters;
use super::decision::decided;
use super::gate::Gate;
use super::handle::Done;
use super::queue::{BATCH_COMMANDS_MAX, IN_FLIGHT_MAX, Queue, Request, refuse_overtaken};
use super::reads::Reads;
use super::state_machine::StateMachine;
use super::types::Types;
use crate::planted::{self, Bug};

/// A decided command that waits for the log, or for what it was decided upon.
enum InFlight<T: Types> {
    Write {
        request: Request<T>,
        reply: Reply,
    },
    Answer {
        request: Request<T>,
        result: Result<Done, Error>,
    },
}

/// The entries handed to Raft in one message.
struct Batch<T: Types> {
    decided: InstantOf<T>,
    results: BoxStream<'static, Written<T>>,
}

type Written<T> = Result<WriteResult<T>, Fatal<T>>;

/// Where a leader stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogEnd {
    /// The term it leads in.
    pub term: u64,
    /// The index that the next entry gets.
    pub next: u64,
}

/// See the module documentation.
pub(crate) struct Proposer<T: Types> {
    pub raft: Raft<T, StateMachine<T>>,
    pub applied: Arc<Applied>,
    pub reads: Reads<T>,
    pub clocks: Arc<Clocks<T>>,
    pub gate: Arc<Gate>,
    pub counters: Arc<Counters>,
    pub limits: Limits,
    /// How long a leader that hears nothing from a majority goes on proposing.
    pub quorum_silence_max: Duration,
    pub run: Run<T>,
}

/// What the proposer knows between two steps.
pub(crate) struct Run<T: Types> {
    pending: Pending,
    /// The term this node leads in.
    term: u64,
    /// When it began to.
    led_since_ms: u64,
    /// The index the next entry will get.
    next_offset: u64,
    in_flight: VecDeque<InFlight<T>>,
    /// One stream of results for each batch in flight, oldest first.
    written: VecDeque<Batch<T>>,
    /// To be decided again, in order, before anything new.
    again: VecDeque<Request<T>>,
    /// A stale entry was seen: decide nothing until everything in flight has come back.
    draining: bool,
}

impl<T: Types> Run<T> {
    pub(crate) fn new() -> Self {
        Self {
            pending: Pending::new(),
            term: 0,
            led_since_ms: 0,
            next_offset: 0,
            in_flight: VecDeque::new(),
            written: VecDeque::new(),
            again: VecDeque::new(),
            draining: false,
        }
    }
}

impl<T: Types> Proposer<T> {
    /// Decides while this node leads in one term and the index that the next entry gets can be
    /// predicted. Then nothing is in flight, and what has to be decided again is in the queue, in
    /// order.
    pub(crate) async fn lead(&mut self, queue: &mut Queue<T>, LogEnd { term, next }: LogEnd) {
        self.run.pending.clear();
        if self.run.term != term {
            let last_ms = self.applied.read().last_time_ms();
            self.run.led_since_ms = self.clocks.log_time_ms(last_ms);
        }
        self.run.term = term;
        self.run.next_offset = next;
        self.run.draining = false;
        let mut incoming = queue.take_again();
        self.propose(&mut incoming).await;
        loop {
            let takes_more =
                !self.run.draining && self.run.in_flight.len() < IN_FLIGHT_MAX && queue.is_open();
            if self.run.in_flight.is_empty() && !takes_more {
                break;
            }
            tokio::select! {
                biased;
                written = next_written(&mut self.run.written, &self.counters) => self.settle(written),
                count = queue.incoming.recv_many(&mut incoming, BATCH_COMMANDS_MAX), if takes_more => {
                    if count > 0 {
                        self.propose(&mut incoming).await;
                    }
                }
            }
        }
        let mut again = std::mem::take(&mut self.run.again);
        again.extend(incoming);
        queue.put_back(again);
    }

    /// Decides `incoming` and hands the entries to Raft. What nobody can decide here stays in it: it
    /// comes behind everything that is in flight, some of which may have to be decided again.
    async fn propose(&mut self, incoming: &mut Vec<Request<T>>) {
        incoming.retain(|request| !request.answer.is_closed());
        if self.gate.is_shutting_down() {
            for request in incoming.drain(..) {
                request.refuse(Error::ShuttingDown);
            }
            return;
        }
        if term_of(&self.raft) != self.run.term || !self.has_quorum() {
            self.run.draining = true;
            return;
        }
        let decided = T::now();
        let entries = self.decide_all(std::mem::take(incoming));
        if entries.is_empty() {
            self.pass_on_answers();
            return;
        }
        match self.raft.client_write_many(entries).await {
            Ok(results) => self.run.written.push_back(Batch { decided, results }),
            Err(fatal) => self.fail_all(&fatal),
        }
    }

    /// Whether a majority has answered this leader lately: what is proposed without one only
    /// waits in the log, and who asked would never learn its outcome.
    pub(crate) fn has_quorum(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        // A majority of one is always there.
        membership.voter_ids().nth(1).is_none()
            || metrics
                .last_quorum_acked
                .is_some_and(|at| T::now() < *at + self.quorum_silence_max)
    }

    /// Decides each request and returns the entries to write; everything decided is in flight.
    fn decide_all(&mut self, requests: Vec<Request<T>>) -> Vec<Data> {
        let mut entries = Vec::with_capacity(requests.len());
        let read_only = self.gate.read_only();
        let state = self.applied.read();
        let now_ms = self.clocks.log_time_ms(state.last_time_ms());
        let limits = limits_of_leader(&self.limits, now_ms, self.run.led_since_ms);
        for request in requests {
            if request.is_cut_off() {
                request.refuse(Error::NotLeader);
                continue;
            }
            let at = DecideAt {
                offset: self.run.next_offset,
                now_ms,
                actor: &request.actor,
                limits: &limits,
            };
            let (pending, command) = (&self.run.pending, &request.command);
            let decision = decided(&self.counters, command, || {
                decide(&state, pending, command, &at)
            });
            self.run.in_flight.push_back(match (decision, &read_only) {
                (Ok(Decision::Write { .. }), Some(error)) => InFlight::Answer {
                    request,
                    result: Err(error.clone()),
                },
                (Ok(Decision::Write { entry, reply }), None) => {
                    self.run.pending.push(&entry);
                    entries.push(Data(entry.encode_to_vec().into()));
                    self.run.next_offset += 1;
                    InFlight::Write { request, reply }
                }
                (Ok(Decision::Answer { reply, offset }), _) => InFlight::Answer {
                    request,
                    result: Ok(Done { reply, offset }),
                },
                (Err(error), _) => InFlight::Answer {
                    request,
                    result: Err(error),
                },
            });
        }
        drop(state);
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
        mut request: Request<T>,
        reply: Reply,
        written: WriteResult<T>,
    ) -> Option<u64> {
        match written {
            Ok(response) if response.response == Outcome::Applied => {
                let offset = response.log_id.index;
                refuse_overtaken(&mut self.run.again, &request.command);
                request.answer.send(Ok(Done {
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
                request.doubt();
                self.decide_again(request);
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
            request.answer.send(Err(Error::Storage {
                reason: fatal.to_string(),
                outcome_unknown,
            }));
        }
    }

    fn decide_again(&mut self, request: Request<T>) {
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
                self.reads.confirm(request.answer, result, self.run.term);
            }
        }
    }
}

/// With the bug planted, no key from before it led counts for a leader, nor for what it proposes.
fn limits_of_leader(limits: &Limits, now_ms: u64, led_since_ms: u64) -> Cow<'_, Limits> {
    if !planted::is(Bug::KeysLostOnFailover) {
        return Cow::Borrowed(limits);
    }
    Cow::Owned(Limits {
        idempotency_retention_ms: now_ms.saturating_sub(led_since_ms).max(1),
        ..limits.clone()
    })
}

/// The term this node is in, as last published.
pub(crate) fn term_of<T: Types>(raft: &Raft<T, StateMachine<T>>) -> u64 {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.vote.leader_id.term
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
