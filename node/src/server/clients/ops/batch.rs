//! BATCH: atomic as one command, or each operation on its own.
//!
//! An atomic batch that only reads is no command: it reads everything at one moment, and delays no write.

use std::sync::Arc;

use futures_util::future::join_all;
use rstmdb_engine::{BatchOp, Command};
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::batch::{Batch, BatchMode, BatchOp as Requested};
use rstmdb_rcp::{Code, PAYLOAD_BYTES_MAX};
use serde_json::value::RawValue;

use super::answer::Item;
use super::{
    Answer, Body, Job, JobOutcome, RequestPlan, Running, Started, events, instances, machines,
    read_params,
};
use crate::server::clients::failure::{self, Effect};
use crate::server::clients::order::{Access, Claim, Touch};
use crate::server::clients::shared::ServerShared;
use crate::server::op::Op;

/// One operation of a best-effort batch, understood or refused.
pub(crate) type BatchStep = Result<Job, ErrorBody>;

/// BATCH.
pub(super) fn batch(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let batch: Batch<'_> = read_params(params)?;
    if batch.ops.is_empty() {
        return Ok(RequestPlan::answered(Body::Items(Vec::new())));
    }
    match batch.mode {
        BatchMode::Atomic => atomic(&batch),
        BatchMode::BestEffort => Ok(best_effort_plan(&batch)),
    }
}

fn plan_op(op: &Requested<'_>) -> Result<RequestPlan, ErrorBody> {
    let params = op.params;
    match Op::from_name(&op.op) {
        Some(Op::PutMachine) => machines::put(params),
        Some(Op::GetMachine) => machines::get(params),
        Some(Op::ListMachines) => machines::list(params),
        Some(Op::CreateInstance) => instances::create(params),
        Some(Op::GetInstance) => instances::get(params),
        Some(Op::ListInstances) => instances::list(params),
        Some(Op::DeleteInstance) => instances::delete(params),
        Some(Op::ApplyEvent) => events::apply(params),
        _ => Err(ErrorBody::new(
            Code::BadRequest,
            format!("{} is not allowed inside a batch", op.op),
        )),
    }
}

fn atomic(batch: &Batch<'_>) -> Result<RequestPlan, ErrorBody> {
    let mut ops = Vec::with_capacity(batch.ops.len());
    let mut touches = Vec::with_capacity(batch.ops.len());
    for (index, op) in batch.ops.iter().enumerate() {
        let plan = plan_op(op).map_err(|error| failure::in_atomic_batch(error, index))?;
        touches.push(plan.claim.touch);
        ops.push(match plan.job {
            Job::Write(command, _) => BatchOp::Write(command),
            Job::Read(query, _) => BatchOp::Read(query),
            _ => {
                let error = ErrorBody::new(
                    Code::BadRequest,
                    format!("{} is not allowed inside a batch", op.op),
                );
                return Err(failure::in_atomic_batch(error, index));
            }
        });
    }
    let touch = merge(touches);
    if ops.iter().all(|op| matches!(op, BatchOp::Read(_))) {
        let queries = ops.into_iter().filter_map(|op| match op {
            BatchOp::Read(query) => Some(query),
            BatchOp::Write(_) => None,
        });
        return Ok(RequestPlan::read(touch, Job::ReadAll(queries.collect())));
    }
    let mut plan = RequestPlan::write(touch, Command::Batch(ops));
    if plan.claim.touch == Touch::Everything {
        plan.claim.access = Access::Exclusive;
    }
    Ok(plan)
}

fn best_effort_plan(batch: &Batch<'_>) -> RequestPlan {
    let mut touches = Vec::with_capacity(batch.ops.len());
    let mut effect = Effect::None;
    let mut reads = false;
    let steps: Vec<BatchStep> = batch
        .ops
        .iter()
        .map(|op| {
            let plan = plan_op(op)?;
            touches.push(plan.claim.touch);
            match plan.effect {
                Effect::None | Effect::Upkeep => reads = true,
                Effect::Write { keyed } => {
                    let keyed = keyed && effect != Effect::Write { keyed: false };
                    effect = Effect::Write { keyed };
                }
            }
            Ok(plan.job)
        })
        .collect();
    RequestPlan {
        claim: Claim {
            touch: merge(touches),
            access: if reads {
                Access::Exclusive
            } else {
                Access::Write
            },
        },
        effect,
        job: Job::BestEffort(steps),
    }
}

/// Runs each operation on its own. Neighbouring writes are handed over together, so that they share a commit. A read
/// waits for the writes before it, and the writes after it wait for the read.
pub(super) fn best_effort(
    shared: &Arc<ServerShared>,
    steps: Vec<BatchStep>,
    actor: &Arc<str>,
) -> Running {
    let mut steps = steps.into_iter();
    let (first, mut stopped_at) = submit_writes(shared, &mut steps, actor);
    let (shared, actor) = (shared.clone(), actor.clone());
    Running::boxed(async move {
        let mut results = join_all(first).await;
        while let Some(read) = stopped_at.take() {
            results.push(match read.start(&shared, &actor) {
                Started::Done(outcome) => outcome,
                Started::Running(running) => running.await,
            });
            let (writes, next) = submit_writes(&shared, &mut steps, &actor);
            results.extend(join_all(writes).await);
            stopped_at = next;
        }
        let items = results.into_iter().enumerate();
        let mut items: Vec<Item> = items
            .map(|(index, outcome)| item_of(index, outcome))
            .collect();
        // Beyond this length the answer is too long in any case.
        let mut room = PAYLOAD_BYTES_MAX;
        for reply in items.iter_mut().flatten() {
            shared.replica.complete(reply, &mut room).await;
        }
        Ok(Answer {
            body: Body::Items(items),
            wal_offset: None,
        })
    })
}

/// Hands over writes until a read comes, which is returned beside them.
fn submit_writes(
    shared: &Arc<ServerShared>,
    steps: &mut std::vec::IntoIter<BatchStep>,
    actor: &Arc<str>,
) -> (Vec<Running>, Option<Job>) {
    let mut running = Vec::new();
    for step in steps {
        match step {
            Ok(job @ Job::Read(..)) => return (running, Some(job)),
            Ok(job) => running.push(match job.start(shared, actor) {
                Started::Running(running) => running.without_completing(),
                Started::Done(outcome) => Running::boxed(std::future::ready(outcome)),
            }),
            Err(error) => running.push(Running::boxed(std::future::ready(Err(error)))),
        }
    }
    (running, None)
}

fn item_of(index: usize, outcome: JobOutcome) -> Item {
    match outcome.map(|answer| answer.body) {
        Ok(Body::Reply(reply)) => Ok(reply),
        Ok(_) => Err(ErrorBody::new(
            Code::InternalError,
            "this operation has no result inside a batch",
        )),
        Err(error) => Err(failure::in_batch(error, index)),
    }
}

/// Everything that any of the operations touches.
fn merge(touches: Vec<Touch>) -> Touch {
    let mut lanes = Vec::with_capacity(touches.len());
    for touch in touches {
        match touch {
            Touch::Nothing => {}
            Touch::Instance(lane) => lanes.push(lane),
            Touch::Instances(more) => lanes.extend_from_slice(&more),
            Touch::Everything => return Touch::Everything,
        }
    }
    lanes.sort_unstable();
    lanes.dedup();
    Touch::Instances(lanes.into_boxed_slice())
}
