//! The answers to dry runs: each is one that the state gave between the question and the answer, and takes no key.

use rstmdb_engine::Reply;
use rstmdb_engine::fact::NO_OFFSET;
use rstmdb_engine::reply::{Trial, Would};

use super::{ChainSpan, Intent, WritePart};
use crate::check::chain::ChainViolation;
use crate::check::facts::{Facts, InstanceStand, object};

/// Compares what a client was told with the versions of the instance.
///
/// # Errors
/// When no version gives this answer, or a write was answered.
pub(super) fn told(
    parts: &[WritePart],
    trial: &Trial,
    span: ChainSpan,
    facts: &Facts,
) -> Result<(), ChainViolation> {
    const TRUE: &str = "dry runs are explained by the state";
    let Some(part) = parts.first() else {
        return Ok(());
    };
    // The keys of questions are used for nothing else.
    if trial.replayed || offset(&trial.reply) != Some(NO_OFFSET) {
        let seen = format!("{part:?} was answered with {trial:?}");
        return Err(("a dry run writes nothing and takes no key", seen));
    }
    let mut versions = facts.between(&part.instance, span.from, span.to);
    let explained = versions.any(|version| {
        let stand = version.and_then(|version| version.stand.as_ref());
        explains(part, trial, stand)
    });
    match explained {
        true => Ok(()),
        false => {
            let seen = format!("{part:?} would do {trial:?}; never so in {span:?}");
            Err((TRUE, seen))
        }
    }
}

fn offset(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Created { wal_offset, .. }
        | Reply::Applied { wal_offset, .. }
        | Reply::Deleted { wal_offset, .. } => Some(*wal_offset),
        _ => None,
    }
}

fn explains(part: &WritePart, trial: &Trial, stand: Option<&InstanceStand>) -> bool {
    match (&part.intent, &trial.reply, stand) {
        (Intent::Create, Reply::Created { .. }, None) => true,
        (Intent::Delete, Reply::Deleted { .. }, Some(_)) => true,
        (
            Intent::Event(event),
            Reply::Applied {
                from_state,
                to_state,
                ctx,
                applied: true,
                ..
            },
            Some(stand),
        ) => {
            let next = stand.machine.next(&stand.state, event, &stand.ctx);
            **from_state == *stand.state
                && next == Ok(&**to_state)
                && object(ctx).is_ok_and(|ctx| changes(&ctx, trial.would.as_ref(), stand))
        }
        _ => false,
    }
}

/// Whether the new context is the old one, but for the fields that the answer says are set.
fn changes(
    ctx: &serde_json::Map<String, serde_json::Value>,
    would: Option<&Would>,
    stand: &InstanceStand,
) -> bool {
    let set = would.map_or(&[][..], |would| &would.set);
    let kept = stand.ctx.keys().all(|name| ctx.contains_key(name));
    kept && ctx.iter().all(|(name, value)| {
        let is_same = stand.ctx.get(name) == Some(value);
        is_same != set.contains(name)
    })
}
