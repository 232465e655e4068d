//! Atomic batches: each operation is decided over the ones before it; one refusal refuses all.

use super::{Decider, OpDecision, cost};
use crate::api::check_ops;
use crate::api::command::{BatchOp, Command};
use crate::api::reply::Reply;
use crate::fact::{Body, Fact};
use crate::limits::{BATCH_LISTED_BYTES_MAX, BATCH_LISTED_MAX, ENTRY_BYTES_MAX};
use crate::machine::Compiled;
use crate::query::StepBudget;
use crate::view::Overlay;
use crate::view::View;
use crate::{Refusal, query};

/// `fact_bytes` counts for each fact besides its contexts and payloads.
pub(super) fn decide(
    decider: Decider<'_>,
    ops: &[BatchOp],
    fact_bytes: usize,
    compiled: &mut Compiled,
) -> Result<(Vec<Fact>, Vec<Reply>), Refusal> {
    check_ops(ops.len())?;
    check_listing(decider.view, ops)?;
    let mut batch = Batch {
        earlier: Overlay::default(),
        facts: Vec::new(),
        replies: Vec::new(),
        bytes: 0,
        fact_bytes,
        listings: StepBudget {
            left: BATCH_LISTED_MAX,
        },
        compiled,
    };
    for (index, op) in ops.iter().enumerate() {
        batch
            .step(decider, op)
            .map_err(|refusal| Refusal::InBatch {
                index,
                refusal: Box::new(refusal),
            })?;
    }
    Ok((batch.facts, batch.replies))
}

/// A batch with listings cannot be decided ahead, because its premises change all the time. So it must be cheap.
fn check_listing(view: View<'_>, ops: &[BatchOp]) -> Result<(), Refusal> {
    if !cost::batch_lists(ops) || cost::batch(view, ops) <= BATCH_LISTED_BYTES_MAX {
        return Ok(());
    }
    let problem = format!(
        "the contexts, payloads and definitions of an atomic batch with listings have more than \
         {BATCH_LISTED_BYTES_MAX} bytes together: list outside of the batch"
    );
    Err(Refusal::bad("ops", problem))
}

struct Batch<'a> {
    earlier: Overlay,
    facts: Vec<Fact>,
    replies: Vec<Reply>,
    bytes: usize,
    fact_bytes: usize,
    listings: StepBudget,
    compiled: &'a mut Compiled,
}

impl Batch<'_> {
    fn step(&mut self, decider: Decider<'_>, op: &BatchOp) -> Result<(), Refusal> {
        let over = Decider {
            view: decider.view.over(&self.earlier),
            ..decider
        };
        let command = match op {
            BatchOp::Read(read) => {
                let reply = query::answer(over.view, read, &mut self.listings)?;
                self.replies.push(reply.ok_or_else(too_much_listed)?);
                return Ok(());
            }
            BatchOp::Write(Command::FlushAll) => {
                return Err(Refusal::bad("op", "FLUSH_ALL is not allowed in a batch"));
            }
            BatchOp::Write(Command::SetLevel { .. }) => {
                return Err(Refusal::bad(
                    "op",
                    "raising the feature level is not allowed in a batch",
                ));
            }
            BatchOp::Write(Command::SetAutomation(_)) => {
                return Err(Refusal::bad("op", "AUTOMATION is not allowed in a batch"));
            }
            BatchOp::Write(command) => command,
        };
        match over.single(command)? {
            OpDecision::Answer { reply, .. } => self.replies.push(reply),
            OpDecision::Write {
                body,
                reply,
                machine,
            } => {
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
                self.replies.push(reply);
            }
        }
        Ok(())
    }
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

fn bytes(body: &Body) -> usize {
    match body {
        Body::PutMachine(put) => put.definition.len(),
        Body::CreateInstance(create) => {
            create.ctx.len() + names(&create.emits) + names(&create.via)
        }
        Body::ApplyEvent(apply) => {
            let payload = apply.payload.as_ref().map_or(0, |payload| payload.len());
            apply.ctx.len() + payload + names(&apply.emits) + names(&apply.via)
        }
        Body::SetAutomation(set) => set.reason.len(),
        Body::DeleteInstance(_) | Body::FlushAll(_) | Body::SetLevel(_) => 0,
    }
}

fn names(names: &[String]) -> usize {
    names.iter().map(String::len).sum()
}
