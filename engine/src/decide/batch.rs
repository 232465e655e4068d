//! Atomic batches: each operation is decided over the ones before it; one refusal refuses all.

use std::borrow::Cow;

use super::prepare::cost;
use super::{Decider, trial};
use crate::api::check_ops;
use crate::api::command::{AskedPart, BatchOp, Command, Query};
use crate::api::reply::Reply;
use crate::fact::{Body, Fact, Meta, Timers};
use crate::limits::{BATCH_LISTED_BYTES_MAX, BATCH_LISTED_MAX, ENTRY_BYTES_MAX};
use crate::machine::Compiled;
use crate::query::StepBudget;
use crate::view::Overlay;
use crate::view::View;
use crate::{Refusal, query};

/// What becomes of the operations behind one that is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnRefusal {
    /// The batch is refused.
    End,
    /// Only this operation is: they stand alone.
    GoOn,
}

/// What was decided on a batch.
pub(super) struct Decided {
    pub(super) facts: Vec<Fact>,
    pub(super) replies: Vec<Reply>,
    /// It writes, and all that it writes was written before.
    pub(super) is_replay: bool,
}

pub(super) fn decide(
    decider: Decider<'_>,
    ops: &[BatchOp],
    compiled: &mut Compiled,
) -> Result<Decided, Refusal> {
    check_ops(ops.len())?;
    check_listing(decider.view, || ops.iter().map(AskedPart::from))?;
    let mut batch = DecidedBatch::new(compiled, fact_bytes(decider.meta));
    for (index, op) in ops.iter().enumerate() {
        let step = batch.step(decider, op);
        step.map_err(|refusal| in_batch(index, refusal))?;
    }
    Ok(Decided {
        is_replay: batch.is_replay(),
        facts: batch.facts,
        replies: batch.replies,
    })
}

/// Decides as for a write, and tells of each operation what it would do.
pub(super) fn try_out(
    decider: Decider<'_>,
    ops: &[Result<&BatchOp, &Refusal>],
    on_refusal: OnRefusal,
    fenced: Result<(), Refusal>,
    compiled: &mut Compiled,
) -> Result<(Vec<Fact>, Vec<Reply>), Refusal> {
    check_ops(ops.len())?;
    check_listing(decider.view, || {
        ops.iter().filter_map(|op| op.ok()).map(AskedPart::from)
    })?;
    let fact_bytes = match on_refusal {
        OnRefusal::End => fact_bytes(decider.meta),
        OnRefusal::GoOn => 0,
    };
    let mut batch = DecidedBatch::new(compiled, fact_bytes);
    batch.only_tried = true;
    if on_refusal == OnRefusal::GoOn {
        batch.fenced.clone_from(&fenced);
    }
    for (index, op) in ops.iter().enumerate() {
        let step = match op {
            Ok(op) => batch.step(decider, op),
            Err(refusal) => Err((*refusal).clone()),
        };
        match step {
            Ok(()) => {}
            Err(refusal) if on_refusal == OnRefusal::End => return Err(in_batch(index, refusal)),
            // The operations themselves may have more, each in an entry of its own.
            Err(_) if batch.bytes > ENTRY_BYTES_MAX => {
                let problem = format!(
                    "the contexts and payloads of a dry run exceed {ENTRY_BYTES_MAX} bytes: ask for fewer operations \
                     at once"
                );
                return Err(Refusal::bad("ops", problem));
            }
            Err(refusal) => batch.replies.push(Reply::Refused(Box::new(refusal))),
        }
    }
    if on_refusal == OnRefusal::End && !batch.is_replay() {
        fenced?;
    }
    Ok((batch.facts, batch.replies))
}

fn in_batch(index: usize, refusal: Refusal) -> Refusal {
    Refusal::InBatch {
        index,
        refusal: Box::new(refusal),
    }
}

/// A batch with listings cannot be decided ahead, because its premises change all the time. So it must be cheap.
fn check_listing<'a, P: Iterator<Item = AskedPart<'a>>>(
    view: View<'_>,
    parts: impl Fn() -> P,
) -> Result<(), Refusal> {
    if !cost::any_lists(parts()) || cost::of_parts(view, parts()) <= BATCH_LISTED_BYTES_MAX {
        return Ok(());
    }
    let problem = format!(
        "the contexts, payloads and definitions of an atomic batch with listings have more than \
         {BATCH_LISTED_BYTES_MAX} bytes together: list outside of the batch"
    );
    Err(Refusal::bad("ops", problem))
}

impl Decider<'_> {
    /// A query within a batch: the batch's client asks, at the batch's time, and what is said about the batch counts.
    fn asking<'q>(&self, query: &'q Query) -> Cow<'q, Query> {
        if !matches!(query, Query::AllowedEvents { .. }) {
            return Cow::Borrowed(query);
        }
        let mut query = query.clone();
        query.ask_as(&self.actor.into(), || self.time_ms);
        if let (Query::AllowedEvents { headers, .. }, Some(meta)) = (&mut query, self.meta)
            && headers.is_empty()
        {
            headers.clone_from(&meta.headers);
        }
        Cow::Owned(query)
    }
}

struct DecidedBatch<'a> {
    earlier: Overlay,
    facts: Vec<Fact>,
    replies: Vec<Reply>,
    bytes: usize,
    fact_bytes: usize,
    listings: StepBudget,
    compiled: &'a mut Compiled,
    /// Nothing is written: each operation tells what it would do.
    only_tried: bool,
    /// Each operation that was not done before needs this to hold.
    fenced: Result<(), Refusal>,
    /// How many operations are writes, and how many of them were done before.
    writes: usize,
    replays: usize,
}

impl<'a> DecidedBatch<'a> {
    fn new(compiled: &'a mut Compiled, fact_bytes: usize) -> Self {
        Self {
            earlier: Overlay::default(),
            facts: Vec::new(),
            replies: Vec::new(),
            bytes: 0,
            fact_bytes,
            listings: StepBudget {
                left: BATCH_LISTED_MAX,
            },
            compiled,
            only_tried: false,
            fenced: Ok(()),
            writes: 0,
            replays: 0,
        }
    }

    /// Whether it writes, and all that it writes was written before.
    fn is_replay(&self) -> bool {
        self.writes > 0 && self.writes == self.replays
    }

    fn step(&mut self, decider: Decider<'_>, op: &BatchOp) -> Result<(), Refusal> {
        let over = Decider {
            view: decider.view.over(&self.earlier),
            ..decider
        };
        may_be_in_batch(op)?;
        let command = match op {
            BatchOp::Read(read) => {
                let read = over.asking(read);
                let reply = query::answer(over.view, over.reach, &read, &mut self.listings)?;
                self.replies.push(reply.ok_or_else(too_much_listed)?);
                return Ok(());
            }
            BatchOp::Write(command) => command,
        };
        let decision = over.single(command)?;
        match decision.is_replay() {
            true => self.replays += 1,
            false => self.fenced.clone()?,
        }
        self.writes += 1;
        let (reply, written) = match self.only_tried {
            true => trial::told(over.view, command, decision),
            false => decision.split(),
        };
        if let Some((body, machine)) = written {
            self.compiled.extend(machine);
            self.bytes += bytes(&body) + self.fact_bytes;
            if self.bytes > ENTRY_BYTES_MAX {
                let with = match self.fact_bytes {
                    0 => "",
                    _ => ", with the batch's metadata beside each fact",
                };
                return Err(Refusal::bad(
                    "ops",
                    format!(
                        "the batch's contexts and payloads exceed {ENTRY_BYTES_MAX} bytes{with}"
                    ),
                ));
            }
            let fact = Fact::from(body);
            self.earlier
                .push(&fact, decider.offset, decider.time_ms, self.compiled);
            self.facts.push(fact);
        }
        self.replies.push(reply);
        Ok(())
    }
}

/// Refuses a command that needs an entry of its own, and a query that does not see the operations before it or depends on
/// the moment.
fn may_be_in_batch(op: &BatchOp) -> Result<(), Refusal> {
    let problem = match op {
        BatchOp::Write(Command::DeleteMachine(_)) => "DELETE_MACHINE is not allowed in a batch",
        BatchOp::Write(Command::FlushAll) => "FLUSH_ALL is not allowed in a batch",
        BatchOp::Write(Command::SetLevel { .. }) => {
            "raising the feature level is not allowed in a batch"
        }
        BatchOp::Write(Command::SetAutomation(_)) => "AUTOMATION is not allowed in a batch",
        BatchOp::Write(Command::FireTimer(_)) => "a timer fires in an entry of its own",
        BatchOp::Write(Command::Lock(_)) => {
            "a lock changes in an entry of its own: give the batch a fence"
        }
        BatchOp::Read(Query::GetLock { .. }) => "LOCK_GET is not allowed in a batch",
        BatchOp::Read(Query::ListLocks(_)) => "LOCK_LIST is not allowed in a batch",
        BatchOp::Read(Query::ListTimers(_)) => "TIMER_LIST is not allowed in a batch",
        BatchOp::Write(_) | BatchOp::Read(_) => return Ok(()),
    };
    Err(Refusal::bad("op", problem))
}

/// The writes of all clients wait while a batch is decided, so the work of its listings is bounded.
fn too_much_listed() -> Refusal {
    Refusal::bad(
        "ops",
        format!(
            "the batch's LIST_INSTANCES and LIST_MACHINES look at more than {BATCH_LISTED_MAX} instances and \
             machines, the most that an atomic batch with writes may look at: list outside of the batch"
        ),
    )
}

/// The bytes that count for each fact besides its contexts and payloads: WAL_READ may show the batch's metadata beside
/// each of its facts, escaped as JSON.
fn fact_bytes(meta: Option<&Meta>) -> usize {
    2 * meta.map_or(0, Meta::text_bytes)
}

fn bytes(body: &Body) -> usize {
    match body {
        Body::PutMachine(put) => put.definition.len(),
        Body::CreateInstance(create) => {
            create.ctx.len() + names(&create.emits) + names(&create.via) + timers(&create.timers)
        }
        Body::ApplyEvent(apply) => {
            let payload = apply.payload.as_ref().map_or(0, |payload| payload.len());
            let own = apply.ctx.len() + payload + timers(&apply.timers);
            own + names(&apply.emits) + names(&apply.via)
        }
        Body::SetTimers(set) => timers(&set.timers),
        Body::TimerSpent(spent) => spent.message.len() + timers(&spent.timers),
        Body::SetAutomation(set) => set.reason.len(),
        // A batch has none.
        Body::LockChanged(_) | Body::DeleteMachine(_) => 0,
        Body::DeleteInstance(_) | Body::FlushAll(_) | Body::SetLevel(_) => 0,
    }
}

fn names(names: &[String]) -> usize {
    names.iter().map(String::len).sum()
}

fn timers(timers: &Option<Timers>) -> usize {
    let armed = timers.iter().flat_map(|timers| &timers.armed);
    armed.map(|timer| timer.name.len() + 16).sum()
}
