//! The serial section itself: decides commands, leaves costly ones to be decided ahead, takes prepared ones over.

use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use rstmdb_engine::fact::Message;
use rstmdb_engine::{
    Command, Compiled, DecideAt, Decision, DryRun, Entry, Limits, PendingEntries, Refusal, State,
    cost, decide, is_settled, lists,
};

use super::{Proposer, limits_of_leader};
use crate::planted::{self, Bug};
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::types::Types;
use crate::replica::types::trace::Stage;
use crate::replica::write::decide::causes::WantedCause;
use crate::replica::write::decide::decision::decided;
use crate::replica::write::decide::prepare::{Ready, Task};
use crate::replica::write::request::Request;

/// About how many bytes are decided under one lock of the state.
const SLICE_BYTES: usize = 128 << 10;
/// About how many bytes of entries are handed to Raft in one message.
const PORTION_BYTES: usize = 1 << 20;
/// Costly commands that are examined to find one that can be prepared.
const LOOKED_AT_MAX: usize = 64;

/// What one portion has come to so far.
struct DecidedPortion {
    now_ms: u64,
    limits: Limits,
    read_only: Option<Error>,
    entries: Vec<(Entry, Compiled)>,
    cost: usize,
}

impl<T: Types> Proposer<T> {
    /// Decides about as many commands as fit into one message to Raft, and returns the entries to write, with the
    /// machines that they define. Everything decided is then in flight.
    pub(super) fn decide_portion(&mut self) -> Vec<(Entry, Compiled)> {
        let mut portion = self.new_portion();
        let applied = self.applied.clone();
        let mut is_more = true;
        while is_more && portion.cost < PORTION_BYTES {
            let state = applied.read();
            let slice_ends = portion.cost + SLICE_BYTES;
            while is_more && portion.cost < slice_ends {
                is_more = self.decide_next(&state, &mut portion);
            }
        }
        portion.entries
    }

    fn new_portion(&self) -> DecidedPortion {
        let last_ms = self.applied.read().last_time_ms();
        let now_ms = self.clocks.begin_decisions(last_ms);
        let tuning = self.tuned.now();
        let limits = limits_of_leader(&tuning.limits, now_ms, self.pipeline.led_since_ms);
        DecidedPortion {
            now_ms,
            limits: limits.into_owned(),
            read_only: self.gate.read_only(),
            entries: Vec::new(),
            cost: 0,
        }
    }

    /// Decides the next command, or leaves it to be decided ahead; `false` when there is none.
    fn decide_next(&mut self, state: &State, portion: &mut DecidedPortion) -> bool {
        if !self.pipeline.in_flight.has_room() {
            return false;
        }
        let Some((request, cost)) = self.weigh_next(state) else {
            return self.pipeline.has_work();
        };
        portion.cost += cost;
        request.reached(Stage::Deciding);
        let began = T::now();
        let at = DecideAt {
            offset: self.pipeline.next_offset,
            now_ms: portion.now_ms,
            actor: &request.caller.actor,
            meta: request.meta.as_deref(),
            limits: &portion.limits,
            reach: request.caller.reach.as_deref(),
        };
        let decision = decided(&self.counters, &request.command, || {
            let decision = decide(state, &self.pipeline.pending, &request.command, &at);
            let decision = decision.map_err(|refusal| self.name_holders(refusal))?;
            if planted::is(Bug::DryRunWrites) {
                return written_after_all(
                    decision,
                    state,
                    &self.pipeline.pending,
                    &request.command,
                    &at,
                );
            }
            Ok(decision)
        });
        let took = T::now() - began;
        self.pipeline.slow.note(&request, took, &self.counters);
        self.put_in_flight(request, decision, portion);
        true
    }

    /// Takes the next command to be decided now, with its cost. Held commands came first.
    fn weigh_next(&mut self, state: &State) -> Option<(Request<T>, usize)> {
        let costly_bytes = self.costly_bytes;
        let pipeline = &mut self.pipeline;
        let held = pipeline.held.pop_ready();
        let request = match held {
            Some(number) => pipeline.held.get(number)?,
            None => pipeline
                .incoming
                .front()
                .filter(|request| !pipeline.must_wait(request))?,
        };
        if let Some(offset) = request.cause {
            match held {
                Some(number) => pipeline.causes.want(WantedCause { number, offset }),
                None => {
                    let request = pipeline.incoming.pop_front()?;
                    pipeline.held.push(request);
                }
            }
            return None;
        }
        let cost = cost(state, &pipeline.pending, &request.command);
        let is_costly = cost > costly_bytes && !lists(&request.command);
        let request = match held {
            Some(number) if is_costly => {
                pipeline.held.set_costly(number);
                return None;
            }
            Some(number) => pipeline.held.take(number)?,
            None => {
                let request = pipeline.incoming.pop_front()?;
                if is_costly || pipeline.held.blocks(&request.command) {
                    pipeline.held.push(request);
                    return None;
                }
                request
            }
        };
        Some((still_wanted(request, pipeline.term)?, cost))
    }

    /// Adds which members do not understand the level that a request needs.
    fn name_holders(&self, mut refusal: Refusal) -> Refusal {
        refusal.name_holders(|level| {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            let others = membership.nodes().map(|(id, _)| *id);
            let others = others.filter(|id| *id != metrics.id);
            self.levels.holders(others, level)
        });
        refusal
    }

    fn put_in_flight(
        &mut self,
        request: Request<T>,
        decision: Result<Decision, Error>,
        portion: &mut DecidedPortion,
    ) {
        request.reached(Stage::Decided);
        let pipeline = &mut self.pipeline;
        let result = match (decision, &portion.read_only) {
            // This refusal rests on nothing in flight, so it does not wait: what is in flight may lack room itself.
            (Ok(Decision::Write { .. }), Some(error)) => return request.refuse(error.clone()),
            (
                Ok(Decision::Write {
                    entry,
                    reply,
                    compiled,
                }),
                None,
            ) => {
                pipeline.pending.push(&entry, &compiled);
                let (bytes, offset) = (entry.encoded_len(), pipeline.next_offset);
                pipeline.next_offset += 1;
                if let Some(trace) = &request.trace {
                    self.applied.traced.keep(offset, trace.clone());
                }
                pipeline.in_flight.push_write(request, reply, bytes, offset);
                portion.entries.push((entry, compiled));
                return;
            }
            (Ok(Decision::Answer { reply, offset }), _) => Ok(Done {
                reply: reply.into(),
                offset,
            }),
            (Err(error), _) => Err(error),
        };
        pipeline.in_flight.push_answer(request, result);
    }

    /// Takes over a decision that was made ahead, if what it rests on has not changed. Otherwise the command is
    /// prepared again.
    pub(super) fn land(&mut self, ready: Ready) -> Vec<(Entry, Compiled)> {
        let number = ready.number;
        let mut portion = self.new_portion();
        let Some(request) = self.pipeline.held.get(number) else {
            return portion.entries;
        };
        let slow = &mut self.pipeline.slow;
        slow.note(request, ready.took, &self.counters);
        let at = DecideAt {
            offset: self.pipeline.next_offset,
            now_ms: portion.now_ms,
            actor: &request.caller.actor,
            meta: request.meta.as_deref(),
            limits: &portion.limits,
            reach: request.caller.reach.as_deref(),
        };
        let landed = match ready.prepared {
            Ok(prepared) => {
                let state = self.applied.read();
                let landed = prepared.land(&state, &self.pipeline.pending, &request.command, &at);
                let named = |refusal| Error::from(self.name_holders(refusal));
                landed.map(|decision| decision.map_err(named))
            }
            Err(error) => Some(Err(error)),
        };
        let Some(decision) = landed else {
            self.counters.commands_redecided.add(1);
            self.pipeline.held.set_costly(number);
            return portion.entries;
        };
        if let Some(request) = self
            .pipeline
            .held
            .take(number)
            .and_then(|request| still_wanted(request, self.pipeline.term))
        {
            self.put_in_flight(request, decision, &mut portion);
        }
        portion.entries
    }

    /// Starts to prepare costly commands, as many as may run at a time.
    pub(super) fn prepare_more(&mut self) {
        if self.pipeline.draining {
            return;
        }
        let gone = self.pipeline.held.costly().take(LOOKED_AT_MAX);
        let gone = gone.filter(|(_, request)| request.answer.is_closed());
        let gone: Vec<u64> = gone.map(|(number, _)| number).collect();
        for number in gone {
            self.pipeline.held.take(number);
        }
        while self.pipeline.preparing.has_room() && self.pipeline.in_flight.has_room_for_costly() {
            let Some(task) = self.next_to_prepare() else {
                return;
            };
            self.pipeline.held.set_preparing(task.number);
            self.pipeline.preparing.start::<T>(task);
        }
    }

    /// The oldest command that names nothing in flight.
    fn next_to_prepare(&self) -> Option<Task> {
        let mut costly = self.pipeline.held.costly().take(LOOKED_AT_MAX).peekable();
        costly.peek()?;
        let state = self.applied.read();
        let settled =
            |request: &Request<T>| is_settled(&state, &self.pipeline.pending, &request.command);
        let (number, request) = costly.find(|(_, request)| settled(request))?;
        request.reached(Stage::Deciding);
        let now_ms = self.clocks.log_time_ms(state.last_time_ms());
        let tuning = self.tuned.now();
        let limits = limits_of_leader(&tuning.limits, now_ms, self.pipeline.led_since_ms);
        Some(Task {
            number,
            now_ms,
            state: state.clone(),
            command: request.command.clone(),
            meta: request.meta.clone(),
            caller: request.caller.clone(),
            limits: limits.into_owned(),
            counters: self.counters.clone(),
        })
    }
}

/// The planted bug: the command of a dry run is written, and its client is told what it would do.
fn written_after_all(
    decision: Decision,
    state: &State,
    pending: &PendingEntries,
    command: &Command,
    at: &DecideAt<'_>,
) -> Result<Decision, Refusal> {
    let (Decision::Answer { reply, .. }, Command::DryRun(asked)) = (&decision, command) else {
        return Ok(decision);
    };
    let DryRun::Whole(command) = &**asked else {
        return Ok(decision);
    };
    match decide(state, pending, command, at)? {
        Decision::Write {
            entry, compiled, ..
        } => Ok(Decision::Write {
            entry,
            reply: reply.clone(),
            compiled,
        }),
        Decision::Answer { .. } => Ok(decision),
    }
}

/// The request, unless no client waits for its answer, or its stream was closed before it was decided.
fn still_wanted<T: Types>(request: Request<T>, term: u64) -> Option<Request<T>> {
    if request.is_cut_off(term) {
        request.refuse(Error::NotLeader);
        return None;
    }
    (!request.answer.is_closed()).then_some(request)
}
