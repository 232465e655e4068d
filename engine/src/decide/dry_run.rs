//! Dry runs: the leader decides a command like any other, and answers the outcome instead of writing it.
//!
//! Nothing that a dry run decides has an offset, so every offset that is not yet in the log is [`NO_OFFSET`].

use super::batch::{self, OnRefusal};
use super::{Decider, Decision, OpDecision, trial};
use crate::Refusal;
use crate::api::command::{BatchOp, Command, DryRun};
use crate::api::reply::{Reply, Trial};
use crate::fact::{Entry, Fact, NO_OFFSET};
use crate::machine::Compiled;

/// What the command would answer.
pub(super) fn decide(
    decider: Decider<'_>,
    asked: &DryRun,
    fenced: Result<(), Refusal>,
) -> Result<Decision, Refusal> {
    let decider = Decider {
        offset: NO_OFFSET,
        ..decider
    };
    let (reply, offset) = match asked {
        DryRun::Whole(Command::Batch(ops)) => {
            let ops: Vec<Result<&BatchOp, &Refusal>> = ops.iter().map(Ok).collect();
            (batch(decider, &ops, OnRefusal::End, fenced)?, None)
        }
        DryRun::EachAlone(ops) => {
            let ops: Vec<Result<&BatchOp, &Refusal>> = ops.iter().map(Result::as_ref).collect();
            (batch(decider, &ops, OnRefusal::GoOn, fenced)?, None)
        }
        DryRun::Whole(command) => {
            let decision = match (decider.single(command), fenced) {
                (Ok(answer), _) if answer.is_replay() => answer,
                (_, Err(lost)) => return Err(lost),
                (decision, Ok(())) => decision?,
            };
            let offset = match &decision {
                OpDecision::Answer { offset, .. } => *offset,
                OpDecision::Write { .. } => None,
            };
            (trial::told(decider.view, command, decision).0, offset)
        }
    };
    Ok(Decision::Answer { reply, offset })
}

fn batch(
    decider: Decider<'_>,
    ops: &[Result<&BatchOp, &Refusal>],
    on_refusal: OnRefusal,
    fenced: Result<(), Refusal>,
) -> Result<Reply, Refusal> {
    let mut compiled = Compiled::default();
    let (facts, replies) = batch::try_out(decider, ops, on_refusal, fenced, &mut compiled)?;
    let mut reply = Reply::Batch(replies);
    complete(&mut reply, facts);
    Ok(Reply::DryRun(Box::new(Trial {
        reply,
        id_drawn: false,
        replayed: false,
        would: None,
    })))
}

/// Gives events that repeat an earlier one of the same batch their contexts, which are in no log.
fn complete(reply: &mut Reply, facts: Vec<Fact>) {
    let entry = Entry {
        facts,
        ..Entry::default()
    };
    let mut found = |offset| (offset == NO_OFFSET).then(|| entry.clone());
    reply.complete(&mut usize::MAX.clone(), &mut found);
}
