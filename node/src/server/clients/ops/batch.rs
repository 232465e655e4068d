//! BATCH: atomic as one command, or each operation on its own.
//!
//! An atomic batch that only reads is no command: it reads everything at one moment, and delays no write.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use rstmdb_engine::{BatchOp, Command};
use rstmdb_rcp::message::batch::{Batch, BatchMode, BatchOp as Requested};
use rstmdb_rcp::message::meta::Meta;
use rstmdb_rcp::message::{ErrorBody, Params, op};
use rstmdb_rcp::{Code, PAYLOAD_BYTES_MAX};
use serde_json::value::{RawValue, to_raw_value};

use super::answer::BatchItemAnswer;
use super::state::{claim_of, merge, sent, submission, touch_lock, touch_of, touch_of_query};
use super::{
    Body, Job, JobOutcome, OpAnswer, RequestPlan, RunningJob, Started, effect_of, read_params,
    submit,
};
use crate::replica::Submission;
use crate::server::clients::access::Client;
use crate::server::clients::order::{Access, Claim, ClaimTouch};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::command::{self, AskedCommand, BatchedOp, NewIds, ParamsText};
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::meta;
use crate::server::messages::op::Op;

/// One operation of a best-effort batch, understood or refused.
pub(crate) type BatchStep = Result<Job, ErrorBody>;

/// BATCH.
pub(super) fn batch(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let batch: Batch<'_> = read_params(params)?;
    let text = ParamsText::in_buffer(params);
    if batch.dry_run {
        let mut ids = NewIds::default();
        let asked = command::dry_run(&batch, &text, &mut ids)?;
        let claim = claim_of(&asked.command);
        let sent = sent(Op::Batch, &asked.command, &text, params, ids);
        return Ok(RequestPlan::write(claim, submission(asked, sent)));
    }
    let plan = match batch.mode {
        _ if batch.ops.is_empty() => RequestPlan::answered(Body::Items(Vec::new())),
        BatchMode::Atomic => atomic(&batch, params, &text)?,
        BatchMode::BestEffort => best_effort_plan(&batch, &text),
    };
    match (&batch.meta.fence, plan.effect) {
        (Some(fence), PossibleEffect::None) => {
            let claim = Claim {
                touch: merge([plan.claim.touch, touch_lock(&fence.lock)]),
                access: plan.claim.access,
            };
            let job = Job::UnderFence(Box::new(plan.job), Box::new(fence_check(&batch)?));
            Ok(RequestPlan { claim, job, ..plan })
        }
        _ => Ok(plan),
    }
}

/// The question whether the fence of a batch holds: the same batch without operations. Where operations write, each
/// write answers it.
fn fence_check(batch: &Batch<'_>) -> Result<Submission, ErrorBody> {
    let empty = Batch {
        mode: BatchMode::Atomic,
        meta: batch.meta.clone(),
        ..Batch::default()
    };
    let params =
        to_raw_value(&empty).map_err(|error| failure::bad_request("params", &error.to_string()))?;
    let asked = AskedCommand {
        command: Command::Batch(Vec::new()),
        meta: meta::of_params(empty.meta),
    };
    let text = ParamsText::in_buffer(&params);
    let sent = sent(Op::Batch, &asked.command, &text, &params, NewIds::default());
    Ok(submission(asked, sent))
}

/// Does what only reads, and then asks whether its fence holds. A token that holds a lock has held it ever since it was
/// granted, so it held when everything was read.
pub(super) fn under_fence(
    shared: &Arc<ServerShared>,
    reads: Job,
    check: Submission,
    client: &Client,
) -> RunningJob {
    let (shared, client) = (shared.clone(), client.clone());
    RunningJob::boxed(async move {
        let outcome = match reads.start(&shared, &client, None) {
            Started::Done(outcome) => outcome,
            Started::Running(running) => running.await,
        };
        // An owner must learn first that its lock is lost.
        submit(&shared, check, PossibleEffect::None, &client).await?;
        outcome
    })
}

fn atomic(
    batch: &Batch<'_>,
    params: &RawValue,
    text: &ParamsText<'_>,
) -> Result<RequestPlan, ErrorBody> {
    let mut ids = NewIds::default();
    let ops = command::atomic(batch, text, &mut ids)?;
    if ops.iter().all(|op| matches!(op, BatchOp::Read(_))) {
        let queries = ops.into_iter().filter_map(|op| match op {
            BatchOp::Read(query) => Some(query),
            BatchOp::Write(_) => None,
        });
        let queries: Vec<_> = queries.collect();
        let touch = merge(queries.iter().map(touch_of_query));
        return Ok(RequestPlan::read(touch, Job::ReadAll(queries)));
    }
    let asked = AskedCommand {
        command: Command::Batch(ops),
        meta: meta::of_params(batch.meta.clone()),
    };
    let claim = claim_of(&asked.command);
    let sent = sent(Op::Batch, &asked.command, text, params, ids);
    Ok(RequestPlan::write(claim, submission(asked, sent)))
}

/// One operation that stands alone: what it touches, what it may change, what to do. It gets the metadata of the batch,
/// except where it has its own.
fn stands_alone(
    op: &Requested<'_>,
    said: &Meta<'_>,
    text: &ParamsText<'_>,
) -> Result<(ClaimTouch, PossibleEffect, Job), ErrorBody> {
    if let Some(own) = with_meta(op, said) {
        let text = ParamsText::owned(&own)
            .ok_or_else(|| failure::bad_request("params", "they are no JSON"))?;
        let op = Requested {
            op: op.op.clone(),
            params: text.raw(),
        };
        return stands_alone(&op, &Meta::default(), &text);
    }
    let mut ids = NewIds::default();
    match command::step(&op.op, op.params, text, &mut ids)? {
        BatchedOp::Write(name, asked) => {
            let (touch, effect) = (touch_of(&asked.command), effect_of(&asked.command));
            let sent = sent(name, &asked.command, text, op.params, ids);
            let write = Job::Write(submission(asked, sent), effect);
            Ok((touch, effect, write))
        }
        BatchedOp::Read(query, options) => {
            let touch = touch_of_query(&query);
            Ok((touch, PossibleEffect::None, Job::Read(query, options)))
        }
    }
}

/// The parameters of a write with the metadata of its batch, as its client would have sent them without a batch; `None`
/// if the parameters need no change.
fn with_meta(op: &Requested<'_>, said: &Meta<'_>) -> Option<Bytes> {
    if said.is_empty() || op::kind(&op.op) != Some(op::OpKind::Write) {
        return None;
    }
    // If the operation's own metadata is wrong, reading the operation gives the error.
    let own = Meta::read(op.params).ok()?;
    let fields = serde_json::to_string(&own.or(said)).ok()?;
    // Of two fields of one name, the last one counts.
    let body = op.params.get().strip_suffix('}')?.trim_end();
    let comma = if body.ends_with('{') { "" } else { "," };
    Some(format!("{body}{comma}{}", fields.strip_prefix('{')?).into())
}

fn best_effort_plan(batch: &Batch<'_>, text: &ParamsText<'_>) -> RequestPlan {
    let mut touches = Vec::with_capacity(batch.ops.len());
    let mut effect = PossibleEffect::None;
    let mut reads = false;
    let steps: Vec<BatchStep> = batch
        .ops
        .iter()
        .map(|op| {
            let (touch, changes, job) = stands_alone(op, &batch.meta, text)?;
            touches.push(touch);
            match changes {
                PossibleEffect::None | PossibleEffect::Upkeep => reads = true,
                PossibleEffect::Write { keyed } => {
                    let keyed = keyed && effect != PossibleEffect::Write { keyed: false };
                    effect = PossibleEffect::Write { keyed };
                }
            }
            Ok(job)
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
    client: &Client,
) -> RunningJob {
    let effects: Vec<PossibleEffect> = steps.iter().map(effect_of_step).collect();
    let mut steps = steps.into_iter();
    let (first, mut stopped_at) = submit_writes(shared, &mut steps, client);
    let (shared, client) = (shared.clone(), client.clone());
    RunningJob::boxed(async move {
        let mut results = join_all(first).await;
        while let Some(read) = stopped_at.take() {
            results.push(match read.start(&shared, &client, None) {
                Started::Done(outcome) => outcome,
                Started::Running(running) => running.await,
            });
            let (writes, next) = submit_writes(&shared, &mut steps, &client);
            results.extend(join_all(writes).await);
            stopped_at = next;
        }
        let items = results.into_iter().zip(effects).enumerate();
        let mut items: Vec<BatchItemAnswer> = items
            .map(|(index, (outcome, effect))| item_of(index, outcome, effect))
            .collect();
        // Beyond this length the answer is too long in any case.
        let mut room = PAYLOAD_BYTES_MAX;
        for replied in items
            .iter_mut()
            .filter_map(|item| item.outcome.as_mut().ok())
        {
            shared.replica.complete(replied, &mut room).await;
        }
        Ok(OpAnswer {
            body: Body::Items(items),
            wal_offset: None,
        })
    })
}

/// Hands over writes until a read comes, which is returned beside them.
fn submit_writes(
    shared: &Arc<ServerShared>,
    steps: &mut std::vec::IntoIter<BatchStep>,
    client: &Client,
) -> (Vec<RunningJob>, Option<Job>) {
    let mut running = Vec::new();
    for step in steps {
        match step {
            Ok(job @ Job::Read(..)) => return (running, Some(job)),
            Ok(job) => running.push(match job.start(shared, client, None) {
                Started::Running(running) => running.without_completing(),
                Started::Done(outcome) => RunningJob::boxed(std::future::ready(outcome)),
            }),
            Err(error) => running.push(RunningJob::boxed(std::future::ready(Err(error)))),
        }
    }
    (running, None)
}

fn effect_of_step(step: &BatchStep) -> PossibleEffect {
    match step {
        Ok(Job::Write(_, effect)) => *effect,
        _ => PossibleEffect::None,
    }
}

fn item_of(index: usize, outcome: JobOutcome, effect: PossibleEffect) -> BatchItemAnswer {
    let wal_offset = outcome.as_ref().ok().and_then(|answer| answer.wal_offset);
    let outcome = match outcome.map(|answer| answer.body) {
        Ok(Body::Reply(replied)) => Ok(replied),
        Ok(_) => Err(ErrorBody::new(
            Code::InternalError,
            "this operation has no result inside a batch",
        )),
        Err(error) => Err(failure::in_batch(error, index)),
    };
    BatchItemAnswer {
        effect,
        outcome,
        wal_offset,
    }
}
