//! From a command to facts: every rule that can refuse a command is here, and only here.
//!
//! Pure: it reads the applied state with the facts in flight over it. Its facts hold once the facts in flight
//! are applied.

mod apply_event;
mod batch;
mod dry_run;
mod idempotency;
mod instance;
mod locks;
mod meta;
mod prepare;
mod put_machine;
mod settings;
mod timers;
mod trial;

use std::sync::Arc;

use crate::api::Reach;
use crate::api::command::{ApplyEvent, Command};
use crate::api::reply::Reply;
use crate::fact::{Body, Entry, Fact, FlushAll, Meta, NO_OFFSET};
use crate::machine::Compiled;
use crate::machine::Machine;
use crate::view::{Current, View};
use crate::{Limits, PendingEntries, Refusal, State, query};

pub use prepare::cost::{cost, lists};
pub use prepare::{Prepared, is_settled, prepare};

/// Where, when and for whom a command is decided.
#[derive(Clone, Debug)]
pub struct DecideAt<'a> {
    /// The index that the entry will have in the log.
    pub offset: u64,
    /// The leader's clock, Unix milliseconds. If it is behind the time of the last entry, that time counts.
    pub now_ms: u64,
    /// The client that asked; may be empty.
    pub actor: &'a str,
    /// What the client says about the write.
    pub meta: Option<&'a Meta>,
    /// The leader's configuration.
    pub limits: &'a Limits,
    /// The machines of the client, if it is limited to some.
    pub reach: Option<&'a Reach>,
}

/// What was decided.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each command, and most write; a box would cost more"
)]
pub enum Decision {
    /// To be written to the log.
    Write {
        /// What takes effect.
        entry: Entry,
        /// The answer. It is right once the entry is applied at its predicted offset.
        reply: Reply,
        /// The machines that the entry defines.
        compiled: Compiled,
    },
    /// Nothing to write. The answer is right once all facts in flight at the decision are applied.
    Answer {
        /// The answer.
        reply: Reply,
        /// The offset of the first call, where an idempotency key replays it.
        offset: Option<u64>,
    },
}

/// Decides a command.
pub fn decide(
    state: &State,
    pending: &PendingEntries,
    command: &Command,
    at: &DecideAt<'_>,
) -> Result<Decision, Refusal> {
    decide_early(state, pending, command, at, 0)
}

/// Decides a command whose entry will be up to `slack_ms` later than `at`.
fn decide_early(
    state: &State,
    pending: &PendingEntries,
    command: &Command,
    at: &DecideAt<'_>,
    slack_ms: u64,
) -> Result<Decision, Refusal> {
    let decider = Decider {
        view: View::new(state).over(&pending.overlay),
        offset: at.offset,
        time_ms: at
            .now_ms
            .max(state.last_time_ms())
            .max(pending.last_time_ms),
        actor: at.actor,
        meta: at.meta,
        limits: at.limits,
        reach: at.reach,
        slack_ms,
    };
    if let Some(meta) = at.meta {
        decider.check_meta(meta)?;
    }
    let fenced = decider.check_fence();
    if let Command::DryRun(asked) = command {
        return dry_run::decide(decider, asked, fenced);
    }
    match (decider.decision(command, at), fenced) {
        // What was done before is answered as it was.
        (Ok((answer, true)), _) => Ok(answer),
        // An owner must learn first that its lock is lost.
        (_, Err(lost)) => Err(lost),
        (decision, Ok(())) => decision.map(|(decision, _)| decision),
    }
}

impl Decider<'_> {
    /// The decision, and whether all of it was done before.
    fn decision(self, command: &Command, at: &DecideAt<'_>) -> Result<(Decision, bool), Refusal> {
        let mut compiled = Compiled::default();
        let (facts, reply, offset, is_replay) = match command {
            Command::Batch(ops) => {
                let decided = batch::decide(self, ops, &mut compiled)?;
                let reply = Reply::Batch(decided.replies);
                (decided.facts, reply, None, decided.is_replay)
            }
            single => match self.single(single)? {
                OpDecision::Write {
                    body,
                    reply,
                    machine,
                } => {
                    compiled.extend(machine);
                    (vec![body.into()], reply, None, false)
                }
                OpDecision::Answer { reply, offset } => {
                    (Vec::new(), reply, offset, offset.is_some())
                }
            },
        };
        if facts.is_empty() {
            return Ok((Decision::Answer { reply, offset }, is_replay));
        }
        let entry = self.entry(facts, at);
        let write = Decision::Write {
            entry,
            reply,
            compiled,
        };
        Ok((write, false))
    }
}

/// The decision on one operation.
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one call; a box would cost more"
)]
enum OpDecision {
    Write {
        body: Body,
        reply: Reply,
        /// The machine that it defines.
        machine: Option<Arc<Machine>>,
    },
    Answer {
        reply: Reply,
        offset: Option<u64>,
    },
}

/// What an operation writes, with the machine that it defines.
type DecidedWrite = Option<(Body, Option<Arc<Machine>>)>;

impl OpDecision {
    /// Whether it is the answer to what was done before.
    fn is_replay(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                offset: Some(_),
                ..
            }
        )
    }

    /// The answer, and what is written.
    fn split(self) -> (Reply, DecidedWrite) {
        match self {
            Self::Write {
                body,
                reply,
                machine,
            } => (reply, Some((body, machine))),
            Self::Answer { reply, .. } => (reply, None),
        }
    }
}

#[derive(Clone, Copy)]
struct Decider<'a> {
    view: View<'a>,
    offset: u64,
    time_ms: u64,
    actor: &'a str,
    meta: Option<&'a Meta>,
    limits: &'a Limits,
    reach: Option<&'a Reach>,
    /// The entry may be of a time that is later by up to this: timers are due so much later.
    slack_ms: u64,
}

impl Decider<'_> {
    fn single(self, command: &Command) -> Result<OpDecision, Refusal> {
        self.check_reach(command)?;
        match command {
            Command::PutMachine(put) => self.put_machine(put),
            Command::DeleteMachine(delete) => self.delete_machine(delete),
            Command::CreateInstance(create) => self.create_instance(create),
            Command::ApplyEvent(apply) => self.event(apply, None),
            Command::DeleteInstance(delete) => self.deletion(delete, None),
            Command::SetTimers(set) => self.set_timers(set),
            Command::FireTimer(fire) => self.fire_timer(fire),
            Command::FlushAll => self.flush_all(),
            Command::SetLevel { level } => self.set_level(*level),
            Command::SetAutomation(set) => self.set_automation(set),
            Command::Lock(lock) => self.lock(lock),
            Command::Batch(_) => Err(Refusal::bad("ops", "a batch must not hold a batch")),
            Command::DryRun(_) => Err(Refusal::bad(
                "dry_run",
                "dry_run holds for the whole batch, not for one operation: set it beside ops",
            )),
        }
    }

    fn flush_all(self) -> Result<OpDecision, Refusal> {
        if !self.limits.allow_flush_all {
            return Err(Refusal::BadRequest {
                field: None,
                message: "FLUSH_ALL is switched off (storage.allow_flush_all)".to_owned(),
            });
        }
        let (instances_removed, machines_removed) = query::counts(self.view);
        Ok(OpDecision::Write {
            body: Body::FlushAll(FlushAll {}),
            reply: Reply::Flushed {
                instances_removed,
                machines_removed,
            },
            machine: None,
        })
    }

    fn entry(self, facts: Vec<Fact>, at: &DecideAt<'_>) -> Entry {
        Entry {
            index: self.offset,
            time_ms: self.time_ms,
            actor: at.actor.to_owned(),
            key_bounds: Some(self.limits.into()),
            facts,
            meta: at.meta.cloned(),
        }
    }
}

/// Refuses what expects another state or offset of its instance.
fn check_expected(apply: &ApplyEvent, current: &Current<'_>) -> Result<(), Refusal> {
    if let Some(expected) = &apply.expected_state
        && **expected != **current.state_name()
    {
        return Err(Refusal::StateConflict {
            expected_state: expected.clone(),
            actual_state: current.state_name().to_string(),
        });
    }
    check_offset(apply.expected_wal_offset, current)
}

/// Refuses what expects another offset of its instance.
fn check_offset(expected: Option<u64>, current: &Current<'_>) -> Result<(), Refusal> {
    match expected {
        // An instance that a prepared batch has changed has no offset yet, so no client can expect one.
        Some(expected) if expected == NO_OFFSET || expected != current.last_offset => {
            Err(Refusal::OffsetConflict {
                expected_wal_offset: expected,
                actual_wal_offset: current.last_offset,
            })
        }
        _ => Ok(()),
    }
}
