//! Dry runs: a command is decided as any other, and what was decided is told instead of written.
//!
//! Nothing that a dry run decides has an offset, so every offset that is not yet in the log is [`NO_OFFSET`].

use bytes::Bytes;

use super::batch::{self, OnRefusal};
use super::{Decider, Decision, OpDecision, Written};
use crate::Refusal;
use crate::api::command::{BatchOp, Command, DryRun};
use crate::api::reply::{Reply, Trial, Would};
use crate::fact::{Body, Entry, Fact, NO_OFFSET};
use crate::json::{Object, ReadBudget, equal};
use crate::machine::Compiled;
use crate::view::View;

/// What the command would answer.
pub(super) fn decide(decider: Decider<'_>, asked: &DryRun) -> Result<Decision, Refusal> {
    let decider = Decider {
        offset: NO_OFFSET,
        ..decider
    };
    let (reply, offset) = match asked {
        DryRun::Whole(Command::Batch(ops)) => {
            let ops: Vec<Result<&BatchOp, &Refusal>> = ops.iter().map(Ok).collect();
            (batch(decider, &ops, OnRefusal::End)?, None)
        }
        DryRun::EachAlone(ops) => {
            let ops: Vec<Result<&BatchOp, &Refusal>> = ops.iter().map(Result::as_ref).collect();
            (batch(decider, &ops, OnRefusal::GoOn)?, None)
        }
        DryRun::Whole(command) => {
            let decision = decider.single(command)?;
            let offset = match &decision {
                OpDecision::Answer { offset, .. } => *offset,
                OpDecision::Write { .. } => None,
            };
            (told(decider.view, command, decision).0, offset)
        }
    };
    Ok(Decision::Answer { reply, offset })
}

fn batch(
    decider: Decider<'_>,
    ops: &[Result<&BatchOp, &Refusal>],
    on_refusal: OnRefusal,
) -> Result<Reply, Refusal> {
    let mut compiled = Compiled::default();
    let (facts, replies) = batch::try_out(decider, ops, on_refusal, &mut compiled)?;
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

/// The reply that tells what was decided over `view`, and what would be written.
pub(super) fn told(view: View<'_>, command: &Command, decision: OpDecision) -> (Reply, Written) {
    let replayed = matches!(
        &decision,
        OpDecision::Answer {
            offset: Some(_),
            ..
        }
    );
    let (reply, written) = decision.split();
    let would = match &written {
        Some((body, _)) => would(view, body),
        None => replayed.then(Would::default),
    };
    let draws_id = matches!(command, Command::CreateInstance(create) if !create.id_given);
    let reply = Reply::DryRun(Box::new(Trial {
        reply,
        id_drawn: draws_id && !replayed,
        replayed,
        would,
    }));
    (reply, written)
}

/// What a fact would do to its instance; `None` if it is about none.
fn would(view: View<'_>, body: &Body) -> Option<Would> {
    match body {
        Body::CreateInstance(create) => Some(changed(b"{}", &create.ctx)),
        Body::ApplyEvent(apply) => {
            let before = view.instance(&apply.instance_id);
            let before = before.map(|current| current.ctx_bytes());
            let before = before.unwrap_or_else(|| Bytes::from_static(b"{}"));
            Some(changed(&before, &apply.ctx))
        }
        Body::DeleteInstance(_) => Some(Would::default()),
        Body::PutMachine(_) | Body::FlushAll(_) => None,
    }
}

/// The fields of the context that are set to a new value, and those that are gone.
fn changed(before: &[u8], after: &[u8]) -> Would {
    let (before, after) = match (Object::parse(before), Object::parse(after)) {
        (Ok(before), Ok(after)) => (before, after),
        // Every stored context was checked when it was decided.
        _ => return Would::default(),
    };
    let set = after.fields().filter(|(name, value)| {
        let same = |old| equal(old, value, &mut ReadBudget::new(usize::MAX)).unwrap_or(false);
        !before.value(name).is_some_and(same)
    });
    let unset = before
        .fields()
        .filter(|(name, _)| after.value(name).is_none());
    let names = |(name, _): (&str, &str)| name.to_owned();
    Would {
        set: set.map(names).collect(),
        unset: unset.map(names).collect(),
        ..Would::default()
    }
}
