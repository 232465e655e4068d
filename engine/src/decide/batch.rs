//! Atomic batches: each operation is decided over the ones before it; one refusal refuses all.

use super::{Decider, Step};
use crate::command::{BatchOp, Command};
use crate::fact::{Body, Fact};
use crate::limits::{BATCH_OPS_MAX, ENTRY_BYTES_MAX};
use crate::overlay::Overlay;
use crate::reply::Reply;
use crate::{Refusal, query};

pub(super) fn decide(
    decider: Decider<'_>,
    ops: &[BatchOp],
) -> Result<(Vec<Fact>, Vec<Reply>), Refusal> {
    if ops.len() > BATCH_OPS_MAX {
        return Err(Refusal::bad(
            "ops",
            format!(
                "ops holds {} operations; {BATCH_OPS_MAX} are allowed",
                ops.len()
            ),
        ));
    }
    let mut batch = Batch::default();
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

#[derive(Default)]
struct Batch {
    earlier: Overlay,
    facts: Vec<Fact>,
    replies: Vec<Reply>,
    bytes: usize,
}

impl Batch {
    fn step(&mut self, decider: Decider<'_>, op: &BatchOp) -> Result<(), Refusal> {
        let over = Decider {
            view: decider.view.over(&self.earlier),
            ..decider
        };
        let command = match op {
            BatchOp::Read(read) => {
                self.replies.push(query::answer(over.view, read)?);
                return Ok(());
            }
            BatchOp::Write(Command::FlushAll) => {
                return Err(Refusal::bad("op", "FLUSH_ALL is not allowed in a batch"));
            }
            BatchOp::Write(command) => command,
        };
        match over.single(command)? {
            Step::Answer { reply, .. } => self.replies.push(reply),
            Step::Write { body, reply } => {
                self.bytes += bytes(&body);
                if self.bytes > ENTRY_BYTES_MAX {
                    return Err(Refusal::bad(
                        "ops",
                        format!("the batch's contexts and payloads exceed {ENTRY_BYTES_MAX} bytes"),
                    ));
                }
                let fact = Fact::from(body);
                self.earlier.push(&fact, decider.offset, decider.time_ms);
                self.facts.push(fact);
                self.replies.push(reply);
            }
        }
        Ok(())
    }
}

fn bytes(body: &Body) -> usize {
    match body {
        Body::PutMachine(put) => put.definition.len(),
        Body::CreateInstance(create) => create.ctx.len(),
        Body::ApplyEvent(apply) => {
            apply.ctx.len() + apply.payload.as_ref().map_or(0, |payload| payload.len())
        }
        Body::DeleteInstance(_) | Body::FlushAll(_) => 0,
    }
}
