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
//! 1. Answers leave in the order of the decisions they were based on. A refusal, a replayed result or a read inside a
//!    batch was decided against facts in flight. So it waits in the same queue until those facts were applied. If one
//!    of them was stale, the command is decided again.
//! 2. Such an answer did not go through the log. So it also needs the leadership check of a linearizable read, in the
//!    very term in which it was decided: a leader that was deposed and elected again may have decided it against a
//!    state that was no longer true.
//! 3. A command whose write may or may not be in the log is decided again only if repeating it is harmless. Otherwise
//!    its client gets an unknown outcome. Commands before it that touch the same instance are not decided
//!    again either (`Queue::put_back`).
//!
//! Every write waits for the work done here. So this work is cut into portions, and the state is locked for one slice
//! at a time. A command that costs more than a slice is held (`held`) and decided ahead (`prepare`). Commands that
//! touch the same instances wait behind it, and all others pass. A prepared decision is taken over only if what it
//! rests on has not changed, facts in flight included, so the rules above hold for it as if it had been made here.

mod decisions;
mod pipeline;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, OptionFuture};
use futures_util::stream::StreamExt;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::raft::WriteResult;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_engine::fact::level::FIRST;
use rstmdb_engine::{Command, Compiled, Entry, EntryOutcome, Limits, Reply};
use rstmdb_raft_store::Data;
use tokio::sync::oneshot;

use super::clock::clocks::Clocks;
use super::decide::causes::Causes;
use super::decide::prepare::{Preparing, Ready};
use super::in_flight::Decided;
use super::queue::{BATCH_COMMANDS_MAX, Queue, refuse_overtaken};
use pipeline::{EXPIRE_POLL, ProposedBatch, RaftWritten};

use super::request::{Request, RequestSource};
use crate::planted::{self, Bug};
use crate::replica::apply::state_machine::StateMachine;
use crate::replica::apply::term::term_of;
use crate::replica::error::Error;
use crate::replica::parts::answer::{AnswerTo, Done};
use crate::replica::parts::applied::Applied;
use crate::replica::parts::applied::decided::DecidedEntry;
use crate::replica::parts::counters::Counters;
use crate::replica::parts::gate::Gate;
use crate::replica::parts::invariants::assert_sound;
use crate::replica::parts::log_page::LogReader;
use crate::replica::parts::options::levels::Levels;
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::peers::heard::Heard;
use crate::replica::read::linearizable::Reads;
use crate::replica::types::Types;
pub(crate) use pipeline::WritePipeline;

/// Where a leader stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogEnd {
    /// The term it leads in.
    pub term: u64,
    /// The index that the next entry gets.
    pub next: u64,
}

/// The task that decides, while this node leads.
pub(crate) struct Proposer<T: Types> {
    pub raft: Raft<T, StateMachine<T>>,
    pub applied: Arc<Applied>,
    pub log: Arc<LogReader<T::Fs>>,
    pub reads: Reads<T>,
    pub clocks: Arc<Clocks<T>>,
    pub gate: Arc<Gate>,
    pub counters: Arc<Counters>,
    pub heard: Arc<Heard<T>>,
    pub tuned: Arc<Tuned>,
    /// A command that costs more is decided ahead.
    pub costly_bytes: usize,
    /// How long a leader that hears nothing from a majority goes on proposing.
    pub quorum_silence_max: Duration,
    pub levels: Arc<Levels>,
    /// The members with which this node has formed its cluster.
    pub formed_with: BTreeSet<u64>,
    pub pipeline: WritePipeline<T>,
}

impl<T: Types> Proposer<T> {
    /// Decides while this node leads in one term and the index that the next entry gets can be predicted. After that
    /// nothing is in flight, and the commands that have to be decided again are in the queue, in order.
    pub(crate) async fn lead(&mut self, queue: &mut Queue<T>, LogEnd { term, next }: LogEnd) {
        self.pipeline.pending.clear();
        self.applied.forget_in_flight();
        if self.pipeline.term != term {
            let last_ms = self.applied.read().last_time_ms();
            self.pipeline.led_since_ms = self.clocks.log_time_ms(last_ms);
        }
        self.pipeline.term = term;
        self.pipeline.next_offset = next;
        self.pipeline.draining = false;
        self.pipeline.preparing = Preparing::new();
        self.pipeline.causes = Causes::new();
        self.pipeline.incoming = queue.take_again().into();
        self.begin_level();
        self.assert_sound();
        let mut taken = Vec::with_capacity(BATCH_COMMANDS_MAX);
        while !self.pipeline.is_over(queue) {
            self.pipeline.causes.look_up::<T>(&self.log);
            let has_work = self.pipeline.has_work();
            // While it drains, commands that have waited too long are refused. So they are taken from the queue, too.
            let draining = self.pipeline.draining;
            let takes_more = queue.is_open()
                && (draining
                    || (self.pipeline.incoming.is_empty() && self.pipeline.in_flight.has_room()));
            if draining {
                self.pipeline.expire();
            }
            tokio::select! {
                biased;
                written = next_written(&mut self.pipeline.written, &self.counters, &self.clocks) => {
                    self.settle(written);
                    self.prepare_more();
                }
                ready = self.pipeline.preparing.next() => self.take_over(ready).await,
                found = self.pipeline.causes.next() => self.pipeline.held.tell(found),
                () = std::future::ready(()), if has_work => self.propose().await,
                _ = queue.incoming.recv_many(&mut taken, BATCH_COMMANDS_MAX), if takes_more => {
                    self.pipeline.incoming.extend(taken.drain(..));
                }
                Some(()) = OptionFuture::from(draining.then(|| T::sleep(EXPIRE_POLL))) => {}
            }
            self.assert_sound();
        }
        let mut again = std::mem::take(&mut self.pipeline.again);
        again.extend(self.pipeline.held.drain());
        again.append(&mut self.pipeline.incoming);
        queue.put_back(again);
        self.applied.forget_in_flight();
    }

    /// In a cluster in which nothing was ever written, the first entry sets the level on which its members have agreed
    /// when they formed it. So no other write comes before it.
    fn begin_level(&mut self) {
        let start = self.levels.start().filter(|level| *level > FIRST);
        let Some(level) = start.filter(|_| self.is_as_formed()) else {
            return;
        };
        self.levels.propose(level);
        let (answer, _) = oneshot::channel();
        self.pipeline.incoming.push_front(Request {
            command: Command::SetLevel { level },
            meta: None,
            cause: None,
            caller: "".into(),
            answer: AnswerTo::unheard(answer),
            deadline: T::now() + self.tuned.now().leader_wait,
            source: RequestSource::ThisLeader {
                term: self.pipeline.term,
            },
            trace: None,
        });
    }

    /// Whether nothing was ever written, and the members are those that have formed the cluster.
    fn is_as_formed(&self) -> bool {
        if !self.applied.read().is_untouched() {
            return false;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let members = metrics.membership_config.membership().nodes();
        members.map(|(id, _)| *id).collect::<BTreeSet<_>>() == self.formed_with
    }

    /// Checks in debug builds what holds between two steps.
    fn assert_sound(&self) {
        // With the bug planted, entries take effect at other indexes than were predicted.
        if !planted::is(Bug::StaleFactApplied) {
            assert_sound(|| self.pipeline.check_invariants());
        }
    }

    /// Whether this node may decide; if not, everything in flight comes back first.
    fn may_decide(&mut self) -> bool {
        if self.pipeline.draining {
            return false;
        }
        if self.gate.is_shutting_down() {
            let waiting = self
                .pipeline
                .held
                .drain()
                .chain(self.pipeline.incoming.drain(..));
            waiting.for_each(|request| request.refuse(Error::ShuttingDown));
            return false;
        }
        if term_of(&self.raft) != self.pipeline.term || !self.has_quorum() {
            self.pipeline.draining = true;
            return false;
        }
        true
    }

    /// Decides a portion of the new commands and hands the entries to Raft. If this node may not decide, they stay:
    /// they come behind everything that is in flight, some of which may have to be decided again.
    async fn propose(&mut self) {
        if self.may_decide() {
            let decided = T::now();
            let entries = self.decide_portion();
            self.write(decided, entries).await;
            self.prepare_more();
        }
    }

    /// Hands over what was decided ahead.
    async fn take_over(&mut self, ready: Ready) {
        if self.may_decide() {
            let decided = T::now();
            let entries = self.land(ready);
            self.write(decided, entries).await;
            self.prepare_more();
        }
    }

    async fn write(&mut self, decided: InstantOf<T>, entries: Vec<(Entry, Compiled)>) {
        let Some(since_ms) = entries.first().map(|(entry, _)| entry.time_ms) else {
            tell_in_flight(&self.clocks, &self.pipeline.written);
            self.pass_on_answers();
            return;
        };
        let encode = |(entry, compiled)| DecidedEntry::new(entry, compiled);
        let entries: Vec<_> = entries.into_iter().map(encode).collect();
        let data = |decided: &DecidedEntry| Data(decided.bytes.clone());
        let data: Vec<_> = entries.iter().map(data).collect();
        // Before they are handed over: an entry may be applied before the call returns.
        self.applied.decided.keep(entries);
        match self.raft.client_write_many(data).await {
            Ok(results) => {
                self.pipeline.written.push_back(ProposedBatch {
                    decided,
                    since_ms,
                    results,
                });
                tell_in_flight(&self.clocks, &self.pipeline.written);
            }
            Err(fatal) => self.fail_all(&fatal),
        }
    }

    /// Whether a majority has answered this leader lately. Without one a proposal only waits in the log, and its client
    /// would never learn the outcome.
    pub(crate) fn has_quorum(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        self.heard.has_majority(&metrics, self.quorum_silence_max)
    }

    /// Takes one result from the log, and every further one that is there already.
    fn settle(&mut self, first: Option<RaftWritten<T>>) {
        let mut result = first;
        let mut settled = None;
        while let Some(written) = result {
            let written = match written {
                Ok(written) => written,
                Err(fatal) => return self.fail_all(&fatal),
            };
            self.pass_on_answers();
            if let Some((request, reply, predicted)) = self.pipeline.in_flight.pop_write() {
                let offset = self.settle_write(request, reply, written);
                debug_assert!(
                    offset.is_none_or(|offset| offset == predicted)
                        || planted::is(Bug::StaleFactApplied),
                    "predicted at {predicted}, took effect at {offset:?}"
                );
                settled = offset.or(settled);
            }
            result = next_written(&mut self.pipeline.written, &self.counters, &self.clocks)
                .now_or_never()
                .flatten();
        }
        self.pass_on_answers();
        if let Some(offset) = settled {
            self.pipeline.pending.settle(offset);
        }
    }

    /// Answers one write, or keeps it to be decided again. Returns where it took effect.
    fn settle_write(
        &mut self,
        mut request: Request<T>,
        reply: Reply,
        written: WriteResult<T>,
    ) -> Option<u64> {
        match written {
            Ok(response) if response.response == EntryOutcome::Applied => {
                let offset = response.log_id.index;
                if let Some(trace) = &request.trace {
                    trace.took_effect(offset);
                }
                refuse_overtaken(&mut self.pipeline.again, &request.command);
                request.answer.send(Done::written(reply, offset));
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

    /// Raft has stopped for good: each command in flight may or may not be in the log.
    fn fail_all(&mut self, fatal: &Fatal<T>) {
        self.pipeline.written.clear();
        self.pipeline.draining = true;
        for in_flight in self.pipeline.in_flight.drain() {
            let (request, outcome_unknown) = match in_flight {
                Decided::Write { request, .. } => (request, true),
                Decided::Answer { request, .. } => (request, false),
            };
            request.answer.send(Err(Error::Storage {
                reason: fatal.to_string(),
                outcome_unknown,
            }));
        }
    }

    fn decide_again(&mut self, request: Request<T>) {
        self.counters.commands_redecided.add(1);
        self.pipeline.draining = true;
        self.pipeline.again.push_back(request);
    }

    /// Passes on the answers at the front of the queue for which everything in flight before them was applied.
    fn pass_on_answers(&mut self) {
        while let Some((request, result)) = self.pipeline.in_flight.pop_answer() {
            if self.pipeline.draining {
                self.pipeline.again.push_back(request);
            } else {
                self.reads
                    .confirm(request.answer, result, self.pipeline.term);
            }
        }
    }
}

/// With the bug planted, a leader ignores the keys from before it led, and so does what it proposes.
fn limits_of_leader(limits: &Limits, now_ms: u64, led_since_ms: u64) -> Cow<'_, Limits> {
    if !planted::is(Bug::KeysLostOnFailover) {
        return Cow::Borrowed(limits);
    }
    Cow::Owned(Limits {
        idempotency_retention_ms: now_ms.saturating_sub(led_since_ms).max(1),
        ..limits.clone()
    })
}

fn tell_in_flight<T: Types>(clocks: &Clocks<T>, written: &VecDeque<ProposedBatch<T>>) {
    clocks.set_in_flight(written.front().map(|batch| batch.since_ms));
}

/// The next result of the oldest batch in flight; never resolves while nothing is in flight.
async fn next_written<T: Types>(
    written: &mut VecDeque<ProposedBatch<T>>,
    counters: &Counters,
    clocks: &Clocks<T>,
) -> Option<RaftWritten<T>> {
    loop {
        let Some(oldest) = written.front_mut() else {
            return std::future::pending().await;
        };
        if let Some(result) = oldest.results.next().await {
            return Some(result);
        }
        counters.proposal.observe(T::now() - oldest.decided);
        written.pop_front();
        tell_in_flight(clocks, written);
    }
}
